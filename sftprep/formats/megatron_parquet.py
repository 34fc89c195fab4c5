"""Megatron's packed Parquet files: Parquet with a name of its own, and small row groups.

Its reader keeps one row group in memory and reads rows in any order, so that a group with few rows
is read faster. It takes each file whose name ends in ``.idx.parquet``.
"""

from collections.abc import Iterator

from sftprep.data.columns import Columns, ListColumn, rows_in
from sftprep.formats import parquet
from sftprep.formats.parquet import chunks, preload
from sftprep.formats.places import in_data

__all__ = ["PLACES", "Writer", "chunks", "preload"]

PLACES = in_data("idx.parquet")
GROUP_ROWS = 500
"""The rows of a row group, as Megatron's own writer has them."""


class Writer(parquet.Writer):
    """Writes each group as row groups of a few rows."""

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        for few in _divided(group):
            super().write(few)


def _divided(group: Columns) -> Iterator[Columns]:
    for start in range(0, rows_in(group), GROUP_ROWS):
        yield {name: _rows(column, start) for name, column in group.items()}


def _rows(column: ListColumn, start: int) -> ListColumn:
    offsets = column.offsets[start : start + GROUP_ROWS + 1]
    return ListColumn(column.values[offsets[0] : offsets[-1]], offsets - offsets[0])
