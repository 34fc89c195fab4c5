"""Megatron's packed Parquet files: Parquet with a name of its own, and small row groups.

Its reader keeps one row group in memory and reads rows in any order, so that a group with few rows
is read faster. It takes each file whose name ends in ``.idx.parquet``.
"""

from sftprep.data.columns import Columns
from sftprep.formats import parquet
from sftprep.formats.columns import table_of
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
        table = table_of(group)
        if self._writer is None:
            self._writer = self.open_writer(table.schema)
        self._writer.write_table(table, GROUP_ROWS)
