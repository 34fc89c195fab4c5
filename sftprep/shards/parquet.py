"""Parquet: zstd, without dictionary and statistics, which cost time and save ids nothing."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import PART_ROWS, check_columns, parts_of, rows_of, table_of
from sftprep.shards.parts import Part

ENDING = "parquet"
OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": False,
    "write_statistics": False,
}


class Writer:
    """Writes to an empty file, a row group for each group."""

    def __init__(self, file: IO[bytes], ignore_index: int) -> None:
        self._file = file
        self._ignore_index = ignore_index
        self._writer: Any = None

    def write(self, group: Batch) -> None:
        """Write a group."""
        import pyarrow.parquet as pq

        table = table_of(group, self._ignore_index)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, **OPTIONS)
        self._writer.write_table(table, row_group_size=len(table))

    def close(self) -> None:
        """Write what comes last."""
        if self._writer is not None:
            try:
                self._writer.close()
            finally:
                self._writer.is_open = False  # else it tries again when it is collected


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow.parquet as pq

    return rows_of(pq.read_table(path, columns=["input_ids", "labels"]))


def parts(file: BinaryIO) -> Iterator[Part]:
    """The rows by row groups."""
    import pyarrow.parquet as pq

    shard = pq.ParquetFile(file)
    check_columns(shard.schema_arrow)
    groups = ([group] for group in range(shard.num_row_groups))
    return parts_of(chain.from_iterable(shard.iter_batches(PART_ROWS, g) for g in groups))
