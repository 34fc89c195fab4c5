"""The result of a check: a list of problems, and how it is printed.

In     problems: the file, the row if the problem is in a row, what was found and what was expected.
Out    a one-line summary, one JSON object, or a ``DataError`` that lists the problems.
Never  lets a file's name or content act on the terminal: control characters are printed as escapes.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from sftprep.dataset.leftovers import listed
from sftprep.errors import DataError
from sftprep.text import ascii_safe, number

MAX_LISTED = 20
"""How many problems an error lists. It also gives the total; JSON output lists all problems."""


class Problem(NamedTuple):
    """One thing that differs from what the manifest says, or from what every dataset must be.

    >>> str(Problem("data/train-00000-of-00001.parquet", 3, "holds no token"))
    'data/train-00000-of-00001.parquet: row 3: holds no token'
    """

    file: str  # path relative to the dataset's folder
    row: int | None  # number in the file, from 0; None if the problem is not in one row
    problem: str  # without a full stop at the end

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}: row {self.row}"
        return ascii_safe(f"{place}: {self.problem}")


@dataclass
class Report:
    """What a check found, and how much it read."""

    dataset: str
    problems: list[Problem] = field(default_factory=list)
    rows: int = 0  # in the shards that were read
    tokens: int = 0
    shards: int = 0
    files: int = 0
    compared_inputs: int | None = None  # inputs that were rebuilt and compared; None if none were
    leftovers: dict[str, str] = field(default_factory=dict)
    """Files that are none of the dataset's, but known: path -> the reader that has left it."""
    remark: str = ""  # a sentence about the check itself, printed after the problems

    @property
    def ok(self) -> bool:
        """True if no problem was found."""
        return not self.problems

    def add(self, file: str, problem: str, row: int | None = None) -> None:
        """Add a problem."""
        self.problems.append(Problem(file, row, problem))

    def as_json(self) -> bytes:
        """Return the report as one JSON object, with a newline at its end."""
        value: dict[str, Any] = {
            "dataset": ascii_safe(self.dataset),
            "ok": self.ok,
            "problems": [
                {"file": ascii_safe(p.file), "row": p.row, "problem": ascii_safe(p.problem)}
                for p in self.problems
            ],
            "rows": self.rows,
            "tokens": self.tokens,
            "shards": self.shards,
            "files": self.files,
            "compared_inputs": self.compared_inputs,
            "left_by_readers": {ascii_safe(path): by for path, by in self.leftovers.items()},
        }
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)

    def summary(self) -> str:
        """Return one line about a dataset that has no problems."""
        rebuilt = ""
        if self.compared_inputs is not None:
            inputs = number(self.compared_inputs, "input")
            rebuilt = f"; {inputs} rendered and encoded again, with the same result"
        left = f"; not of the dataset: {listed(self.leftovers)}" if self.leftovers else ""
        return (
            f"{self.dataset}: verified: {number(self.rows, 'row')} in "
            f"{number(self.shards, 'shard')}, {number(self.tokens, 'token')}, "
            f"{number(self.files, 'file')}{rebuilt}{left}; no problems found"
        )

    def check(self) -> None:
        """Raise an error if the dataset has problems.

        Raises:
            DataError: the dataset has problems; the text lists the first ``MAX_LISTED``.
        """
        if self.ok:
            return
        more = len(self.problems) - MAX_LISTED
        lines = [
            f"{self.dataset}: {number(len(self.problems), 'problem')}. Build the dataset again.",
            *map(str, self.problems[:MAX_LISTED]),
            *([f"... and {more:,} more"] if more > 0 else []),
            *([self.remark] if self.remark else []),
        ]
        raise DataError("\n".join(lines))
