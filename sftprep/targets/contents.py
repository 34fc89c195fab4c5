"""What a column can hold: each content that some trainer reads, made from rows.

In     ``ArrangedRows``, and the label of a token without loss.
Out    a ``ListColumn``, flat. It may share the memory of the rows' ids.
Keeps  one definition for each content, whatever a trainer calls its column; and for the contents
       that hold the loss, the way back to a loss mask.
Never  gives a loss to padding, or to the first token of a document that follows something in its
       row: ``ArrangedRows`` has none there.

A document is predicted from its own tokens alone. Where labels or masks are shifted, the last token
of a document is followed by the first one of another, which has no loss, so nothing is carried over
the border.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.data.arranged import ArrangedRows
from sftprep.data.columns import ListColumn
from sftprep.data.ragged import Mask, Offsets, Ragged, lengths_to_offsets

INT8, INT32 = np.dtype(np.int8), np.dtype(np.int32)


@dataclass(frozen=True)
class Content:
    """What a column holds.

    ``loss_of`` is None if it does not say which tokens are trained. Otherwise it returns the loss
    mask of rows that were read, given the ignore index. If ``keeps_first`` is False, the column
    cannot say that the first token of a row is trained. It has no loss in any trainer.
    """

    dtype: "np.dtype[Any]"
    says: str  # for people: a short phrase
    make: Callable[[ArrangedRows, int], ListColumn]
    loss_of: Callable[[Ragged, int], Mask] | None = None
    keeps_first: bool = True


# --- a number for each token --------------------------------------------------------------------


def _ids(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    return ListColumn(rows.input_ids, rows.offsets)


def _labels(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    labels = np.where(rows.loss_mask, rows.input_ids, np.int32(ignore_index))
    return ListColumn(labels, rows.offsets)


def _next_labels(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    labels = np.full(len(rows.input_ids), ignore_index, np.int32)
    np.copyto(labels[:-1], rows.input_ids[1:], where=_next_loss(rows)[:-1])
    return ListColumn(labels, rows.offsets)


def _trained(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    return ListColumn(rows.loss_mask.astype(np.int8), rows.offsets)


def _mask(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    mask = rows.loss_mask.astype(np.int8)
    mask[_row_starts(rows.offsets)] = 0
    return ListColumn(mask, rows.offsets)


def _next_mask(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    return ListColumn(_next_loss(rows).astype(np.int8), rows.offsets)


def _attention(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    if rows.real is None:
        return ListColumn(np.ones(len(rows.input_ids), np.int8), rows.offsets)
    return ListColumn(rows.real.astype(np.int8), rows.offsets)


def _documents(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    lengths = _seq_lengths(rows)
    counts = lengths.lengths
    numbers = np.arange(len(lengths.values), dtype=np.int32)
    numbers -= np.repeat(lengths.offsets[:-1], counts).astype(np.int32)
    flat = np.repeat(numbers + 1, lengths.values)
    if rows.real is None:
        return ListColumn(flat, rows.offsets)
    documents = np.zeros(len(rows.input_ids), np.int32)
    documents[rows.real] = flat
    return ListColumn(documents, rows.offsets)


def _positions(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    """Return the position of each token in its document, or in the padding that it belongs to."""
    del ignore_index
    size, lengths = len(rows.input_ids), _seq_lengths(rows).values
    begins: Mask = np.zeros(size, np.bool_)
    if rows.real is None:
        begins[lengths_to_offsets(lengths.astype(np.int64))[:-1]] = True
    else:
        # Documents lie one after the other among the real tokens; between them may be padding.
        ends = np.cumsum(lengths, dtype=np.int64)
        begins[np.flatnonzero(rows.real)[ends - lengths]] = True
        begins[_row_starts(rows.offsets)] = True
        begins[1:] |= rows.real[1:] != rows.real[:-1]
    starts = np.flatnonzero(begins)
    # Each position is one more than the one before; at a start it falls back to 0.
    steps = np.ones(size, np.int32)
    steps[starts] = 1 - np.diff(starts, prepend=starts[:1] - 1)
    return ListColumn(np.cumsum(steps, dtype=np.int32, out=steps), rows.offsets)


# --- a number for each document of a row --------------------------------------------------------


def _lengths(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    lengths = _seq_lengths(rows)
    return ListColumn(lengths.values, lengths.offsets)


def _lengths_and_padding(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    """Return the lengths of a row's documents; the last one includes the padding behind it."""
    del ignore_index
    lengths = _seq_lengths(rows)
    values = lengths.values.copy()
    filled = lengths.lengths > 0
    values[lengths.offsets[1:][filled] - 1] += _padding(rows, lengths)[filled]
    return ListColumn(values, lengths.offsets)


def _lengths_then_padding(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    """Return the lengths of a row's documents, and then that of its padding if it has some."""
    del ignore_index
    lengths = _seq_lengths(rows)
    padding = _padding(rows, lengths)
    padded = padding > 0
    places = lengths.offsets[1:][padded]
    values = np.insert(lengths.values, places, padding[padded])
    return ListColumn(values, lengths_to_offsets(lengths.lengths + padded))


def _starts(rows: ArrangedRows, ignore_index: int) -> ListColumn:
    del ignore_index
    assert rows.real is None, "padding has no place in such a row"
    lengths = _seq_lengths(rows)
    ends = np.cumsum(lengths.values, dtype=np.int64)
    starts = ends - lengths.values - np.repeat(rows.offsets[:-1], lengths.lengths)
    return ListColumn(starts.astype(np.int32), lengths.offsets)


def _seq_lengths(rows: ArrangedRows) -> Ragged:
    """Return the lengths of the documents in each row, without padding."""
    if rows.seq_lengths is not None:
        return rows.seq_lengths
    lengths = np.diff(rows.offsets)
    if rows.real is not None:
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows.real, dtype=np.int64)])
        lengths = np.diff(sums[rows.offsets])
    filled = lengths > 0
    return Ragged(lengths[filled].astype(np.int32), lengths_to_offsets(filled.astype(np.int64)))


def _padding(rows: ArrangedRows, lengths: Ragged) -> npt.NDArray[np.int32]:
    """Return the number of padding tokens in each row."""
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths.values, dtype=np.int64)])
    return (np.diff(rows.offsets) - np.diff(ends[lengths.offsets])).astype(np.int32)


def _next_loss(rows: ArrangedRows) -> Mask:
    """Return for each token whether the next one in its row is trained."""
    following: Mask = np.zeros(len(rows.input_ids), np.bool_)
    following[:-1] = rows.loss_mask[1:]
    ends = rows.offsets[1:]
    following[ends[ends > 0] - 1] = False
    return following


def _row_starts(offsets: Offsets) -> Offsets:
    """Return where the rows that are not empty begin."""
    starts = offsets[:-1]
    return starts[starts < offsets[1:]]


# --- the way back -------------------------------------------------------------------------------


def _loss_of_labels(labels: Ragged, ignore_index: int) -> Mask:
    mask: Mask = labels.values != ignore_index
    return mask


def _loss_of_next_labels(labels: Ragged, ignore_index: int) -> Mask:
    return _one_later(labels.values != ignore_index, labels.offsets)


def _loss_of_mask(mask: Ragged, ignore_index: int) -> Mask:
    del ignore_index
    flags: Mask = mask.values != 0
    return flags


def _loss_of_next_mask(mask: Ragged, ignore_index: int) -> Mask:
    del ignore_index
    return _one_later(mask.values != 0, mask.offsets)


def _one_later(flags: Mask, offsets: Offsets) -> Mask:
    """Move flags to the next token of their row."""
    moved: Mask = np.zeros(len(flags), np.bool_)
    moved[1:] = flags[:-1]
    moved[_row_starts(offsets)] = False
    return moved


# --- the table ----------------------------------------------------------------------------------

IDS = Content(INT32, "the tokens", _ids)
LABELS = Content(
    INT32, "the id of each trained token, {ignore} for the others", _labels, _loss_of_labels
)
NEXT_LABELS = Content(
    INT32,
    "the id of the next token if it is trained, else {ignore}",
    _next_labels,
    _loss_of_next_labels,
    keeps_first=False,
)
TRAINED = Content(INT8, "1 for each trained token, 0 for the others", _trained, _loss_of_mask)
LOSS_MASK = Content(
    INT8,
    "1 for each trained token, 0 for the others and for the first",
    _mask,
    _loss_of_mask,
    keeps_first=False,
)
NEXT_LOSS_MASK = Content(
    INT8,
    "1 if the next token is trained, else 0",
    _next_mask,
    _loss_of_next_mask,
    keeps_first=False,
)
ATTENTION = Content(INT8, "1, and 0 for padding", _attention)
DOCUMENTS = Content(
    INT32, "1 in the first document, 2 in the second, ...; 0 for padding", _documents
)
POSITIONS = Content(INT32, "0, 1, 2, ..., again from 0 in each document", _positions)
SEQ_LENGTHS = Content(INT32, "the length of each document, without padding", _lengths)
SEQ_LENGTHS_AND_PADDING = Content(
    INT32, "the same, the padding counted with the last document", _lengths_and_padding
)
SEQ_LENGTHS_THEN_PADDING = Content(
    INT32, "the length of each document, then that of the padding", _lengths_then_padding
)
SEQ_STARTS = Content(INT32, "where each document begins in the row", _starts)
PER_DOCUMENT = (SEQ_LENGTHS, SEQ_LENGTHS_AND_PADDING, SEQ_LENGTHS_THEN_PADDING, SEQ_STARTS)
"""The contents with a number for each document of a row; the others have one for each token."""
