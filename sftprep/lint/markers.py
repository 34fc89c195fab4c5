"""A rule about markers: the headings and labels that hold the parts of a prompt apart.

A marker is a heading (``### Response:``), a label at the start of a line (``Question:``) or a tag
(``<|user|>``, ``[INST]``). Only markers that many texts have are looked at: those of a template.
"""

import re
from collections import Counter
from itertools import chain

from sftprep.lint.findings import Form, Tally, first_records
from sftprep.lint.material import Column, Material
from sftprep.lint.rule import CLEAR, FEW, Notes, Rule, Verdict, against

LABEL = re.compile(r"\n([A-Za-z#][^\n:]{0,24}:|#{1,6} ?[^\n]{1,40})")
TAGS = (re.compile(r"<[|/]?[A-Za-z_]{2,20}\|?>"), re.compile(r"\[/?[A-Z]{3,12}\]"))
NOT_IN_A_KEY = re.compile(r"[^\w/]+|_")
IN_BLOCK = 0.1
"""Markers that fewer texts of a block hold are none of a template."""
IN_ALL = 0.3
"""The same, for the whole input."""


def _key(marker: str) -> str:
    """Return what the spellings of a marker have in common."""
    return NOT_IN_A_KEY.sub("", marker).casefold()


def _look(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    columns = {"s": material.systems, "p": material.prompts, "a": material.answers}
    for name, column in columns.items():
        if len(column):
            _look_at(name, column, material.records, notes)


def _look_at(name: str, column: Column, records: int, notes: Notes) -> None:
    text = "\n" + "\n".join(column.texts)
    found = Counter(chain.from_iterable(pattern.findall(text) for pattern in (LABEL, *TAGS)))
    groups: dict[str, list[str]] = {}
    for marker in found:
        groups.setdefault(_key(marker), []).append(marker)
    for key, markers in groups.items():
        if not key or sum(found[marker] for marker in markers) < IN_BLOCK * records:
            continue
        for marker in sorted(markers):
            numbers = [n for n, one in enumerate(column.texts) if marker in one]
            if len(markers) > 1:  # one spelling may be a part of another
                is_it = re.compile(
                    rf"(?:^|\n){re.escape(marker)}" if marker[0] not in "<[" else re.escape(marker)
                )
                numbers = [n for n in numbers if is_it.search(column.texts[n])]
            _note(f"{name}{key}\0{marker}", column, numbers, marker, notes)


def _note(form: str, column: Column, numbers: list[int], marker: str, notes: Notes) -> None:
    found = notes.tally.forms.setdefault(form, Form())
    found.count += len(numbers)
    for number in numbers[:5]:
        text = column.texts[number]
        notes.example(form, column.lines[number], text, text.index(marker))


def _judge(tally: Tally) -> Verdict | None:
    """Find the spellings that differ from the one that nearly all texts have."""
    groups: dict[str, dict[str, Form]] = {}
    for name, form in tally.forms.items():
        key, _, marker = name.partition("\0")
        groups.setdefault(key, {})[marker] = form
    verdicts: list[Verdict] = []
    for forms in groups.values():
        total = sum(form.count for form in forms.values())
        best = max(forms, key=lambda marker: (forms[marker].count, marker))
        is_marker = total >= max(FEW, IN_ALL * tally.seen)
        if is_marker and forms[best].count >= CLEAR * total and (found := against(forms, best)):
            named = tuple((f"{marker!r} for {best!r}", count) for marker, count in found.forms)
            verdicts.append(found._replace(forms=named, majority=(repr(best), forms[best].count)))
    if not verdicts:
        return None
    return Verdict(
        sum(verdict.faulty for verdict in verdicts),
        tuple(form for verdict in verdicts for form in verdict.forms),
        verdicts[0].majority,
        tuple(first_records(e for verdict in verdicts for e in verdict.examples)),
    )


RULES = (
    Rule(
        name="marker-spelling",
        severity="warning",
        unit="record",
        finds="markers that are spelled otherwise than in most records",
        why="### Response: and ###Response: are other tokens. A model that has seen both waits for "
        "either.",
        cure="Write each marker in one way, to the last space.",
        look=_look,
        judge=_judge,
    ),
)
