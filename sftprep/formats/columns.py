"""The columns of Parquet and Arrow files: a ``Batch`` as an Arrow table, and back as chunks."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ragged
from sftprep.formats.chunks import COLUMNS, Chunk, ShardError
from sftprep.text import ascii_safe

CHUNK_ROWS = 1024
"""The maximum number of rows in a chunk, small enough for a chunk to fit in the CPU's caches."""


def table_of(batch: Batch, ignore_index: int) -> Any:
    """Convert a batch to an Arrow table.

    Returns:
        A ``pyarrow.Table`` with the columns ``COLUMNS``: lists of int32, int8 and int32, without
        nulls. It shares the memory of the batch's ids.
    """
    import pyarrow as pa

    offsets = batch.offsets.astype(np.int32)
    columns: dict[str, tuple[Any, Any]] = {
        "input_ids": (pa.int32(), batch.input_ids),
        "attention_mask": (pa.int8(), np.ones(len(batch.input_ids), np.int8)),
        "labels": (pa.int32(), batch.labels(ignore_index)),
    }
    lists = []
    for kind, flat in columns.values():
        # Built from the buffers, because pa.array would import pandas wherever it is installed.
        values = pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])
        buffers = [None, pa.py_buffer(offsets)]
        lists.append(pa.Array.from_buffers(pa.list_(kind), len(batch), buffers, children=[values]))
    return pa.table(lists, names=list(columns))


class TableWriter:
    """Writes each group as one Arrow table. A subclass chooses the Arrow writer.

    Args:
        file: an empty file, open for writing.
        ignore_index: the label of a token without loss.
    """

    def __init__(self, file: IO[bytes], ignore_index: int) -> None:
        self._file = file
        self._ignore_index = ignore_index
        self._writer: Any = None

    def open_writer(self, schema: Any) -> Any:
        """Open Arrow's writer on the file."""
        raise NotImplementedError

    def write(self, group: Batch) -> None:
        """Write a group of rows."""
        table = table_of(group, self._ignore_index)
        if self._writer is None:
            self._writer = self.open_writer(table.schema)
        self._writer.write_table(table, len(table))  # as one row group or record batch

    def close(self) -> None:
        """Write the end of the data, such as a footer; leave the file object open."""
        if self._writer is not None:
            self._writer.close()


def check_columns(schema: Any) -> None:
    """Raise an error if the columns of a file are not those that ``table_of`` makes.

    Args:
        schema: the file's ``pyarrow.Schema``.

    Raises:
        ShardError: a column is missing, is unexpected, or has another type.
    """
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
    """Convert Arrow's record batches to chunks; validate each batch before using its offsets.

    Args:
        batches: the file's ``pyarrow.RecordBatch``es, with columns that ``check_columns`` accepts.

    Raises:
        ShardError: a row, or a value in a row, is null.
    """
    first = 0
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, len(batch), CHUNK_ROWS):
            rows = batch.slice(start, CHUNK_ROWS)
            yield Chunk(*(_ragged(name, rows.column(name), first + start) for name in COLUMNS))
        first += len(batch)


def _ragged(name: str, column: Any, first: int) -> Ragged:
    """Convert a list column. Its first row is row ``first`` of the file."""
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
