"""Rules that compare: an answer with its prompt, a record with all others.

Records are compared by 64-bit hashes of their texts, so that all of a large input can be.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import compress
from operator import eq
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from sftprep.lint.findings import Columns, Example, Form, Numbers, Tally
from sftprep.lint.material import Material
from sftprep.lint.rule import CLEAR, Notes, Rule, minority, place_of

LETTERS = 24
"""With fewer letters, the script of a text says little."""
DOMINANT = 0.8
START = 500
SCRIPTS = {
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF)),
    "Greek": ((0x370, 0x3FF),),
    "Cyrillic": ((0x400, 0x52F),),
    "Hebrew": ((0x590, 0x5FF),),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F)),
    "Devanagari": ((0x900, 0x97F),),
    "Thai": ((0xE00, 0xE7F),),
    "Hangul": ((0x1100, 0x11FF), (0xAC00, 0xD7A3)),
    "Han or Kana": ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
}
NAMES = list(SCRIPTS)
NOT_LATIN = re.compile(r"[\u0370-\u1dff\u3040-\ud7ff]")
ABOUT_LANGUAGE = re.compile(
    r"translat|traduc|übersetz|перевед|перевод|翻译|译成|译为|번역|訳|language|英文|英语|英語|中文|汉语|漢語|"
    r"日文|日语|法语|语言|english|chinese|french|spanish|german|japanese|korean|russian|arabic|hindi|pinyin|拼音|"
    r"code|代码|程序|函数|python|java|sql|编写|脚本|算法|formula|公式",
    re.IGNORECASE,
)
"""Matches prompts that ask for another language, or for code."""
VALIDATION = re.compile(r"(?:^|[^a-z])(?:val|valid|validation|dev|eval|test)(?:[^a-z]|$)")
OUTLIER = 1.5
LEAST = 3.0
"""A text must be eight times as long as most to be an outlier."""
ENOUGH = 200
RARE = 0.005


@cache
def _table() -> npt.NDArray[np.uint8]:
    """Return, for each code point, the number of its script from 1; 0 if it has none."""
    table = np.zeros(0x110000, np.uint8)
    for number, ranges in enumerate(SCRIPTS.values(), 1):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


def script_of(text: str) -> str:
    """Return the script of most letters of a text; "" if it has few letters, or several scripts.

    Only the start of a long text is looked at.
    """
    codes = np.frombuffer(text[:START].encode("utf-32-le", "replace"), np.uint32)
    counts = np.bincount(_table()[codes], minlength=len(NAMES) + 1)[1:]
    total = int(counts.sum())
    best = int(counts.argmax())
    return NAMES[best] if total >= LETTERS and counts[best] >= DOMINANT * total else ""


def _echo(material: Material, notes: Notes) -> None:
    lines, prompts, answers = material.pairs
    notes.seen(len(prompts))
    shorter = [prompt.strip() for prompt in prompts]
    for line, prompt in compress(
        zip(lines, prompts, strict=True),
        map(eq, shorter, [answer.strip() for answer in answers]),
    ):
        notes.fault(line, prompt, 0, len(prompt))


def _script(material: Material, notes: Notes) -> None:
    lines, prompts, answers = material.pairs
    notes.seen(len(prompts))
    others = 0
    for line, prompt, answer in zip(lines, prompts, answers, strict=True):
        if (prompt.isascii() or not NOT_LATIN.search(prompt)) and (
            answer.isascii() or not NOT_LATIN.search(answer)
        ):
            continue
        asked, said = script_of(prompt), script_of(answer)
        if not asked or not said or asked == said or "```" in answer:
            continue
        if ABOUT_LANGUAGE.search(prompt):
            continue
        others += 1
        form = f"{said} for {asked}"
        found = notes.tally.forms.setdefault(form, Form())
        found.count += 1
        notes.example(form, line, answer, 0)
    notes.tally.forms.setdefault("the same script", Form()).count += len(prompts) - others


def _duplicates(columns: Columns, names: Sequence[str]) -> Tally:
    first = _firsts(columns.record)
    return _tally(columns, np.flatnonzero(first != np.arange(len(first))), first, names, "repeats")


def _conflicts(columns: Columns, names: Sequence[str]) -> Tally:
    has_prompt = np.flatnonzero(columns.prompt != columns.record)
    prompts, records = columns.prompt[has_prompt], columns.record[has_prompt]
    first = _firsts(prompts)
    differs = records != records[first]
    groups = np.unique(first[differs])
    at_fault = np.isin(first, groups)
    # A record is told of with the first one of its prompt; a record with the same answer as that
    # one, with the first that has another answer.
    numbers = np.flatnonzero(differs)[::-1]
    other = np.zeros(len(first), np.int64)
    other[first[numbers]] = numbers  # of several, the first one is assigned last
    others = np.where(differs, first, other[first])
    tally = _tally(
        columns, has_prompt[at_fault], has_prompt, names, "has the prompt of", others[at_fault]
    )
    tally.seen = len(columns.record)
    return tally


def _leaks(columns: Columns, names: Sequence[str]) -> Tally:
    is_held = np.array([is_validation(name) for name in names], np.bool_)
    held = is_held[columns.source] if len(names) else np.zeros(0, np.bool_)
    tally = Tally(seen=int(held.sum()))
    if not is_held.any() or is_held.all():
        return tally
    order = np.argsort(columns.prompt[~held], kind="stable")
    trained = columns.prompt[~held][order]
    own = columns.prompt[held]
    places = np.searchsorted(trained, own)
    places[places == len(trained)] = 0
    shared = trained[places] == own if len(trained) else np.zeros(len(own), np.bool_)
    index = np.flatnonzero(held)[shared]
    partner = np.flatnonzero(~held)[order][places[shared]]
    found = _tally(columns, index, partner, names, "has the prompt of", np.arange(len(index)))
    found.seen = tally.seen
    return found


def is_validation(name: str) -> bool:
    """Return whether a file's name says that it is not trained on.

    >>> is_validation("data/val-0.jsonl"), is_validation("values.jsonl")
    (True, False)
    """
    return VALIDATION.search(PurePath(name).name.lower()) is not None


def _firsts(keys: npt.NDArray[np.uint64]) -> Numbers:
    """Return for each key the number of the first record with the same key."""
    _, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return index[inverse].astype(np.int64)


def _tally(
    columns: Columns,
    at_fault: Numbers,
    partners: Numbers,
    names: Sequence[str],
    words: str,
    which: Numbers | None = None,
) -> Tally:
    """Return the tally of a rule about records that share something with another record.

    Args:
        columns: all records.
        at_fault: the numbers of those at fault.
        partners: the numbers of records with which others share something.
        names: the paths of the sources.
        words: say what a record at fault is to its partner.
        which: for each record at fault, the index of its partner; None: its own number.
    """
    tally = Tally(seen=len(columns.record), faulty=len(at_fault))
    if not len(at_fault):
        return tally
    form = tally.forms.setdefault("", Form(len(at_fault)))
    for position, number in enumerate(at_fault[:5].tolist()):
        partner = int(partners[number if which is None else int(which[position])])
        other = _place(columns, partner)
        text = f"{words} {place_of(other, names)}"
        form.examples.append(_place(columns, number)._replace(text=text))
    return tally


def _place(columns: Columns, number: int) -> Example:
    source, line, offset = (int(column[number]) for column in columns[:3])
    return Example(source, line, None if offset < 0 else offset, "", is_said=True)


def _lengths(columns: Columns, names: Sequence[str]) -> Tally:
    tally = Tally(seen=len(columns.length))
    if len(columns.length) < ENOUGH:
        return tally
    sizes = np.log2(np.maximum(columns.length, 1))
    low, high = np.quantile(sizes, (0.25, 0.75))
    limit = high + max(OUTLIER * (high - low), LEAST)
    numbers = np.flatnonzero(sizes > limit)
    if len(numbers) > RARE * len(sizes):  # these are texts of another kind
        return tally
    tally.faulty = len(numbers)
    if len(numbers):
        form = tally.forms.setdefault("", Form(len(numbers)))
        usual = f"half of them have {2**low:,.0f} to {2**high:,.0f}"
        for number in numbers[:5].tolist():
            text = f"{int(columns.length[number]):,} characters; {usual}"
            form.examples.append(_place(columns, number)._replace(text=text))
    return tally


RULES = (
    Rule(
        name="answer-is-prompt",
        severity="warning",
        unit="answer",
        finds="answers that only repeat their prompt",
        why="The model would learn to repeat what it is told.",
        cure="Remove these records.",
        look=_echo,
    ),
    Rule(
        name="other-script",
        severity="warning",
        unit="answer",
        finds="answers in another script than their prompt, unlike most",
        why="Users expect an answer in their own language.",
        cure="Check that these answers belong to their prompts.",
        look=_script,
        judge=minority(CLEAR),
    ),
    Rule(
        name="duplicate",
        severity="warning",
        unit="record",
        finds="records that repeat an earlier one",
        why="What is repeated is learned more often than the rest, and may end up in training and "
        "in validation.",
        cure="Pass --dedup exact to prepare.",
        look_over=_duplicates,
    ),
    Rule(
        name="conflicting-answers",
        severity="note",
        unit="record",
        finds="records with one prompt and different answers",
        why="They may be good alternatives, or one of them is wrong.",
        cure="Check a few of them.",
        look_over=_conflicts,
    ),
    Rule(
        name="leak",
        severity="error",
        unit="record",
        finds="records of a validation file whose prompt is in a training file too",
        why="The validation loss would be too good: the model has seen the answer. Files whose "
        "name has the word val, valid, validation, dev, eval or test are for validation.",
        cure="Remove them from one of the files. prepare --validation keeps equal prompts "
        "together.",
        look_over=_leaks,
    ),
    Rule(
        name="length-outlier",
        severity="note",
        unit="record",
        finds="records whose last answer is far longer than others",
        why="Such texts are often logs, dumps or several documents joined.",
        cure="Look at them, and remove what is no answer.",
        look_over=_lengths,
    ),
)
