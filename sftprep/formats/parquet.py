"""Parquet: zstd, without dictionary and statistics, which cost time and save ids nothing.

A column has one page in a row group: so zstd sees what rows have in common, which halves the files
of data made from templates, and what is written page by page is written once. Level 2 of zstd is
hardly slower than 1; from 3 on it costs more than it saves.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from sftprep.data.ragged import Ids, Ragged
from sftprep.formats.chunks import Chunk
from sftprep.formats.columns import CHUNK_ROWS, TableWriter, check_columns, chunks_of, rows_of
from sftprep.formats.row_groups import GROUP_TOKENS

ENDING = "parquet"
OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 2,
    "use_dictionary": False,
    "write_statistics": False,
    "write_batch_size": GROUP_TOKENS,  # Arrow ends no page within a batch
}


def load() -> None:
    """Load Arrow and its Parquet."""
    import pyarrow.parquet  # noqa: F401


class Writer(TableWriter):
    """Writes to an empty file, a row group for each group."""

    def open(self, schema: Any) -> Any:
        """Arrow's writer for the file."""
        import pyarrow.parquet as pq

        return pq.ParquetWriter(self._file, schema, **OPTIONS)

    def close(self) -> None:
        """Write what comes last."""
        try:
            super().close()
        finally:
            if self._writer is not None:
                self._writer.is_open = False  # else it tries again when it is collected


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow.parquet as pq

    return rows_of(pq.read_table(path, columns=["input_ids", "labels"]))


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The rows by row groups."""
    import pyarrow.parquet as pq

    shard = pq.ParquetFile(file)
    check_columns(shard.schema_arrow)
    groups = ([group] for group in range(shard.num_row_groups))
    return chunks_of(chain.from_iterable(shard.iter_batches(CHUNK_ROWS, g) for g in groups))
