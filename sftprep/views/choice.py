"""Which rows a view shows: those of a place, a length, a reason or a text, or any at random.

In     the options of the command; of each row that could be shown: its place, its length, what
       truncation has removed, and the reasons under which it is counted.
Out    whether a row is wanted, and in which order the wanted ones are shown.
Never  depends on anything but the rows and the seed: the same command shows the same rows.
Raises UsageError: options contradict each other, or a place is not FILE:LINE.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nsmallest
from typing import NamedTuple

from sftprep.errors import UsageError
from sftprep.text import number


class Candidate(NamedTuple):
    """A row that could be shown."""

    key: tuple[int, ...]  # its place among all rows; unique
    file: str  # the name of its input in the manifest
    line: int
    tokens: int
    cut_tokens: int
    reasons: Collection[str]


@dataclass(frozen=True)
class Choice:
    """The options that choose rows."""

    rows: int = 1
    line: str | None = None
    random: bool = False
    seed: int = 0
    longest: bool = False
    shortest: bool = False
    cut: bool = False
    reason: str | None = None
    grep: str | None = None

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise UsageError(f"--rows is {self.rows}; expected 1 or more.")
        orders = [name for name in ("random", "longest", "shortest") if getattr(self, name)]
        if len(orders) > 1:
            raise UsageError(
                f"--{orders[0]} and --{orders[1]} each give an order. Choose one of them."
            )
        if self.seed and not self.random:
            raise UsageError("--seed is given, but nothing is random. Pass --random with it.")
        if self.grep == "":
            raise UsageError("--grep is empty; expected a text.")
        self.place()

    @property
    def is_plain(self) -> bool:
        """Whether the first rows are wanted, whatever they are."""
        return self == Choice(rows=self.rows)

    @property
    def needs_all(self) -> bool:
        """Whether all rows must be known before the first one can be shown."""
        return self.random or self.longest or self.shortest

    def place(self) -> tuple[str, int] | None:
        """Return the file and the line of ``--line``."""
        if self.line is None:
            return None
        file, _, line = self.line.rpartition(":")
        if not file or not line.isdecimal() or int(line) < 1:
            raise UsageError(f"--line {self.line}: expected FILE:LINE, as in train.jsonl:12.")
        return file, int(line)

    def wants(self, row: Candidate) -> bool:
        """Tell whether a row is wanted, as far as that does not depend on its text."""
        place = self.place()
        if place is not None and (row.line != place[1] or not _same_file(row.file, place[0])):
            return False
        if self.cut and not row.cut_tokens:
            return False
        return self.reason is None or any(_is_reason(each, self.reason) for each in row.reasons)

    def wants_lost(self, file: str, line: int, reason: str) -> bool:
        """Tell whether a record without a row is wanted."""
        return self.wants(Candidate((), file, line, 0, 0, [reason]))

    def pick(self, rows: Iterable[Candidate]) -> list[Candidate]:
        """Return the rows to show, in their order, from all that are wanted."""
        if self.longest:
            return nsmallest(self.rows, rows, key=lambda row: (-row.tokens, row.key))
        if self.shortest:
            return nsmallest(self.rows, rows, key=lambda row: (row.tokens, row.key))
        if self.random:
            return nsmallest(self.rows, rows, key=lambda row: (self._drawn(row), row.key))
        found = []
        for row in rows:
            found.append(row)
            if len(found) == self.rows:
                break
        return found

    def _drawn(self, row: Candidate) -> bytes:
        return blake2b(repr((self.seed, row.key)).encode()).digest()

    def in_words(self) -> str:
        """Return the options that choose rows, as they are typed."""
        parts = [
            f"--{name}" for name in ("random", "longest", "shortest", "cut") if getattr(self, name)
        ]
        parts += [
            f"--{name} {value}"
            for name in ("line", "reason", "grep")
            if (value := getattr(self, name)) is not None
        ]
        return " ".join(parts)


def check_lost(choice: Choice) -> None:
    """Refuse options that choose rows where records without a row are listed."""
    if choice.needs_all or choice.cut or choice.grep:
        raise UsageError(
            f"--dropped lists records without a row, and {choice.in_words()} chooses rows. Only "
            "--line, --reason and --rows go with it."
        )


def nothing_found(choice: Choice, looked_at: int, reasons: Collection[str]) -> UsageError:
    """Return the error for a choice that no row meets.

    Args:
        choice: the choice.
        looked_at: how many rows there are.
        reasons: the reasons under which these rows are counted.
    """
    hint = "Choose others."
    if choice.reason is not None:
        names = sorted({name.partition(":")[0] for name in reasons})
        hint = f"The reasons are {', '.join(names)}." if names else "No row has a reason."
    return UsageError(
        f"no row is chosen by {choice.in_words()}, of {number(looked_at, 'row')}. {hint}"
    )


def _same_file(name: str, wanted: str) -> bool:
    """Tell whether a name in the manifest is meant by a path that a user gives."""
    return name == wanted or wanted.endswith(f"/{name}") or name.endswith(f"/{wanted}")


def _is_reason(name: str, wanted: str) -> bool:
    """Tell whether a reason is meant: ``omitted:tools`` by itself, and also by ``omitted``."""
    return name == wanted or name.partition(":")[0] == wanted
