"""Parquet files, compressed with zstd, without dictionaries and statistics.

Dictionaries and statistics cost time and save no space for token ids. Each column of a row group is
a single page, so that zstd can use what its rows have in common: this halves the size of files
whose rows come from one template. zstd level 3 is hardly slower than level 1, and its files are a
quarter smaller.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO

from sftprep.data.columns import Kinds
from sftprep.formats.chunks import Chunk
from sftprep.formats.columns import CHUNK_ROWS, TableWriter, check_columns, chunks_of
from sftprep.formats.places import in_data
from sftprep.formats.row_groups import GROUP_TOKENS

PLACES = in_data("parquet")
OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": False,
    "write_statistics": False,
    "write_batch_size": GROUP_TOKENS,  # Arrow never ends a page within a batch of this size
}


def preload() -> None:
    """Import Arrow and its Parquet module."""
    import pyarrow.parquet  # noqa: F401


class Writer(TableWriter):
    """Writes each group as one row group."""

    def open_writer(self, schema: Any) -> Any:
        """Open Arrow's Parquet writer."""
        import pyarrow.parquet as pq

        return pq.ParquetWriter(self._file, schema, **OPTIONS)

    def close(self) -> None:
        """Write the footer; leave the file object open."""
        try:
            super().close()
        finally:
            if self._writer is not None:
                # After a failed close, Arrow's writer would try to close again when it is
                # garbage-collected.
                self._writer.is_open = False


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, one row group after another."""
    import pyarrow.parquet as pq

    shard = pq.ParquetFile(file)
    check_columns(shard.schema_arrow, expected)
    columns = list(only) or None
    batches = (
        # Arrow reads each column in a thread, which gains nothing for a single one.
        shard.iter_batches(CHUNK_ROWS, [group], columns=columns, use_threads=len(only) != 1)
        for group in range(shard.num_row_groups)
    )
    return chunks_of(chain.from_iterable(batches))
