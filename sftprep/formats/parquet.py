"""Parquet files, compressed with zstd, without dictionaries and statistics.

Dictionaries and statistics cost time and save no space for token ids. Each column of a row group is
a single page, so that zstd can use what its rows have in common: this halves the size of files
whose rows come from one template. zstd level 3 is hardly slower than level 1, and its files are a
third smaller.
"""

import errno
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, BinaryIO

from sftprep.data.columns import Columns, Kinds
from sftprep.formats.chunks import Chunk
from sftprep.formats.columns import CHUNK_ROWS, check_columns, chunks_of
from sftprep.formats.pages import Pages
from sftprep.formats.places import in_data

PLACES = in_data("parquet")


def preload() -> None:
    """Import Arrow, which compresses."""
    import pyarrow  # noqa: F401


class Writer:
    """Writes each group as one row group.

    Args:
        file: an empty file, open for writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._pages: Pages | None = None

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        self._pages = self._pages or Pages()
        try:
            for part in self._pages.group(group):
                self._file.write(part)
        except OverflowError as error:
            raise OSError(errno.EFBIG, str(error)) from error

    def close(self) -> None:
        """Write the footer; leave the file object open."""
        if self._pages is not None:
            self._file.write(self._pages.footer())


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, one row group after another."""
    import pyarrow.parquet as pq

    shard = pq.ParquetFile(file)
    check_columns(shard.schema_arrow, expected)
    groups = ([group] for group in range(shard.num_row_groups))
    columns = list(only) or None
    return chunks_of(
        chain.from_iterable(shard.iter_batches(CHUNK_ROWS, g, columns=columns) for g in groups)
    )
