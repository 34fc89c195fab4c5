"""Check what must be true of every row of a shard, whatever the hashes in the manifest say.

In     the ``Chunk``s of one shard, in order; the maximum length of a row, the size of the
       vocabulary, and the ignore index.
Out    the number of rows, tokens and trained tokens; for each broken rule, the first row that
       breaks it, what was found there, and how many other rows break it.
Keeps  the work in numpy: no Python object is made for a token, or for a row that breaks no rule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Mask, Offsets, Ragged, lengths_to_offsets
from sftprep.formats.chunks import Chunk
from sftprep.text import number
from sftprep.verify.report import Problem


class RowLimits(NamedTuple):
    """What the manifest says about all rows."""

    max_length: int  # in tokens
    vocabulary_size: int  # ids are smaller than this
    ignore_index: int


@dataclass
class BrokenRule:
    """A rule that some rows break."""

    row: int  # number in the shard of the first row that breaks it
    problem: str  # what is wrong with that row
    other_rows: int = 0  # how many more rows break it


@dataclass
class RowChecker:
    """Counts the rows of one shard and finds those that break a rule.

    Args:
        limits: what the manifest says about all rows.
    """

    limits: RowLimits
    rows: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    _broken: dict[str, BrokenRule] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> None:
        """Check the next rows."""
        ids, labels, mask = chunk.input_ids, chunk.labels, chunk.columns["attention_mask"]
        uneven = (ids.lengths != labels.lengths) | (ids.lengths != mask.lengths)
        self._add_rows("uneven", uneven, lambda row: _uneven(chunk, row))
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
        self.trained_tokens += int(np.count_nonzero(labels.values != self.limits.ignore_index))

    def problems(self, file: str) -> list[Problem]:
        """Return one problem for each broken rule, sorted by row."""
        return [
            Problem(file, rule.row, rule.problem + _and_more(rule.other_rows))
            for rule in sorted(self._broken.values(), key=lambda rule: rule.row)
        ]

    def _check_lengths(self, ids: Ragged) -> None:
        limit, lengths = self.limits.max_length, ids.lengths
        self._add_rows("empty", lengths == 0, lambda _: "holds no token")
        self._add_rows(
            "long",
            lengths > limit,
            lambda row: f"holds {number(int(lengths[row]), 'token')}; max_length is {limit:,}",
        )

    def _check_ids(self, ids: Ragged) -> None:
        size = self.limits.vocabulary_size
        self._add_tokens(
            "id",
            ids.offsets,
            (ids.values < 0) | (ids.values >= size),
            lambda token, at: (
                f"token {token} has the id {ids.values[at]}; expected 0 to {size - 1}"
            ),
        )

    def _check_mask(self, mask: Ragged) -> None:
        self._add_tokens(
            "mask",
            mask.offsets,
            mask.values != 1,
            lambda token, at: f"token {token} has the attention_mask {mask.values[at]}; expected 1",
        )

    def _check_labels(self, ids: Ragged, labels: Ragged, rows: npt.NDArray[np.intp]) -> None:
        """Check the labels of rows that have one label per id.

        Args:
            ids: the ids of these rows.
            labels: the labels of these rows, with the same lengths.
            rows: the number of each row in the chunk.
        """
        ignore_index = self.limits.ignore_index
        trained = labels.values != ignore_index
        self._add_tokens(
            "label",
            ids.offsets,
            trained & (labels.values != ids.values),
            lambda token, at: (
                f"token {token} has the label {labels.values[at]}; expected {ids.values[at]}, "
                f"its id, or {ignore_index}"
            ),
            rows,
        )
        filled = ids.lengths > 0
        trained[ids.offsets[:-1][filled]] = False  # the first token of a row is never predicted
        untrained = np.zeros(len(rows), np.bool_)
        total = lengths_to_offsets(trained.astype(np.int64))
        untrained[filled] = (total[ids.offsets[1:]] == total[ids.offsets[:-1]])[filled]
        self._add_rows("untrained", untrained, lambda _: "holds no trained token", rows)

    def _add_rows(
        self,
        rule: str,
        wrong: Mask,
        describe: Callable[[int], str],
        rows: npt.NDArray[Any] | None = None,
    ) -> None:
        """Note the rows that break a rule.

        Args:
            rule: the name of the rule.
            wrong: bool[rows], True for a row that breaks the rule.
            describe: says what is wrong with a row, given its index in ``wrong``.
            rows: the number of each row in the chunk; None if it is the index.
        """
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        if rule in self._broken:
            self._broken[rule].other_rows += count
            return
        first = int(np.argmax(wrong))
        row = first if rows is None else int(rows[first])
        self._broken[rule] = BrokenRule(self.rows + row, describe(first), count - 1)

    def _add_tokens(
        self,
        rule: str,
        offsets: Offsets,
        wrong: Mask,
        describe: Callable[[int, int], str],
        rows: npt.NDArray[Any] | None = None,
    ) -> None:
        """Note the rows with tokens that break a rule.

        Args:
            rule: the name of the rule.
            offsets: where the rows begin and end in ``wrong``.
            wrong: bool[tokens], True for a token that breaks the rule.
            describe: says what is wrong with a token, given its number in its row and its index in
                ``wrong``.
            rows: the number of each row in the chunk; None if it is the index.
        """
        if not wrong.any():
            return
        total = lengths_to_offsets(wrong.astype(np.int64))
        at = int(np.argmax(wrong))
        self._add_rows(
            rule,
            total[offsets[1:]] > total[offsets[:-1]],
            lambda row: describe(at - int(offsets[row]), at),
            rows,
        )


def _uneven(chunk: Chunk, row: int) -> str:
    found = [f"{column.lengths[row]:,} {name}" for name, column in chunk.columns.items()]
    return f"holds {', '.join(found)}; expected the same number of each"


def _and_more(count: int) -> str:
    return f" (and {number(count, 'more row')})" if count else ""
