"""What must be true of every row of a shard, whatever the manifest's hashes say.

In     a shard's ``Chunk``s in order; the longest row, the vocabulary's size, the ignore index.
Out    its rows, tokens and trained tokens as counted; for each rule that is broken, the first row
       at fault with what was found there, and how many other rows break it.
Keeps  numpy: no Python object for a token or for a row that is as it should be.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Mask, Offsets, Ragged, lengths_to_offsets
from sftprep.formats.chunks import COLUMNS, Chunk
from sftprep.text import number
from sftprep.verify.report import Problem

MOST = 1 << 62
"""No length or id that an array can hold is as large."""


class Rules(NamedTuple):
    """What the manifest says of all rows."""

    max_length: int
    vocabulary: int  # one more than the largest id
    ignore_index: int


@dataclass
class Fault:
    """Rows that break one rule."""

    row: int  # the first
    problem: str  # of that one
    others: int = 0


@dataclass
class RowCheck:
    """Counts a shard's rows and finds those at fault."""

    rules: Rules
    rows: int = 0
    tokens: int = 0
    trained: int = 0
    _faults: dict[str, Fault] = field(default_factory=dict)

    def add(self, part: Chunk) -> None:
        """Check the next rows."""
        ids, mask, labels = part
        uneven = (ids.lengths != labels.lengths) | (ids.lengths != mask.lengths)
        self._find("uneven", uneven, lambda row: _lengths(part, row))
        self._check_lengths(ids)
        self._check_ids(ids)
        self._check_mask(mask)
        if uneven.any():
            even = np.flatnonzero(~uneven)
            self._check_labels(ids.take(even), labels.take(even), even)
        else:
            self._check_labels(ids, labels, np.arange(len(uneven)))
        self.rows += len(ids.lengths)
        self.tokens += len(ids.values)
        self.trained += int(np.count_nonzero(labels.values != self.rules.ignore_index))

    def problems(self, file: str) -> list[Problem]:
        """A problem for each rule that is broken, the earliest row first."""
        return [
            Problem(file, fault.row, fault.problem + _others(fault.others))
            for fault in sorted(self._faults.values(), key=lambda fault: fault.row)
        ]

    def _check_lengths(self, ids: Ragged) -> None:
        most, lengths = self.rules.max_length, ids.lengths
        self._find("empty", lengths == 0, lambda _: "holds no token")
        self._find(
            "long",
            lengths > min(most, MOST),
            lambda row: f"holds {number(int(lengths[row]), 'token')}; max_length is {most:,}",
        )

    def _check_ids(self, ids: Ragged) -> None:
        size = self.rules.vocabulary
        wrong = (ids.values < 0) | (ids.values >= min(size, MOST))
        self._find_tokens(
            "id",
            ids.offsets,
            wrong,
            lambda token, at: (
                f"token {token} has the id {ids.values[at]}; expected 0 to {size - 1}"
            ),
        )

    def _check_mask(self, mask: Ragged) -> None:
        self._find_tokens(
            "mask",
            mask.offsets,
            mask.values != 1,
            lambda token, at: f"token {token} has the attention_mask {mask.values[at]}; expected 1",
        )

    def _check_labels(self, ids: Ragged, labels: Ragged, rows: npt.NDArray[np.intp]) -> None:
        """Labels of rows that have as many as ids; ``rows`` are their numbers in the part."""
        ignored = self.rules.ignore_index
        trained = labels.values != ignored
        self._find_tokens(
            "label",
            ids.offsets,
            trained & (labels.values != ids.values),
            lambda token, at: (
                f"token {token} has the label {labels.values[at]}; expected {ids.values[at]}, "
                f"its id, or {ignored}"
            ),
            rows,
        )
        filled = ids.lengths > 0
        trained[ids.offsets[:-1][filled]] = False  # nothing predicts a row's first token
        wrong = np.zeros(len(rows), np.bool_)
        total = lengths_to_offsets(trained.astype(np.int64))
        wrong[filled] = (total[ids.offsets[1:]] == total[ids.offsets[:-1]])[filled]
        self._find("untrained", wrong, lambda _: "holds no trained token", rows)

    def _find(
        self,
        rule: str,
        wrong: Mask,
        words: Callable[[int], str],
        rows: npt.NDArray[Any] | None = None,
    ) -> None:
        """Note the rows where ``wrong`` is True."""
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        if rule in self._faults:
            self._faults[rule].others += count
            return
        first = int(np.argmax(wrong))
        row = first if rows is None else int(rows[first])
        self._faults[rule] = Fault(self.rows + row, words(first), count - 1)

    def _find_tokens(
        self,
        rule: str,
        offsets: Offsets,
        wrong: Mask,
        words: Callable[[int, int], str],
        rows: npt.NDArray[Any] | None = None,
    ) -> None:
        """Note the rows with tokens where ``wrong`` is True."""
        if not wrong.any():
            return
        total = lengths_to_offsets(wrong.astype(np.int64))
        at = int(np.argmax(wrong))
        self._find(
            rule,
            total[offsets[1:]] > total[offsets[:-1]],
            lambda row: words(at - int(offsets[row]), at),
            rows,
        )


def _lengths(part: Chunk, row: int) -> str:
    found = [f"{column.lengths[row]:,} {name}" for name, column in zip(COLUMNS, part, strict=True)]
    return f"holds {', '.join(found)}; expected as many of each"


def _others(count: int) -> str:
    return f" (and {number(count, 'more row')})" if count else ""
