"""The columns of Parquet and Arrow files: ``Columns`` as an Arrow table, and back as chunks."""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from sftprep.data.columns import Columns, Kinds, ListColumn, rows_in
from sftprep.data.ragged import Ragged
from sftprep.formats.buffers import array_of, flags, numbers, offsets
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.text import ascii_safe

CHUNK_ROWS = 1024
"""The maximum number of rows in a chunk, small enough for a chunk to fit in the CPU's caches."""


def table_of(columns: Columns) -> Any:
    """Convert columns to an Arrow table.

    Returns:
        A ``pyarrow.Table`` with lists of integers, without nulls. It shares the memory of the
        columns' values.
    """
    import pyarrow as pa

    return pa.table(list(map(_list_array, columns.values())), names=list(columns))


def _list_array(column: ListColumn) -> Any:
    """Convert a column to a ``pyarrow.ListArray``."""
    import pyarrow as pa

    values = array_of(column.values)
    buffers = [None, pa.py_buffer(column.offsets.astype(np.int32))]
    rows = len(column.offsets) - 1
    return pa.Array.from_buffers(pa.list_(values.type), rows, buffers, children=[values])


class TableWriter:
    """Writes each group as one Arrow table. A subclass chooses the Arrow writer.

    Args:
        file: an empty file, open for writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._writer: Any = None

    def open_writer(self, schema: Any) -> Any:
        """Open Arrow's writer on the file."""
        raise NotImplementedError

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        table = table_of(group)
        if self._writer is None:
            self._writer = self.open_writer(table.schema)
        self._writer.write_table(table, rows_in(group))  # as one row group or record batch

    def close(self) -> None:
        """Write the end of the data, such as a footer; leave the file object open."""
        if self._writer is not None:
            self._writer.close()


def check_columns(schema: Any, expected: Kinds) -> None:
    """Raise an error if the columns of a file are not the expected ones.

    Args:
        schema: the file's ``pyarrow.Schema``.
        expected: the columns that ``table_of`` was given; ``ANY_COLUMNS`` for any lists of int8 or
            int32.

    Raises:
        ShardError: a column is missing, is unexpected, or has another type.
    """
    import pyarrow as pa

    kinds = [
        getattr(f.type, "value_type", None) if pa.types.is_list(f.type) else None for f in schema
    ]
    if expected:
        wanted_kinds = list(map(pa.from_numpy_dtype, expected.values()))
        is_right = schema.names == list(expected) and kinds == wanted_kinds
    else:
        unique = len(set(schema.names)) == len(schema.names)
        is_right = bool(kinds) and unique and set(kinds) <= {pa.int8(), pa.int32()}
    if not is_right:
        found = ", ".join(f"{field.name} ({field.type})" for field in schema)
        wanted = ", ".join(f"{name} (list of {kind})" for name, kind in expected.items())
        wanted = wanted or "lists of int8 or int32"
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
            names = rows.schema.names
            yield Chunk({n: _ragged(n, rows.column(n), first + start) for n in names})
        first += len(batch)


def _ragged(name: str, column: Any, first: int) -> Ragged:
    """Convert a list column. Its first row is row ``first`` of the file."""
    if column.null_count:
        row = int(flags(column.is_null()).argmax())
        raise ShardError(f"{name} is null", first + row)
    begins = offsets(column)
    values = column.values.slice(begins[0], begins[-1] - begins[0])
    begins -= begins[0]
    if values.null_count:
        at = int(flags(values.is_null()).argmax())
        row = int(np.searchsorted(begins, at, "right")) - 1
        raise ShardError(f"{name} holds a null", first + row)
    return Ragged(numbers(values).astype(np.int32, copy=False), begins)
