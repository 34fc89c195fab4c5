"""Check what must be true of every row of a shard, whatever the hashes in the manifest say.

In     the ``Chunk``s of one shard, in order; the maximum length of a document, the size of the
       vocabulary, the ignore index, and how documents stand in rows.
Out    the number of rows, documents, tokens and trained tokens; for each broken rule, the first
       row that breaks it, what was found there, and how many other rows break it.
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
from sftprep.verify.documents import Documents, check_documents, find_documents
from sftprep.verify.layout import RowLayout, padded_lengths
from sftprep.verify.report import Problem


class RowLimits(NamedTuple):
    """What the manifest says about all rows."""

    max_length: int  # of a document, in tokens
    vocabulary_size: int  # ids are smaller than this
    ignore_index: int
    layout: RowLayout = RowLayout()


class FoundDocuments(NamedTuple):
    """Documents as they stand in the rows of a shard."""

    row: Offsets  # int64[documents]: the row of the shard
    position: Offsets  # int64[documents]: the first token in the row
    lengths: Offsets  # int64[documents]
    trained: Mask  # bool[tokens of these documents]: which tokens have a label


@dataclass
class BrokenRule:
    """A rule that some rows break."""

    row: int  # number in the shard of the first row that breaks it
    problem: str  # what is wrong with that row
    other_rows: int = 0  # how many more rows break it


class BrokenRules(dict[str, BrokenRule]):
    """The rules that some rows break, by the name of the rule."""

    def add(
        self, rule: str, wrong: Mask, describe: Callable[[int], str], number: Callable[[int], int]
    ) -> None:
        """Note the rows that break a rule.

        Args:
            rule: the name of the rule.
            wrong: bool[rows], True for a row that breaks the rule.
            describe: says what is wrong with a row, given its index in ``wrong``.
            number: returns the number of that row in the shard.
        """
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        if rule in self:
            self[rule].other_rows += count
            return
        first = int(np.argmax(wrong))
        self[rule] = BrokenRule(number(first), describe(first), count - 1)

    def in_order(self) -> list[BrokenRule]:
        """Return the rules in the order of the first rows that break them."""
        return sorted(self.values(), key=lambda rule: rule.row)


@dataclass
class RowChecker:
    """Counts the rows of one shard and finds those that break a rule.

    Args:
        limits: what the manifest says about all rows.
    """

    limits: RowLimits
    rows: int = 0
    documents: int = 0
    tokens: int = 0  # without padding
    trained_tokens: int = 0
    longest: int = 0  # the most tokens in a row, without padding
    padded_to: int | None = None  # the length of the rows, where all have the same
    _broken: BrokenRules = field(default_factory=BrokenRules)

    def add(self, chunk: Chunk) -> FoundDocuments | None:
        """Check the next rows.

        Returns:
            The documents in them; None if a rule was broken, in these rows or earlier.
        """
        ids = chunk.input_ids
        uneven = np.zeros(len(chunk), np.bool_)
        for name, column in chunk.columns.items():
            if name != "seq_lengths":
                uneven |= column.lengths != ids.lengths
        self._add_rows("uneven", uneven, lambda row: _uneven(chunk, row))
        self._add_rows("empty", ids.lengths == 0, lambda _: "holds no token")
        self._check_ids(ids)
        rows = np.flatnonzero(~uneven)
        even = chunk
        if uneven.any():
            even = Chunk({name: column.take(rows) for name, column in chunk.columns.items()})
        documents, wrong = find_documents(even, self.limits.layout)
        for rule in wrong:
            self._add_rows(rule.rule, rule.rows, rule.describe, rows)
        for check in check_documents(even, documents, self.limits.layout):
            self._add_tokens(check.rule, even.input_ids.offsets, check.tokens, check.describe, rows)
        self._check_lengths(even.input_ids, documents, rows)
        self._check_labels(even, documents, rows)
        packed = chunk.columns.get("seq_lengths")
        self.rows += len(uneven)
        self.documents += len(uneven) if packed is None else len(packed.values)
        self.tokens += len(ids.values) - int(np.count_nonzero(documents.padding))
        self.trained_tokens += int(
            np.count_nonzero(chunk.labels.values != self.limits.ignore_index)
        )
        if self._broken:
            return None
        row = documents.row
        tokens = chunk.labels.values
        if self.limits.layout.padded:
            tokens = tokens[~documents.padding]
        return FoundDocuments(
            row + self.rows - len(uneven),
            documents.start - ids.offsets[row],
            documents.lengths,
            tokens != self.limits.ignore_index,
        )

    @property
    def is_broken(self) -> bool:
        """Return True if a rule was broken."""
        return bool(self._broken)

    def problems(self, file: str) -> list[Problem]:
        """Return one problem for each broken rule, sorted by row."""
        return [
            Problem(file, rule.row, rule.problem + and_more(rule.other_rows))
            for rule in self._broken.in_order()
        ]

    def _check_lengths(self, ids: Ragged, documents: Documents, rows: npt.NDArray[np.intp]) -> None:
        """Check the lengths of documents, and of rows without and with padding."""
        limit, layout = self.limits.max_length, self.limits.layout
        self._add_documents(
            "long",
            documents,
            documents.lengths > limit,
            lambda at: (
                f"holds {number(int(documents.lengths[at]), 'token')}; max_length is {limit:,}"
            ),
            rows,
        )
        filled = np.bincount(documents.row, documents.lengths, len(rows)).astype(np.int64)
        if layout.packed:
            self._add_rows(
                "pack",
                filled > layout.capacity,
                lambda row: (
                    f"holds {number(int(filled[row]), 'token')}; pack_length is {layout.capacity:,}"
                ),
                rows,
            )
        if layout.padded and len(rows):
            if self.padded_to is None:
                self.padded_to = int(ids.lengths[0])
            self.longest = max(self.longest, int(filled.max()))
            expected = padded_lengths(filled, self.padded_to, layout.pad)
            known = filled > 0
            self._add_rows(
                "padding",
                known & (ids.lengths != expected),
                lambda row: (
                    f"holds {number(int(ids.lengths[row]), 'token')}, padding included; expected "
                    f"{expected[row]:,}"
                ),
                rows,
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

    def _check_labels(self, chunk: Chunk, documents: Documents, rows: npt.NDArray[np.intp]) -> None:
        """Check the labels of rows that have one label per id.

        Args:
            chunk: the rows.
            documents: the documents in them.
            rows: the number of each row in the chunk that it comes from.
        """
        ids, labels, ignore_index = chunk.input_ids, chunk.labels, self.limits.ignore_index
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
        first = np.zeros(len(trained), np.bool_)
        first[documents.start[documents.lengths > 0]] = True
        if self.limits.layout.isolated:
            self._add_tokens(
                "border",
                ids.offsets,
                trained & (first | documents.padding),
                lambda token, at: (
                    f"token {token} has the label {labels.values[at]}; expected {ignore_index}, as "
                    + ("it is padding" if documents.padding[at] else "a document begins there")
                ),
                rows,
            )
        trained &= ~first  # the first token of a document is never predicted
        total = lengths_to_offsets(trained.astype(np.int64))
        ends = documents.start + documents.lengths
        untrained = (total[ends] == total[documents.start]) & (documents.lengths > 0)
        self._add_documents(
            "untrained", documents, untrained, lambda _: "holds no trained token", rows
        )

    def _add_documents(
        self,
        rule: str,
        documents: Documents,
        wrong: Mask,
        describe: Callable[[int], str],
        rows: npt.NDArray[np.intp],
    ) -> None:
        """Note the rows with documents that break a rule.

        Args:
            rule: the name of the rule.
            documents: the documents of all rows.
            wrong: bool[documents], True for a document that breaks the rule.
            describe: says what is wrong with a document, given its index in ``wrong``.
            rows: the number of each row in the chunk.
        """
        if not wrong.any():
            return
        at = int(np.argmax(wrong))
        which = f"document {documents.number[at]} " if self.limits.layout.packed else ""
        wrong_rows = np.zeros(len(rows), np.bool_)
        wrong_rows[documents.row[wrong]] = True
        self._add_rows(rule, wrong_rows, lambda _: which + describe(at), rows)

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
        self._broken.add(
            rule, wrong, describe, lambda i: self.rows + (i if rows is None else int(rows[i]))
        )

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


def and_more(count: int) -> str:
    """Return words for the other rows that break a rule; "" if there are none."""
    return f" (and {number(count, 'more row')})" if count else ""
