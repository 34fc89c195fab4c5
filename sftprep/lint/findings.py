"""What rules have found: counts and examples, which can be merged.

In     what a rule notes of the records of a block.
Out    ``Tally``: how much was looked at, and for each form that the rule tells apart, how often it
       occurs, with its first examples.
Keeps  a tally small: it holds no text but excerpts, and no more than ``MOST_FORMS`` forms.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

EXAMPLES = 5
"""How many examples of a form are kept."""
MOST_FORMS = 2000
"""A rule that has seen more forms than this has seen no form that most texts have."""
AROUND = 32
"""How many characters an excerpt shows on each side of what was found."""


class Example(NamedTuple):
    """A place where a rule has found something. Examples are ordered by their places."""

    source: int  # index into the list of sources
    line: int  # from 1; in a table, the number of the row
    offset: int | None  # of the record, in bytes; None in a table
    text: str  # an excerpt of the text; or, if ``is_said``, a remark
    is_start: bool = True  # whether the excerpt begins where the text begins
    is_end: bool = True  # whether it ends where the text ends
    is_said: bool = False


@dataclass
class Form:
    """One of the forms that a rule tells apart."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, other: "Form") -> None:
        """Add what was found elsewhere."""
        self.count += other.count
        self.examples = first_examples([*self.examples, *other.examples])


@dataclass
class Tally:
    """What a rule has seen."""

    seen: int = 0  # how many records, answers, ... were looked at
    faulty: int = 0  # how many of them have at least one of the forms
    forms: dict[str, Form] = field(default_factory=dict)
    has_many: bool = False  # whether there were more than ``MOST_FORMS`` forms

    def add(self, other: "Tally") -> None:
        """Add what was seen elsewhere."""
        self.seen += other.seen
        self.faulty += other.faulty
        self.has_many = self.has_many or other.has_many
        for name, form in other.forms.items():
            self.forms.setdefault(name, Form()).add(form)
        if self.has_many or len(self.forms) > MOST_FORMS:
            self.has_many = True
            self.forms.clear()


Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


class Columns(NamedTuple):
    """What is known of each record, for the rules that compare records of the whole input."""

    source: Numbers  # int64[records]: index into the list of sources
    line: Numbers  # int64[records]
    offset: Numbers  # int64[records]: -1 in a table
    prompt: Keys  # of all that comes before the last answer
    record: Keys  # of the whole record
    length: Numbers  # of the last answer, in characters

    @classmethod
    def nothing(cls) -> "Columns":
        """Return the columns of no records."""
        numbers, keys = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        return cls(numbers, numbers, numbers, keys, keys, numbers)

    @classmethod
    def concatenate(cls, parts: Sequence["Columns"]) -> "Columns":
        """Return the columns of all records, in the order of the input."""
        if not parts:
            return cls.nothing()
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in cls._fields
        }
        order = np.lexsort((joined["line"], joined["source"]))
        return cls(**{name: column[order] for name, column in joined.items()})


@dataclass
class Findings:
    """What all rules have seen in some blocks."""

    tallies: dict[str, Tally] = field(default_factory=dict)  # by the name of the rule
    columns: list[Columns] = field(default_factory=list)
    records: int = 0

    def add(self, other: "Findings") -> None:
        """Add what was seen in other blocks."""
        for name, tally in other.tallies.items():
            self.tallies.setdefault(name, Tally()).add(tally)
        self.columns += other.columns
        self.records += other.records


def first_examples(examples: Iterable[Example]) -> list[Example]:
    """Return the examples that come first in the input, one of each excerpt."""
    return _firsts(examples, lambda one: one if one.is_said else one.text)


def first_records(examples: Iterable[Example]) -> list[Example]:
    """Return the examples that come first, one of each excerpt, and one of each record."""
    distinct = _firsts(examples, lambda one: one if one.is_said else one.text, len)
    by_record = _firsts(distinct, lambda one: one[:3], len)
    return _firsts(by_record, lambda one: (one.source, one.line, one.text))


def _firsts(
    examples: Iterable[Example],
    key: Callable[[Example], Hashable],
    most: Callable[[list[Example]], int] = lambda _: EXAMPLES,
) -> list[Example]:
    """Return the first examples of those with the same key, in the order of the input.

    Args:
        examples: the examples.
        key: what only one of them may have.
        most: returns how many are wanted.
    """
    ordered = sorted(examples, key=lambda one: (*one[:2], one.offset or 0, *one[3:]))
    first: dict[Hashable, Example] = {}
    for example in ordered:
        first.setdefault(key(example), example)
    return list(first.values())[: most(ordered)]


def excerpt(text: str, start: int, end: int) -> tuple[str, bool, bool]:
    """Return a part of a text around a stretch; whether it begins with the text, and ends with it.

    >>> excerpt("abc", 1, 2)
    ('abc', True, True)
    """
    end = min(end, start + 2 * AROUND)
    first, last = max(0, start - AROUND), min(len(text), end + AROUND)
    return text[first:last], first == 0, last == len(text)


def most_frequent(forms: Mapping[str, Form]) -> list[tuple[str, int]]:
    """Return the forms with their counts, the most frequent first."""
    counts = [(name, form.count) for name, form in forms.items()]
    return sorted(counts, key=lambda pair: (-pair[1], pair[0]))
