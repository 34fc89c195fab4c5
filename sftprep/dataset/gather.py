"""Gather the rows of an output shard: documents by their numbers, packed and padded as planned.

In     the staged documents; a slice of the plan of a split, with each row's length after padding.
Out    the shard's file and its index, both durable; and what was really written: rows, documents,
       tokens, trained tokens, and the digest of all documents.
Keeps  memory bounded by a few groups of rows, whatever the size of the shard. The bytes depend on
       the slice and the documents alone, so a shard can be written by any thread, and again.
Never  makes a Python object for a row or a token.
Raises OSError: a file cannot be written; the error names it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sftprep.arrange.conservation import digest, total
from sftprep.arrange.plan import SplitPlan
from sftprep.data.arranged import ArrangedRows
from sftprep.data.columns import Columns
from sftprep.data.ragged import Offsets, Ragged, lengths_to_offsets, ragged_index
from sftprep.dataset.staged_rows import StagedRows
from sftprep.formats.buffers import array_of, in_one, numbers
from sftprep.formats.row_groups import GROUP_ROWS, GROUP_TOKENS
from sftprep.formats.staged import decoded

FOR_PLANS = frozenset({"normalized_key", "normalized_prompt_key"})
"""Columns of an index that only a plan needs; the index of a finished dataset has them not."""
INDEX_DOCUMENTS = 1 << 16
"""How many documents' index is gathered at a time: finding rows costs a little for each file."""


class Layout(NamedTuple):
    """How the rows of all shards are laid out."""

    packed: bool  # a row may hold several documents
    padded: bool  # rows are padded to the lengths of the plan
    pad_id: int = 0  # the token that pads
    pad_left: bool = False


class RowSlice(NamedTuple):
    """Consecutive rows of a split: those of a shard, or of a group in it."""

    documents: Offsets  # int64: the number of each document, in the order of the output
    packs: Offsets  # int64[rows + 1]: row i holds documents packs[i] to packs[i + 1] - 1
    lengths: npt.NDArray[np.int32]  # int32[rows]: tokens with padding

    @property
    def row_of_document(self) -> Offsets:
        """int64[documents]: the row that holds each document, from 0."""
        return np.repeat(np.arange(len(self.lengths)), np.diff(self.packs))


def rows_of(split: SplitPlan, start: int, stop: int) -> RowSlice:
    """Return rows ``start`` to ``stop - 1`` of a split."""
    return next(_slices(RowSlice(split.rows, split.packs, split.lengths), [start, stop]))


def cuts(
    lengths: npt.NDArray[np.int32], most_tokens: int, most_rows: int | None = None
) -> list[int]:
    """Divide rows into runs with at most so many tokens; a longer row is a run of its own.

    Returns:
        The first row of each run, followed by the number of rows.

    >>> cuts(np.array([3, 3, 3, 9, 1], np.int32), 7), cuts(np.array([1, 1, 1], np.int32), 7, 2)
    ([0, 2, 3, 4, 5], [0, 2, 3])
    """
    ends, count = lengths_to_offsets(lengths.astype(np.int64)), len(lengths)
    borders = [0]
    while (start := borders[-1]) < count:
        fits = int(np.searchsorted(ends, ends[start] + most_tokens, side="right")) - 1
        stop = min(fits, count if most_rows is None else start + most_rows)
        borders.append(max(start + 1, stop))
    return borders


def groups_of(rows: RowSlice) -> Iterator[RowSlice]:
    """Yield the rows in groups, the units in which a file is written."""
    return _slices(rows, cuts(rows.lengths, GROUP_TOKENS, GROUP_ROWS))


def _slices(rows: RowSlice, borders: list[int]) -> Iterator[RowSlice]:
    """Yield the rows between each border and the next one."""
    for start, stop in pairwise(borders):
        packs = rows.packs[start : stop + 1]
        documents = rows.documents[int(packs[0]) : int(packs[-1])]
        yield RowSlice(documents, packs - packs[0], rows.lengths[start:stop])


class LaidOut(NamedTuple):
    """A group of rows, with what the index says about its documents."""

    rows: ArrangedRows
    position: npt.NDArray[np.int32]  # int32[documents]: each one's first token in its row
    trained: Offsets  # int64[documents]: how many of its tokens have a loss


def lay_out(tokens: Ragged, group: RowSlice, layout: Layout) -> LaidOut:
    """Join documents to rows, and pad the rows.

    A document's first token has no loss, as nothing of its own precedes it. Where another document
    or padding may precede it, its label says so; where nothing can, its label is left as it is.

    Args:
        tokens: the encoded tokens of the documents, see ``formats.staged``.
        group: which documents are in which row, and the lengths of the rows.
        layout: how rows are laid out.
    """
    ids, mask = decoded(tokens.values)
    starts, lengths = tokens.offsets[:-1], tokens.lengths
    counts = np.searchsorted(np.flatnonzero(mask), tokens.offsets)
    trained = np.diff(counts) - mask[starts]
    if layout.packed or layout.padded:
        mask[starts] = False
    content = lengths_to_offsets(lengths)[group.packs]  # where each row's content begins
    first = starts - np.repeat(content[:-1], np.diff(group.packs))
    seq_lengths = None
    if layout.packed:
        seq_lengths = Ragged(lengths.astype(np.int32), group.packs)
    if not layout.padded:
        rows = ArrangedRows(ids, mask, content, None, seq_lengths)
        return LaidOut(rows, first.astype(np.int32), trained)
    padding = group.lengths - np.diff(content)
    offsets = lengths_to_offsets(group.lengths.astype(np.int64))
    before = padding if layout.pad_left else np.zeros_like(padding)
    index = ragged_index(offsets[:-1] + before, np.diff(content))
    rows = ArrangedRows(
        _padded(ids, index, int(offsets[-1]), layout.pad_id),
        _padded(mask, index, int(offsets[-1]), False),
        offsets,
        _padded(np.ones(len(index), np.bool_), index, int(offsets[-1]), False),
        seq_lengths,
    )
    first += np.repeat(before, np.diff(group.packs))
    return LaidOut(rows, first.astype(np.int32), trained)


def _padded(values: Any, index: Offsets, size: int, filler: int) -> Any:
    """Return ``size`` values: those given at the positions ``index``, and the filler elsewhere."""
    whole = np.full(size, filler, values.dtype)
    whole[index] = values
    return whole


@dataclass
class Gathered:
    """What was really written to a shard."""

    rows: int = 0
    documents: int = 0
    tokens: int = 0  # without padding
    padding: int = 0
    trained_tokens: int = 0
    digest: int = 0  # of all documents, see ``arrange.conservation``
    # What the index says about them: reason -> documents, and the sums of numbers by column.
    counts: Counter[str] = field(default_factory=Counter)


class RowWriter(Protocol):
    """Writes groups of rows, such as the writer of a format."""

    def write(self, group: Any) -> None:
        """Write a group of rows."""
        ...


class Gatherer:
    """Gathers the rows of shards from the staged documents. Several threads may use it.

    Args:
        staged: the staged documents.
        layout: how rows are laid out.
        columns_of: returns the columns of rows, as the target wants them.
        left_out: the columns of the staged index that the written one does not have.
    """

    def __init__(
        self,
        staged: StagedRows,
        layout: Layout,
        columns_of: Callable[[ArrangedRows], Columns],
        left_out: Collection[str] = FOR_PLANS,
    ) -> None:
        self._left_out = left_out
        self._staged = staged
        self._layout = layout
        self._columns_of = columns_of

    def write(
        self, rows: RowSlice, shard: RowWriter, index: RowWriter, keep_on: Callable[[], None]
    ) -> Gathered:
        """Write the rows of one shard, and its index.

        Args:
            rows: the rows of the shard.
            shard: receives their columns.
            index: receives the index of their documents, as tables.
            keep_on: called before each group; raises an error if the run has ended.

        Returns:
            What was written, counted from what was given to the writers.
        """
        done = Gathered()
        for groups in _blocks(groups_of(rows)):
            table = self._staged.index(np.concatenate([group.documents for group in groups]))
            first = 0
            for group in groups:
                keep_on()
                count = len(group.documents)
                self._write_group(group, table.slice(first, count), shard, index, done)
                first += count
        self._staged.release()
        return done

    def _write_group(
        self, group: RowSlice, table: Any, shard: RowWriter, index: RowWriter, done: Gathered
    ) -> None:
        """Write a group of rows and the index of its documents, and count them."""
        tokens = self._staged.tokens(group.documents)
        laid_out = lay_out(tokens, group, self._layout)
        shard.write(self._columns_of(laid_out.rows))
        table = _with_columns(
            table, row=group.row_of_document + done.rows, position=laid_out.position
        )
        index.write(table.drop_columns([n for n in table.column_names if n in self._left_out]))
        key = numbers(in_one(table.column("record_key")))
        done.digest = total(done.digest, digest(key, tokens.lengths, laid_out.trained))
        done.counts.update(counts_of(table))
        done.rows += len(group.lengths)
        done.documents += len(group.documents)
        done.tokens += len(tokens.values)
        done.padding += len(laid_out.rows.input_ids) - len(tokens.values)
        done.trained_tokens += int(np.count_nonzero(laid_out.rows.loss_mask))


def _blocks(groups: Iterator[RowSlice]) -> Iterator[list[RowSlice]]:
    """Collect groups while the index of all their documents fits into memory."""
    block: list[RowSlice] = []
    documents = 0
    for group in groups:
        if block and documents + len(group.documents) > INDEX_DOCUMENTS:
            yield block
            block, documents = [], 0
        block.append(group)
        documents += len(group.documents)
    if block:
        yield block


def counts_of(index: Any) -> Counter[str]:
    """Count documents by the reasons of an index, and by how they were cut.

    Args:
        index: the index of some documents, as a ``pyarrow.Table``.
    """
    import pyarrow.compute as pc

    reasons = pc.value_counts(pc.list_flatten(index.column("reasons")))
    found = Counter({entry["values"]: entry["counts"] for entry in reasons.to_pylist()})
    cut, cut_trained, gone = (
        numbers(in_one(index.column(name)))
        for name in ("cut_tokens", "cut_trained_tokens", "exchanges_dropped")
    )
    return found + Counter(
        truncated=int(np.count_nonzero(cut)),
        truncated_trained=int(np.count_nonzero(cut_trained)),
        exchanges_dropped=int(gone.sum()),
    )


def _with_columns(table: Any, **columns: npt.NDArray[Any]) -> Any:
    """Return an Arrow table with other values in some columns."""
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, array_of(values, field.type))
    return table
