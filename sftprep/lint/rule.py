"""What a rule is.

A rule looks at the records of a block and notes what it sees, or looks at columns of the whole
input. Its judge then says what of that is a finding. Most judges take all that was noted. Where a
text is at fault only because most others differ, the judge needs a majority; it names both forms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from sftprep.data.block import place_in
from sftprep.lint.findings import (
    EXAMPLES,
    Columns,
    Example,
    Form,
    Tally,
    excerpt,
    first_examples,
    first_records,
    most_frequent,
)
from sftprep.lint.material import Column, Material

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the most to the least severe."""
CLEAR = 0.9
"""The share from which a form is that of a clear majority."""
FEW = 20
"""Where fewer texts than this were seen, none of their forms is that of a clear majority."""


class Verdict(NamedTuple):
    """What a rule finds in the whole input."""

    faulty: int  # how many are at fault
    forms: tuple[tuple[str, int], ...]  # the forms at fault, with their counts
    majority: tuple[str, int] | None  # the form that most have, with its count
    examples: tuple[Example, ...]


class Notes:
    """Collects what a rule sees in a block.

    Args:
        material: the block.
    """

    def __init__(self, material: Material) -> None:
        self._material = material
        self._lines: dict[str, set[int]] = {}  # form -> lines of the block
        self._last: dict[str, int] = {}  # form -> the last line of which an example was kept
        self.tally = Tally()

    def seen(self, count: int) -> None:
        """Note how many records, answers, ... were looked at."""
        self.tally.seen += count

    def fault(self, line: int, text: str, start: int, end: int, form: str = "") -> None:
        """Note a fault. Of several with one form in a record, one is counted.

        Args:
            line: the index of the record's line in the block.
            text: the text that has the fault.
            start: where in the text the fault begins.
            end: where it ends.
            form: what the rule tells apart.
        """
        if self._is_new(line, form):
            found = self.tally.forms.setdefault(form, Form())
            last = self._last.get(form, -1)
            if len(found.examples) < EXAMPLES or line < last:
                place = self._material.place(line)
                found.examples.append(Example(*place, *excerpt(text, start, end)))
                found.examples = first_examples(found.examples)
                self._last[form] = max(last, line)

    def faults(self, column: Column, string: str, form: str) -> None:
        """Note that all texts of a column hold a string, as ``fault`` does for each of them."""
        if not len(column):
            return
        lines = self._lines.setdefault(form, set())
        lines.update(column.lines)
        found = self.tally.forms.setdefault(form, Form())
        for line, text in islice(sorted(column.pairs()), 4 * EXAMPLES):
            where = text.index(string)
            parts = excerpt(text, where, where + len(string))
            found.examples.append(Example(*self._material.place(line), *parts))
        found.examples = first_examples(found.examples)

    def remark(self, line: int, text: str, form: str = "") -> None:
        """Note a fault that is described by a remark, instead of an excerpt."""
        if self._is_new(line, form):
            found = self.tally.forms.setdefault(form, Form())
            found.examples.append(Example(*self._material.place(line), text, is_said=True))
            found.examples = first_examples(found.examples)

    def records(
        self, lines: Sequence[int], remark: Callable[[int], str] = str, form: str = ""
    ) -> None:
        """Note records that are at fault, in order.

        Args:
            lines: the indices of their lines in the block.
            remark: says of a line what is wrong with its record.
            form: what the rule tells apart.
        """
        if not lines:
            return
        self._lines.setdefault(form, set()).update(lines)
        found = self.tally.forms.setdefault(form, Form())
        new = [
            Example(*self._material.place(line), remark(line), is_said=True)
            for line in sorted(set(lines))[:EXAMPLES]
        ]
        found.examples = first_examples([*found.examples, *new])

    def all_of(self, form: str, column: Column, numbers: Sequence[int], *, at_end: bool) -> None:
        """Note the form of some texts of a column, each of which counts.

        Args:
            form: the form.
            column: the texts.
            numbers: which of them have this form.
            at_end: whether the form is that of the end of a text.
        """
        if not numbers:
            return
        examples = []
        for number in numbers[:5]:
            text = column.texts[number]
            where = len(text) if at_end else 0
            parts = excerpt(text, where, where)
            examples.append(Example(*self._material.place(column.lines[number]), *parts))
        self.tally.forms.setdefault(form, Form()).add(Form(len(numbers), examples))

    def example(self, form: str, line: int, text: str, where: int) -> None:
        """Add an example of a form whose texts are counted already."""
        example = Example(*self._material.place(line), *excerpt(text, where, where + 1))
        found = self.tally.forms[form]
        found.examples = first_examples([*found.examples, example])

    def said(self, form: str, line: int, remark: str) -> None:
        """Add a remark as an example of a form whose records are counted already."""
        example = Example(*self._material.place(line), remark, is_said=True)
        found = self.tally.forms[form]
        found.examples = first_examples([*found.examples, example])

    def _is_new(self, line: int, form: str) -> bool:
        lines = self._lines.setdefault(form, set())
        if line in lines:
            return False
        lines.add(line)
        return True

    def finished(self) -> Tally:
        """Return what was noted."""
        for form, lines in self._lines.items():
            self.tally.forms[form].count += len(lines)
        self.tally.faulty += len(set().union(*self._lines.values()))
        return self.tally


Look = Callable[[Material, Notes], None]
"""Looks at the records of a block, and notes what it sees."""
LookOver = Callable[[Columns, Sequence[str]], Tally]
"""Looks at all records of the input; also gets the paths of the sources."""
Judge = Callable[[Tally], Verdict | None]
"""Says what of a tally is a finding; None if nothing is."""


def every_form(tally: Tally) -> Verdict | None:
    """Take all that was noted as a finding."""
    if not tally.forms:
        return None
    examples = first_records(e for form in tally.forms.values() for e in form.examples)
    named = [(name, count) for name, count in most_frequent(tally.forms) if name]
    return Verdict(tally.faulty, tuple(named), None, tuple(examples))


def minority(least: float, *, few: int = FEW) -> Judge:
    """Return a judge that takes all forms but the most frequent one as a finding.

    Args:
        least: the share that the most frequent form must have; 0 if any mix is a finding.
        few: how many texts must have been seen.
    """

    def judge(tally: Tally) -> Verdict | None:
        ranked = most_frequent(tally.forms)
        total = sum(count for _, count in ranked)
        if len(ranked) < 2 or total < few or ranked[0][1] < least * total:
            return None
        return against(tally.forms, ranked[0][0])

    return judge


def against(forms: Mapping[str, Form], majority: str) -> Verdict | None:
    """Return the finding that some texts do not have the form that most have."""
    others = {name: form for name, form in forms.items() if name != majority}
    if not others:
        return None
    ranked = most_frequent(others)
    examples = first_records(e for form in others.values() for e in form.examples)
    return Verdict(
        faulty=sum(count for _, count in ranked),
        forms=tuple(ranked),
        majority=(majority, forms[majority].count),
        examples=tuple(examples),
    )


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule, with all that a user is told about it."""

    name: str
    severity: Severity
    unit: str  # what is counted: record, answer, prompt, message
    finds: str  # what it finds, as a phrase in the plural
    why: str  # why that matters, in sentences
    cure: str  # what to do, in sentences
    look: Look | None = None
    look_over: LookOver | None = None
    judge: Judge = every_form
    needs_rows: bool = False  # whether it looks at tokens, and so needs a tokenizer


class Finding(NamedTuple):
    """What a rule has found, with what it was looked for in."""

    rule: Rule
    seen: int
    verdict: Verdict

    @property
    def share(self) -> float:
        """Which part of what was looked at is at fault."""
        return self.verdict.faulty / self.seen if self.seen else 0.0


def place_of(example: Example, names: Sequence[str]) -> str:
    """Return the place of an example, as ``file:line``."""
    return place_in(names[example.source], example.line, example.offset)
