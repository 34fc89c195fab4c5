"""Parquet files: row groups become blocks of rows.

In     a ``PlainStream``, of which the whole file is used: Parquet ends with its table of contents.
Out    blocks of rows, encoded by ``arrow_rows``.
Keeps  memory bounded. Pages are read one by one. How many rows are decoded at once depends on
       their average size and on the size of the dictionaries, which every row may repeat.
Never  returns fewer rows than the file says it has. Checksums of pages are checked if it has any.
Raises DataError: the file is damaged, incomplete or encrypted; it has columns that cannot be
       fields; a page or a dictionary needs too much memory.
"""

import os
import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from sftprep.data.block import Block
from sftprep.errors import DataError
from sftprep.reading.limits import MAX_COLUMNS
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream

MAGIC = b"PAR1"
MOST_FIELDS = 5 * MAX_COLUMNS
"""The most fields that the columns may have together, at all depths."""
MOST_FOOTER_BYTES = 32 << 20
"""The most bytes that the table of contents may have; decoded, it takes several times as many."""
MOST_PAGE_BYTES = 512 << 20
"""The most bytes that a page may have uncompressed, unless a record may be longer."""
DECODED_BYTES = 2 << 20
"""About how many bytes are decoded at once."""
MOST_REPEATED_BYTES = 512 << 20
"""The most bytes that the rows decoded at once may have, if all repeat the longest value."""
MOST_ROWS = 16_384
BUFFER_BYTES = 1 << 20


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sftprep.reading.table_blocks import TableBlocks, table_error

    file = stream.whole_file()
    _check_ends(file, cut.path)
    table = TableBlocks(stream, cut)
    try:
        source = pq.ParquetFile(
            pa.PythonFile(file, mode="r"),
            buffer_size=BUFFER_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
        )
        table.check_schema(source.schema_arrow)
        for index in range(source.num_row_groups):
            group = source.metadata.row_group(index)
            rows = _rows_at_once(file, group, cut, table.next_row)
            batches = source.iter_batches(rows, row_groups=[index], use_threads=False)
            before = table.next_row
            for batch in batches:
                yield from table.add(batch)
            if table.next_row - before != group.num_rows:
                raise _damaged(cut.path, table.next_row, "rows are missing")
        yield from table.rest()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise table_error(error, cut.path, table.next_row) from error


def _check_ends(file: IO[bytes], path: str) -> None:
    """Check the first and the last bytes, and the size of the table of contents."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    if tail[4:] == b"PARE":
        raise DataError(f"{path}: the Parquet file is encrypted. Decrypt it first.")
    if size < 12 or tail[4:] != MAGIC:
        raise DataError(
            f"{path}: the Parquet file is incomplete: it does not end with {MAGIC.decode()}. Fetch "
            "the file again."
        )
    footer = struct.unpack("<I", tail[:4])[0]
    if footer > size - 12:
        raise _damaged(path, 1, "its table of contents is larger than the file")
    if footer > MOST_FOOTER_BYTES:
        raise DataError(
            f"{path}: the table of contents of the Parquet file has {footer:,} bytes, and at most "
            f"{MOST_FOOTER_BYTES:,} are read. Write the file again with fewer columns or larger "
            "row groups."
        )
    file.seek(size - 8 - footer)
    fields = _Thrift(file.read(64)).list_length(2) - 1  # the first is the table itself
    if fields > MOST_FIELDS:
        raise DataError(
            f"{path}: has columns with {fields:,} fields in all, and at most {MOST_FIELDS:,} are "
            "read. Write the file again with the columns that are needed."
        )
    file.seek(0)


def _damaged(path: str, row: int, what: str) -> DataError:
    return DataError(f"{path}: row {row}: the Parquet file is damaged: {what}. Fetch it again.")


def _rows_at_once(file: IO[bytes], group: Any, cut: Cutting, row: int) -> int:
    """Return how many rows of a row group to decode at once.

    Args:
        file: the Parquet file.
        group: the metadata of the row group.
        cut: says how long a record may be.
        row: the number of the group's first row, for messages.
    """
    most_page = max(MOST_PAGE_BYTES, 2 * cut.limits.line)
    total = repeated = 0
    for index in range(group.num_columns):
        column = group.column(index)
        total += int(column.total_uncompressed_size)
        if column.has_dictionary_page and column.dictionary_page_offset is not None:
            page = _page_at(file, column.dictionary_page_offset)
            # Indices of a few bits may repeat the longest value in every row.
            repeated += 0 if page is None else page.uncompressed
        if column.total_uncompressed_size > most_page:
            _check_pages(file, column, most_page, cut.path, row)
    if repeated > most_page:
        raise DataError(
            f"{cut.path}: row {row}: the dictionaries of the row group have {repeated:,} bytes, "
            f"and at most {most_page:,} are read. Write the file again without dictionaries, or "
            "raise --max-line-bytes."
        )
    average = max(1, total // max(1, int(group.num_rows)))
    rows = min(MOST_ROWS, DECODED_BYTES // average, MOST_REPEATED_BYTES // max(1, repeated))
    return max(1, rows)


def _check_pages(file: IO[bytes], column: Any, most: int, path: str, row: int) -> None:
    """Refuse a column chunk that has a page of more than ``most`` bytes."""
    start = column.data_page_offset
    if column.dictionary_page_offset:
        start = min(start, column.dictionary_page_offset)
    end = start + column.total_compressed_size
    while start < end and (page := _page_at(file, start)) is not None:
        if page.uncompressed > most:
            raise DataError(
                f"{path}: row {row} or later: column {column.path_in_schema!r} has a page of "
                f"{page.uncompressed:,} bytes, and at most {most:,} are read. If its values may be "
                f"that long, raise --max-line-bytes to half of that; or write the file again with "
                "smaller pages."
            )
        start = page.end


class _Page(NamedTuple):
    """What the header of a page says."""

    uncompressed: int  # bytes
    end: int  # the position in the file after the page


def _page_at(file: IO[bytes], position: int) -> _Page | None:
    """Read a page's header, a Thrift struct in the compact protocol; None if it is not one."""
    file.seek(position)
    try:
        reader = _Thrift(file.read(64 << 10))
        sizes = reader.integers()
    except IndexError:
        return None
    if 2 not in sizes or 3 not in sizes or min(sizes[2], sizes[3]) < 0:
        return None
    return _Page(sizes[2], position + reader.position + sizes[3])


class _Thrift:
    """Reads a struct in Thrift's compact protocol as far as is needed here."""

    STOP, TRUE, FALSE, BYTE, DOUBLE, BINARY = 0, 1, 2, 3, 7, 8
    LIST, SET, MAP, STRUCT = 9, 10, 11, 12

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def integers(self) -> dict[int, int]:
        """Read a struct; return its fields that are integers, by their number."""
        found: dict[int, int] = {}
        field = 0
        while (head := self._byte()) != self.STOP:
            delta, kind = head >> 4, head & 15
            field = field + delta if delta else self._zigzag()
            if kind in (4, 5, 6):  # i16, i32, i64
                found[field] = self._zigzag()
            else:
                self._skip(kind)
        return found

    def list_length(self, number: int) -> int:
        """Return the length of a list in a struct; 0 if it does not begin after a few integers.

        Args:
            number: the number of the list's field.
        """
        field = 0
        try:
            while (head := self._byte()) != self.STOP:
                field += head >> 4
                if head & 15 in (self.LIST, self.SET):
                    size = self._byte() >> 4
                    return (size if size != 15 else self._varint()) if field == number else 0
                self._skip(head & 15)
        except IndexError:
            pass
        return 0

    def _skip(self, kind: int) -> None:
        if kind in (4, 5, 6):
            self._varint()
        elif kind == self.BYTE:
            self.position += 1
        elif kind == self.DOUBLE:
            self.position += 8
        elif kind == self.BINARY:
            self.position += self._varint()
        elif kind in (self.LIST, self.SET):
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._varint()
            for _ in range(count):
                self._skip_element(head & 15)
        elif kind == self.STRUCT:
            self.integers()
        elif kind == self.MAP:
            raise IndexError("page headers have no maps")

    def _skip_element(self, kind: int) -> None:
        if kind in (self.TRUE, self.FALSE):  # in a list, a boolean takes a byte
            self.position += 1
        else:
            self._skip(kind)

    def _byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
