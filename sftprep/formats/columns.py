"""The columns that Parquet and Arrow files share: a Batch as an Arrow table, and back."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ids, Ragged
from sftprep.formats.chunks import COLUMNS, Chunk, ShardError
from sftprep.text import ascii_safe

CHUNK_ROWS = 1024
"""Rows that are looked at together: few, so that their columns stay small."""


def table_of(batch: Batch, ignore_index: int) -> Any:
    """The table: lists of int32, int8 and int32, none of them null."""
    import pyarrow as pa

    offsets = batch.offsets.astype(np.int32)
    columns: dict[str, tuple[Any, Any]] = {
        "input_ids": (pa.int32(), batch.input_ids),
        "attention_mask": (pa.int8(), np.ones(len(batch.input_ids), np.int8)),
        "labels": (pa.int32(), batch.labels(ignore_index)),
    }
    lists = []
    for kind, flat in columns.values():
        # From the buffers as they are: pa.array would load pandas, where that is installed.
        values = pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])
        buffers = [None, pa.py_buffer(offsets)]
        lists.append(pa.Array.from_buffers(pa.list_(kind), len(batch), buffers, children=[values]))
    return pa.table(lists, names=list(columns))


class TableWriter:
    """Writes groups as tables; a format says how its file is opened, and written to."""

    def __init__(self, file: IO[bytes], ignore_index: int) -> None:
        self._file = file
        self._ignore_index = ignore_index
        self._writer: Any = None

    def open(self, schema: Any) -> Any:
        """Arrow's writer for the file."""
        raise NotImplementedError

    def write(self, group: Batch) -> None:
        """Write a group."""
        table = table_of(group, self._ignore_index)
        if self._writer is None:
            self._writer = self.open(table.schema)
        self._writer.write_table(table, len(table))  # in one piece

    def close(self) -> None:
        """Write what comes last."""
        if self._writer is not None:
            self._writer.close()


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


def chunks_of(batches: Iterable[Any]) -> Iterator[Chunk]:
    """Record batches as parts, checked before any of their offsets is trusted.

    Args:
        batches: with the columns of ``check_columns``.
    """
    first = 0
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, len(batch), CHUNK_ROWS):
            rows = batch.slice(start, CHUNK_ROWS)
            yield Chunk(*(_ragged(name, rows.column(name), first + start) for name in COLUMNS))
        first += len(batch)


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
