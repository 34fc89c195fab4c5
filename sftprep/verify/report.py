"""What a check of a dataset found.

In     problems: which file, which of its rows where it is one, what was found and expected.
Out    one line, one JSON object, or a ``DataError`` that lists the problems.
Never  lets a file's name or content act on the terminal: control characters come out as escapes.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from sftprep.errors import DataError
from sftprep.text import ascii_safe, number

LISTED = 20
"""How many problems an error lists; it names the total as well. JSON has them all."""


class Problem(NamedTuple):
    """Something that is not as the manifest says, or as every dataset is."""

    file: str  # from the dataset's folder
    row: int | None  # in the file, from 0
    problem: str  # without a full stop

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}: row {self.row}"
        return ascii_safe(f"{place}: {self.problem}")


@dataclass
class Report:
    """The result of a check."""

    dataset: str
    problems: list[Problem] = field(default_factory=list)
    rows: int = 0  # that the shards hold
    tokens: int = 0
    shards: int = 0
    files: int = 0
    compared: int | None = None  # inputs that were rendered and encoded again; None: not done
    remark: str = ""  # on the check itself

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, file: str, problem: str, row: int | None = None) -> None:
        """Note a problem."""
        self.problems.append(Problem(file, row, problem))

    def as_json(self) -> bytes:
        """One JSON object and a line end."""
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
            "compared_inputs": self.compared,
        }
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)

    def summary(self) -> str:
        """One line for a dataset with which nothing is wrong."""
        again = ""
        if self.compared is not None:
            again = f"; {number(self.compared, 'input')} rendered and encoded again: the same"
        return (
            f"{self.dataset}: verified: {number(self.rows, 'row')} in "
            f"{number(self.shards, 'shard')}, {number(self.tokens, 'token')}, "
            f"{number(self.files, 'file')}{again}; nothing wrong"
        )

    def check(self) -> None:
        """Refuse a dataset with which something is wrong.

        Raises:
            DataError: it lists the first problems.
        """
        if self.ok:
            return
        more = len(self.problems) - LISTED
        lines = [
            f"{self.dataset}: {number(len(self.problems), 'problem')}. Build the dataset again.",
            *map(str, self.problems[:LISTED]),
            *([f"... and {more:,} more"] if more > 0 else []),
            *([self.remark] if self.remark else []),
        ]
        raise DataError("\n".join(lines))
