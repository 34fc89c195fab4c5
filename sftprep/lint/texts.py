r"""Rules about single texts: empty and broken ones, and those that nobody meant to train on."""

import re
from collections.abc import Collection, Iterator
from itertools import chain

from sftprep.lint.material import Material, chosen
from sftprep.lint.rule import Notes, Rule

PLACEHOLDERS = frozenset((
    "n/a", "#n/a", "nan", "null", "undefined", "todo", "tbd", "tba", "[deleted]", "[removed]",
    "<noinput>", "<no input>", "no input", "[blank]", "<empty>", "lorem ipsum",
))  # fmt: skip
"""Texts that stand for a text that is missing, in lower case."""
ONLY_BESIDE_ANSWERS = frozenset(("none",))
"""Such texts that may be a good answer, but no question."""
LONGEST_PLACEHOLDER = max(map(len, PLACEHOLDERS))

FIELD = (
    r"(?:input|instruction|prompt|question|context|output|response|answer|text|user_input|query)"
)
REMAINS = {
    "{": re.compile(rf"\{{{FIELD}\}}|\{{\{{ *[A-Za-z_][\w.]{{0,40}} *\}}\}}"),
    "[": re.compile(
        r"\[(?:Your|Insert|Enter|Add|Put|Write|Type|Fill in|Placeholder|Name|Company|Recipient)"
        r"(?:[ _][A-Za-z' _/]{1,40})?\]"
    ),
    "<": re.compile(r"<(?:your|insert|enter) [a-z _]{1,30}>"),
}
"""First character -> what finds places of a template that were to be filled."""
AROUND_CODE = frozenset("\"'$\\{}")
CODE = re.compile(r"```|\bprint\(|\bdef |\bf\"|\bf'|\.format\(|#include|</|=>|;\n")

REFUSAL = re.compile(
    r"(?:I(?:'|’)?m (?:very )?sorry, (?:but )?(?:I|as an)|I apologi[sz]e, but (?:I|as an)"
    r"|Sorry, (?:but )?I (?:can|am|don)"
    r"|(?:Unfortunately, )?(?:as|As) an? (?:AI|artificial intelligence|(?:large )?language model)\b"
    r"|I(?:'| a)m (?:just )?an? (?:AI|artificial intelligence|(?:large )?language model)\b"
    r"|I (?:can(?:'|’)t|cannot|can not|am unable to|am not able to|won(?:'|’)t) "
    r"(?:assist|help|fulfil|provide|comply|complete|generate|create|answer|do that)"
    r"|(?:很|非常)?(?:抱歉|对不起)，(?:但)?(?:我|作为)(?:[^。]{0,12})(?:无法|不能|没有|是一个|语言模型)"
    r"|作为(?:一个|一名)?(?:AI|人工智能|语言模型|大型语言模型))"
)
"""Matches how answers begin that say what the model cannot do."""
REFUSAL_WITHIN = 60
STARTS_OF_REFUSALS = tuple("IASU很非抱对作")

CUT_WORDS = {
    "the", "a", "an", "and", "or", "of", "their", "his", "its", "our", "your", "my", "because",
    "than", "nor", "into", "whose", "while", "although",
}  # fmt: skip
"""Words with which no English sentence ends."""
ENGLISH = re.compile(r" (?:the|and|is) ")
LAST_WORD = re.compile(r"\b([a-z]+)\s*\Z")
COMMA = re.compile(r"[,，、]\s*\Z")
LAST_ITEM = re.compile(r"\n\s*(?:(\d{1,2})[.)]|([-*•]))\s*\Z")
"""Matches an item of a list that has no text."""
LONG_ENOUGH = 80
"""Shorter answers may end with any word."""

FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
TAGS = (
    re.compile(
        r"</?(?:p|br|div|span|li|ul|ol|table|tr|td|font|center|h[1-6]|strong|em|b|i)\b[^<>]{0,99}>"
        r"|<a\s+href=|<img\s"
    ),
    re.compile(r"&(?:amp|lt|gt|quot|nbsp|apos|#\d{2,5}|#x[0-9a-fA-F]{2,4});"),
)
ABOUT_MARKUP = re.compile(
    r"html|xml|css|markup|<(?:/?[a-zA-Z]+)>|tag\b|网页|标签|javascript|react|web", re.I
)
VISIBLE_MARKS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\r\n…。，、！？—–-·•")


def _empty_answer(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for line, error in material.refused:
        if error.reason == "empty_completion":
            notes.remark(line, error.problem)
    called = {line for line, texts in material.roles if "tool" in texts}
    for line, text in material.answers.short(0).pairs():
        if line not in called:
            notes.fault(line, text, 0, 0)


def _empty_prompt(material: Material, notes: Notes) -> None:
    notes.seen(len(material.prompts))
    given = set(material.inputs.lines)
    for line, text in material.prompts.short(0).pairs():
        if line not in given:
            notes.fault(line, text, 0, 0)


def _blank(material: Material, notes: Notes) -> None:
    texts = material.all_texts
    notes.seen(material.records)
    for number in chosen(texts.texts, str.isspace):
        notes.fault(texts.lines[number], texts.texts[number], 0, len(texts.texts[number]))


def _near_empty(material: Material, notes: Notes) -> None:
    notes.seen(len(material.answers))
    for line, text in material.answers.short(12).pairs():
        if text and not text.isspace() and VISIBLE_MARKS.issuperset(text):
            notes.fault(line, text, 0, len(text))


def _placeholder(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for column in (material.systems, material.prompts, material.inputs, material.answers):
        known = PLACEHOLDERS | (ONLY_BESIDE_ANSWERS if column is not material.answers else set())
        for line, text in column.short(LONGEST_PLACEHOLDER + 4).pairs():
            word = text.strip().casefold().rstrip(".")
            if word in known:
                notes.fault(line, text, 0, len(text), word)


def _remains(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for first, pattern in REMAINS.items():
        if first not in material.joined:
            continue
        for string in sorted(set(pattern.findall(material.joined))):
            for line, text in material.all_texts.holding(string).pairs():
                start = text.index(string)
                end = start + len(string)
                if not (CODE.search(text) or _is_code(string, text[start - 1 : start], text[end:])):
                    notes.fault(line, text, start, end, string)


def _is_code(string: str, before: str, after: str) -> bool:
    """Return whether a place of a template is a part of a program, or the text of a link."""
    if string[0] == "[":
        return after[:1] in ("(", "[", ":") or before.isalnum()
    around = {before, after[:1]}
    return string[1] != "{" and not AROUND_CODE.isdisjoint(around)


def _refusal(material: Material, notes: Notes) -> None:
    notes.seen(len(material.answers))
    for line, text in material.answers.pairs():
        if not text.startswith(STARTS_OF_REFUSALS):
            continue
        match = REFUSAL.search(text, 0, 160)
        if match is not None and match.start() <= REFUSAL_WITHIN:
            notes.fault(line, text, match.start(), match.end())


def _cut(material: Material, notes: Notes) -> None:
    answers = material.answers
    notes.seen(len(answers))
    for number in chosen([text[-1:] for text in answers.texts], _may_be_cut):
        line, text = answers.lines[number], answers.texts[number]
        if len(text) >= LONG_ENOUGH and _ends_early(text):
            notes.fault(line, text, len(text), len(text), "no end")
    for line, text in answers.holding("```").pairs():
        if text.count("```") % 2 and "````" not in text and FENCE.search(text):
            notes.fault(line, text, len(text), len(text), "code without an end")


def _ends_early(text: str) -> bool:
    """Return whether a text surely goes on behind its end."""
    tail = text[-24:]
    if COMMA.search(tail):
        return True
    if (word := LAST_WORD.search(tail)) is not None:
        return word[1] in CUT_WORDS and ENGLISH.search(text) is not None
    if (item := LAST_ITEM.search(tail)) is None:
        return False
    before = rf"{int(item[1]) - 1}[.)]" if item[1] else rf"{re.escape(item[2])} *\S"
    return re.search(rf"(?:^|\n)\s*{before}", text[: -len(item[0])]) is not None


def _may_be_cut(last: str) -> bool:
    return "a" <= last <= "z" or last in ",，、.)-*•" or last.isspace()


def _html(material: Material, notes: Notes) -> None:
    notes.seen(len(material.answers))
    found = sorted(set(chain.from_iterable(tags.findall(material.joined) for tags in TAGS)))
    places = [
        (line, text, string)
        for string in found
        for column in (material.prompts, material.inputs, material.answers)
        for line, text in column.holding(string).pairs()
    ]
    about = set(_about_markup(material, {line for line, _, _ in places})) if places else set()
    for line, text, string in places:
        if line not in about and not CODE.search(text.replace("</", "")):
            where = text.index(string)
            notes.fault(line, text, where, where + len(string))


def _about_markup(material: Material, lines: Collection[int]) -> Iterator[int]:
    """Yield those of the records, by their lines, that speak of pages and markup."""
    columns = (material.systems, material.prompts, material.inputs)
    for line, text in chain.from_iterable(column.pairs() for column in columns):
        if line in lines and ABOUT_MARKUP.search(text):
            yield line


def _control_string(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    if material.batch is not None and material.batch.facts is not None:
        facts = material.batch.facts
        for reason, rows in facts.reasons.items():
            kind, _, string = reason.partition(":")
            if kind == "control_string" and string:
                _note_string(material, string, set(material.batch.record[rows].tolist()), notes)
        return
    if not any(
        mark in material.joined
        for mark in ("<|", "|>", "<｜", "</s>", "<s>", "[/", "_of_", "[INST", "<bos>", "<eos>")
    ):
        return
    found = set(material.writing.lookalikes.findall(material.joined))
    for string in sorted(found - material.writing.allowed):
        _note_string(material, string, None, notes)


def _note_string(material: Material, string: str, lines: set[int] | None, notes: Notes) -> None:
    column = material.all_texts.holding(string)
    if lines is not None:
        column = column.kept([line in lines for line in column.lines])
    notes.faults(column, string, string)


RULES = (
    Rule(
        name="empty-answer",
        severity="error",
        unit="record",
        finds="answers without any text",
        why="There is nothing to learn from them, and prepare refuses them.",
        cure="Remove these records, or pass --on-error quarantine.",
        look=_empty_answer,
    ),
    Rule(
        name="empty-prompt",
        severity="warning",
        unit="prompt",
        finds="prompts without any text",
        why="The model learns to give this answer to nothing at all.",
        cure="Fill in the prompts, or remove the records.",
        look=_empty_prompt,
    ),
    Rule(
        name="blank-text",
        severity="error",
        unit="record",
        finds="texts of nothing but white space",
        why="A blank answer is trained like any other: the model learns to say nothing.",
        cure="Remove these records.",
        look=_blank,
    ),
    Rule(
        name="near-empty-answer",
        severity="warning",
        unit="answer",
        finds="answers of punctuation alone",
        why="Mostly a text is missing there.",
        cure="Fill in the answers, or remove the records.",
        look=_near_empty,
    ),
    Rule(
        name="placeholder",
        severity="warning",
        unit="record",
        finds="texts that stand for a missing one, such as N/A or nan",
        why="Tables and scripts write them where a value is missing. The model would learn to say "
        "them.",
        cure="Remove these records; if it is the input of an instruction, leave it empty.",
        look=_placeholder,
    ),
    Rule(
        name="template-remains",
        severity="warning",
        unit="record",
        finds="places of a template that were not filled, such as {input} or [Your text]",
        why="The model would learn to write such places instead of words.",
        cure="Fill them in, or remove the records.",
        look=_remains,
    ),
    Rule(
        name="refusal",
        severity="note",
        unit="answer",
        finds="answers that refuse, or speak of the model as an AI",
        why="They teach the model to refuse, and often come from the model that wrote the data.",
        cure="Remove them, unless the model is to refuse in these cases.",
        look=_refusal,
    ),
    Rule(
        name="cut-answer",
        severity="warning",
        unit="answer",
        finds="answers that look cut: they end within a sentence, a list or a block of code",
        why="The model learns to stop in the middle of a thought.",
        cure="Complete these answers, or remove the records.",
        look=_cut,
    ),
    Rule(
        name="html",
        severity="note",
        unit="record",
        finds="HTML tags or entities in text that is not about markup",
        why="They remain from web pages. The model would learn to write them between words.",
        cure="Convert the texts to plain text.",
        look=_html,
    ),
    Rule(
        name="control-string",
        severity="warning",
        unit="record",
        finds="texts of control tokens, such as <|im_end|>, within the data",
        why="They come from data that was formatted for a model already. Templates write them "
        "again, and prepare encodes those in the data as plain text.",
        cure="Remove them from the data. If they are meant as tokens, pass --allow-control.",
        look=_control_string,
    ),
)
