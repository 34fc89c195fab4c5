"""The columns that Parquet and Arrow files share: a Batch as an Arrow table, and back."""

from typing import Any

import numpy as np

from sftprep.errors import ascii_safe
from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.parts import COLUMNS, Part, ShardError

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


def check_columns(schema: Any) -> None:
    """Refuse a file with other columns than those of ``table_of``."""
    import pyarrow as pa

    expected = dict(zip(COLUMNS, (pa.int32(), pa.int8(), pa.int32()), strict=True))
    kinds = [
        getattr(f.type, "value_type", None) if pa.types.is_list(f.type) else None for f in schema
    ]
    if schema.names != list(expected) or kinds != list(expected.values()):
        found = ", ".join(f"{field.name} ({field.type})" for field in schema)
        wanted = ", ".join(f"{name} (list of {kind})" for name, kind in expected.items())
        raise ShardError(f"has the columns {ascii_safe(found)[:200] or 'none'}; expected {wanted}")


def part_of(batch: Any, first: int) -> Part:
    """A record batch, checked before any of its offsets is trusted.

    Args:
        batch: with the columns of ``check_columns``.
        first: the number of its first row in the file.
    """
    batch.validate(full=True)
    return Part(*(_ragged(name, batch.column(name), first) for name in COLUMNS))


def _ragged(name: str, column: Any, first: int) -> Ragged:
    if column.null_count:
        row = int(column.is_null().to_numpy(zero_copy_only=False).argmax())
        raise ShardError(f"{name} is null", first + row)
    offsets = column.offsets.to_numpy().astype(np.int64)
    values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    offsets -= offsets[0]
    if values.null_count:
        at = int(values.is_null().to_numpy(zero_copy_only=False).argmax())
        row = int(np.searchsorted(offsets, at, "right")) - 1
        raise ShardError(f"{name} holds a null", first + row)
    return Ragged(values.to_numpy().astype(np.int32, copy=False), offsets)
