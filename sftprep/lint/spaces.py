"""Rules about white space: at the start and the end of texts, and between prompt and answer.

A model learns the white space that it sees as it learns words: a space in front of an answer is a
part of its first token. So one that only some records have makes two tasks out of one.
"""

import re
from collections.abc import Sequence
from itertools import compress

from sftprep.lint.findings import Form, Tally, most_frequent
from sftprep.lint.material import Column, Material
from sftprep.lint.rule import (
    CLEAR,
    FEW,
    Notes,
    Rule,
    Verdict,
    against,
    every_form,
    minority,
)

FORMS = {" ": "a space", "\n": "a line break", "\r": "a line break", "\t": "a tab"}
TEXT = "text"
ENDS_OF_MARKS = ":>#=|]"
MARK = re.compile(r"(?:^|\n)([^\n]{1,24}[:>#=|\]])\s*\Z|(?:[ \t]((?:->|=>|>>>|===|###|\|))\s*)\Z")
"""Matches what a prompt ends with if that says where the answer begins: a short line such as
``Answer:`` or ``### Response:``, or an arrow."""


def _form(character: str) -> str:
    return FORMS.get(character, "another white space" if character.isspace() else TEXT)


def _note_ends(column: Column, characters: Sequence[str], notes: Notes, *, at_end: bool) -> None:
    """Note the forms of the first, or the last, characters of the texts of a column.

    Texts without a character here are left out: they are empty, or nothing but white space.
    """
    form_of = {character: _form(character) for character in set(characters) if character}
    notes.seen(len(characters) - list(characters).count(""))
    for form in sorted(set(form_of.values())):
        numbers = [n for n, own in enumerate(characters) if form_of.get(own) == form]
        notes.all_of(form, column, numbers, at_end=at_end)


def _answer_start(material: Material, notes: Notes) -> None:
    starts = ["" if text.isspace() else text[:1] for text in material.answers.texts]
    _note_ends(material.answers, starts, notes, at_end=False)


def _answer_end(material: Material, notes: Notes) -> None:
    ends = ["" if text.isspace() else text[-1:] for text in material.answers.texts]
    _note_ends(material.answers, ends, notes, at_end=True)


def _message_end(material: Material, notes: Notes) -> None:
    if material.is_exchange:
        return
    for column in (material.systems, material.prompts):
        ends = ["" if text.isspace() else text[-1:] for text in column.texts]
        _note_ends(column, ends, notes, at_end=True)


def _prompt_end(material: Material, notes: Notes) -> None:
    if not material.is_exchange:
        return
    lines, prompts, _ = material.pairs
    notes.seen(len(prompts))
    ends = "".join([prompt[-1:] or "." for prompt in prompts])
    if " " in ends or "\t" in ends or "\u00a0" in ends or "\u3000" in ends:
        for line, prompt in zip(lines, prompts, strict=True):
            if prompt[-1:].isspace() and prompt[-1] not in "\r\n":
                notes.fault(line, prompt, len(prompt), len(prompt), _form(prompt[-1]))


def _separator(material: Material, notes: Notes) -> None:
    """Note how prompts end: with a mark and white space, as ``mark + "|" + white space``."""
    if not material.is_exchange:
        return
    lines, prompts, _ = material.pairs
    notes.seen(len(prompts))
    endings: dict[str, list[int]] = {}
    for number, prompt in enumerate(prompts):
        tail = prompt[-40:]
        bare = tail.rstrip()
        found = MARK.search(tail) if bare[-1:] in ENDS_OF_MARKS and bare else None
        mark = (found[1] or found[2] or "") if found else ""
        # The tail begins in the middle of a longer prompt, where no line begins.
        if found and found.start(1) == 0 and len(prompt) > 40:
            mark = ""
        endings.setdefault(f"{mark}\0{tail[len(bare) :]}", []).append(number)
    column = Column(lines, prompts)
    for ending, numbers in endings.items():
        notes.all_of(ending, column, numbers, at_end=True)


def _judge_separator(tally: Tally) -> Verdict | None:
    """Find prompts that end in another way than nearly all, if that way separates them."""
    total = sum(form.count for form in tally.forms.values())
    if total < FEW or tally.has_many:
        return None
    ranked = most_frequent(tally.forms)
    best, count = ranked[0]
    if best.split("\0")[0] and count >= CLEAR * total:
        return _with_words(against(tally.forms, best))
    spaces: dict[str, Form] = {}
    for ending, form in tally.forms.items():
        spaces.setdefault(f"\0{ending.split(chr(0))[1]}", Form()).add(form)
    best, count = most_frequent(spaces)[0]
    if "\n" in best and count >= CLEAR * total:
        return _with_words(against(spaces, best))
    return None


def _with_words(verdict: Verdict | None) -> Verdict | None:
    if verdict is None or verdict.majority is None:
        return None
    name, count = verdict.majority
    forms = tuple((_ending_in_words(form), n) for form, n in verdict.forms)
    return verdict._replace(forms=forms, majority=(_ending_in_words(name), count))


def _ending_in_words(ending: str) -> str:
    text = ending.replace("\0", "")
    return repr(text) if text else "no separator"


def _no_separator(material: Material, notes: Notes) -> None:
    if not (material.is_exchange and material.writing.glues) or material.has_fields:
        return
    lines, prompts, answers = material.pairs
    notes.seen(len(prompts))
    glued = [
        not (
            not prompt
            or prompt[-1].isspace()
            or prompt[-1] in ENDS_OF_MARKS
            or answer[:1].isspace()
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    for line, prompt, answer in zip(
        compress(lines, glued), compress(prompts, glued), compress(answers, glued), strict=True
    ):
        where = len(prompt)
        notes.fault(line, prompt[-40:] + answer[:40], min(40, where), min(40, where))


def _judge_no_separator(tally: Tally) -> Verdict | None:
    """Find prompts without a separator, if that is so of most; else, they are the exception."""
    return every_form(tally) if tally.faulty > tally.seen / 2 else None


def _line_ends(material: Material, notes: Notes) -> None:
    column = material.all_texts
    if "\r" not in material.joined:
        many = column.holding("\n")
        notes.all_of("\\n", many, range(len(many)), at_end=False)
        notes.seen(len(many))
        return
    forms: dict[str, list[tuple[int, str, int]]] = {}
    for line, text in column.pairs():
        if "\r" in text:
            windows, bare = text.count("\r\n"), text.count("\r")
            unix = text.count("\n") - windows
            kinds = [windows > 0, bare > windows, unix > 0]
            name = "several kinds in one text"
            if sum(kinds) == 1:
                name = "\\r\\n" if windows else "\\r"
            forms.setdefault(name, []).append((line, text, text.index("\r")))
        elif "\n" in text:
            forms.setdefault("\\n", []).append((line, text, 0))
    for name, places in forms.items():
        notes.seen(len(places))
        found = notes.tally.forms.setdefault(name, Form())
        found.count += len(places)
        for line, text, where in places[:5]:
            notes.example(name, line, text, where)


RULES = (
    Rule(
        name="answer-start",
        severity="warning",
        unit="answer",
        finds="answers that begin with another kind of white space than most",
        why="White space in front of an answer is a part of its first token. If only some answers "
        "have it, the model learns two ways to begin, and inference can ask for only one.",
        cure="Let all answers begin with the first word, and let the prompt or --separator hold "
        "the white space before it. --write-fixed does so.",
        look=_answer_start,
        judge=minority(0, few=2),
    ),
    Rule(
        name="answer-end",
        severity="warning",
        unit="answer",
        finds="answers that end with another kind of white space than most",
        why="What ends an answer is what the model writes before it stops. White space there is "
        "trained like a word.",
        cure="Remove the white space at the end. --write-fixed does so.",
        look=_answer_end,
        judge=minority(0, few=2),
    ),
    Rule(
        name="message-end",
        severity="note",
        unit="message",
        finds="messages of users and systems that end with white space, unlike most",
        why="Some chat templates remove it and some do not, so the same message can become other "
        "tokens at inference.",
        cure="Remove the white space at the end. --write-fixed does so.",
        look=_message_end,
        judge=minority(CLEAR),
    ),
    Rule(
        name="prompt-end",
        severity="warning",
        unit="prompt",
        finds="prompts that end with a space or a tab",
        why="Tokenizers join a space with the word behind it. A prompt that ends with a space "
        "forces the answer to begin with a token that the model has rarely seen there.",
        cure="End prompts with a word, a colon or a line break. --write-fixed removes the spaces.",
        look=_prompt_end,
    ),
    Rule(
        name="prompt-separator",
        severity="warning",
        unit="prompt",
        finds="prompts that do not end with the separator that most others end with",
        why="The separator tells the model where the answer begins. Without it, the model may go "
        "on with the prompt.",
        cure="Add the separator to these prompts, or remove it from all and pass --separator.",
        look=_separator,
        judge=_judge_separator,
    ),
    Rule(
        name="no-separator",
        severity="warning",
        unit="record",
        finds="answers that follow their prompt without a space, a line break or a separator",
        why="With the template plain nothing stands between the two, so that the last word of the "
        "prompt and the first word of the answer touch.",
        cure="Pass --separator '\\n', or a --template that writes one.",
        look=_no_separator,
        judge=_judge_no_separator,
    ),
    Rule(
        name="line-ends",
        severity="warning",
        unit="text",
        finds="texts with other line ends than most",
        why="\\r\\n and \\n are different tokens. The model learns both, and which one "
        "comes is chance.",
        cure="Write \\n everywhere. --write-fixed does so.",
        look=_line_ends,
        judge=minority(0, few=2),
    ),
)
