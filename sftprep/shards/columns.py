"""The columns that Parquet and Arrow files share: a Batch as an Arrow table, and back."""

from typing import Any

import numpy as np

from sftprep.records import Batch, Ids, Ragged

GROUP_ROWS = 8192
"""Rows in a row group or record batch: fixed, since a file's bytes follow its groups."""


def table_of(batch: Batch, ignore_index: int) -> Any:
    """The table: lists of int32, int8 and int32, none of them null."""
    import pyarrow as pa

    offsets = pa.array(batch.offsets.astype(np.int32))
    ones = np.ones(len(batch.input_ids), np.int8)
    columns = {
        "input_ids": batch.input_ids,
        "attention_mask": ones,
        "labels": batch.labels(ignore_index),
    }
    lists = [pa.ListArray.from_arrays(offsets, pa.array(flat)) for flat in columns.values()]
    return pa.table(lists, names=list(columns))


def rows_of(table: Any) -> tuple[Ragged, Ids]:
    """The ids and labels of a table."""
    input_ids, offsets = _flat(table.column("input_ids"))
    labels, _ = _flat(table.column("labels"))
    return Ragged(input_ids, offsets), labels


def _flat(column: Any) -> tuple[Ids, Any]:
    import pyarrow.compute as pc

    lengths = pc.list_value_length(column).to_numpy().astype(np.int64)
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return pc.list_flatten(column).to_numpy().astype(np.int32, copy=False), offsets
