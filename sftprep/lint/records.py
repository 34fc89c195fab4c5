"""Rules about whole records: those that cannot be read, and fields that nothing reads."""

import re
from collections.abc import Iterator
from functools import partial

from sftprep.data.result import LostRecord
from sftprep.lint.material import Material
from sftprep.lint.rule import Notes, Rule

ELSEWHERE = frozenset({"empty_completion", "bad_turn_order", "schema_mismatch"})
"""The reasons of refusals that have rules of their own."""
WORDS_OF_FLAGS = frozenset(
    [
        "loss",
        "train",
        "trainable",
        "training",
        "trained",
        "mask",
        "masks",
        "masked",
        "weight",
        "weights",
        "supervise",
        "supervised",
    ]
)
WORDS_BESIDE = frozenset(
    [
        "no",
        "is",
        "do",
        "not",
        "has",
        "use",
        "with",
        "compute",
        "calc",
        "calculate",
        "token",
        "tokens",
        "label",
        "labels",
        "skip",
        "ignore",
        "on",
        "for",
        "assistant",
        "user",
        "response",
        "completion",
        "prompt",
        "message",
        "sample",
        "example",
        "turn",
        "flag",
        "only",
        "target",
    ]
)


def looks_like_a_flag(name: str) -> bool:
    """Return whether a field's name says that it is about what is trained.

    >>> looks_like_a_flag("messages[].no_loss"), looks_like_a_flag("training_source")
    (True, False)
    """
    last = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2])
    words = re.split(r"[\W_]+", last.lower())
    return set(words) <= WORDS_OF_FLAGS | WORDS_BESIDE and not WORDS_OF_FLAGS.isdisjoint(words)


def _bad(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    known = set()
    for line, error in material.refused:
        known.add(line)
        if error.reason not in ELSEWHERE:
            notes.remark(line, error.problem, error.reason)
    for line, lost in _rejected(material):
        if line not in known and lost.error is not None:
            notes.remark(line, lost.error.problem, lost.reason)


def _rejected(material: Material) -> Iterator[tuple[int, LostRecord]]:
    """Yield the records that the stages refuse, each with the index of its line."""
    if material.rows is None or not material.rows.rejected:
        return
    block = material.block
    places = [block.place(number) for number in range(block.records)]
    by_place = {line if offset is None else -offset: n for n, (line, offset) in enumerate(places)}
    for lost in material.rows.rejected:
        yield by_place[lost.line if lost.offset is None else -lost.offset], lost


def _said(words: str, _: int) -> str:
    return words


def _mixed(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for line, error in material.refused:
        if error.reason == "schema_mismatch":
            notes.remark(line, error.problem)


def _flags(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for name, lines in material.unread.items():
        if looks_like_a_flag(name):
            notes.records(lines, partial(_said, name), name)


RULES = (
    Rule(
        name="bad-record",
        severity="error",
        unit="record",
        finds="records that prepare refuses",
        why="They would give no row; without --on-error quarantine, prepare would stop.",
        cure="Correct or remove these records, or pass --on-error quarantine.",
        look=_bad,
    ),
    Rule(
        name="mixed-schema",
        severity="error",
        unit="record",
        finds="records of another schema than the first ones of their file",
        why="prepare reads each file by one schema and refuses other records.",
        cure="Put records of one schema into each file.",
        look=_mixed,
    ),
    Rule(
        name="loss-flag",
        severity="warning",
        unit="record",
        finds="fields that nothing reads, and whose names say what is to be trained",
        why="If they are meant to mask messages, these messages would be trained all the same.",
        cure="Name them with --field train=NAME, or rename them to train or weight; remove them if "
        "they mean something else.",
        look=_flags,
    ),
)
