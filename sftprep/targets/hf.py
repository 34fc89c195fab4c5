"""The columns that Hugging Face's trainers and collators read.

In     ``ArrangedRows``, and the label of a token without loss.
Out    without packing: ``input_ids``, ``attention_mask`` (0 for padding) and ``labels``.
       With packing: ``input_ids``, ``labels``, ``position_ids``, which start again with each
       document, and ``seq_lengths``, the lengths of the documents in the row.
Keeps  labels unshifted: the id of a trained token, the ignore index for other tokens.
Never  writes an ``attention_mask`` for packed rows: transformers tells the documents of a row apart
       by their position ids only if it is given no mask.

Padding in a packed row is counted as a document of its own by ``position_ids``, so that no document
sees it. ``seq_lengths`` does not list it.
"""

import numpy as np
import numpy.typing as npt

from sftprep.data.arranged import ArrangedRows
from sftprep.data.batch import Batch
from sftprep.data.columns import Columns, Kinds, ListColumn
from sftprep.data.ragged import Ids, Mask, lengths_to_offsets

UNPACKED: Kinds = {
    "input_ids": np.dtype(np.int32),
    "attention_mask": np.dtype(np.int8),
    "labels": np.dtype(np.int32),
}
PACKED: Kinds = {
    "input_ids": np.dtype(np.int32),
    "labels": np.dtype(np.int32),
    "position_ids": np.dtype(np.int32),
    "seq_lengths": np.dtype(np.int32),
}


def kinds(*, packed: bool) -> Kinds:
    """Return the names and dtypes of the columns, in their order."""
    return PACKED if packed else UNPACKED


def columns_of_batch(batch: Batch, ignore_index: int) -> Columns:
    """Return the columns of rows that are not arranged."""
    return columns_of(ArrangedRows.of(batch), ignore_index)


def columns_of(rows: ArrangedRows, ignore_index: int) -> Columns:
    """Return the columns of some rows. ``input_ids`` shares the memory of the rows' ids."""
    labels = np.full(len(rows.input_ids), ignore_index, np.int32)
    np.copyto(labels, rows.input_ids, where=rows.loss_mask)
    columns = {
        "input_ids": ListColumn(rows.input_ids, rows.offsets),
        "labels": ListColumn(labels, rows.offsets),
    }
    if rows.seq_lengths is None:
        columns["attention_mask"] = ListColumn(_attention(rows), rows.offsets)
        return {name: columns[name] for name in UNPACKED}
    columns["position_ids"] = ListColumn(_positions(rows), rows.offsets)
    columns["seq_lengths"] = ListColumn(rows.seq_lengths.values, rows.seq_lengths.offsets)
    return {name: columns[name] for name in PACKED}


def _attention(rows: ArrangedRows) -> npt.NDArray[np.int8]:
    if rows.real is None:
        return np.ones(len(rows.input_ids), np.int8)
    return rows.real.astype(np.int8)


def _positions(rows: ArrangedRows) -> Ids:
    """Return the position of each token in its document, or in the padding that it belongs to."""
    assert rows.seq_lengths is not None
    size = len(rows.input_ids)
    begins: Mask = np.zeros(size, np.bool_)
    if rows.real is None:
        begins[lengths_to_offsets(rows.seq_lengths.values.astype(np.int64))[:-1]] = True
    else:
        # Documents lie one after the other among the real tokens; between them may be padding.
        ends = np.cumsum(rows.seq_lengths.values, dtype=np.int64)
        places = np.flatnonzero(rows.real)
        begins[places[ends - rows.seq_lengths.values]] = True
        begins[rows.offsets[:-1][rows.offsets[:-1] < rows.offsets[1:]]] = True
        begins[1:] |= rows.real[1:] != rows.real[:-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, size))
    return np.arange(size, dtype=np.int32) - np.repeat(starts.astype(np.int32), lengths)
