"""Arrow IPC: streams, as ``datasets`` saves them, and files, which are also called Feather.

In     a ``PlainStream`` at the start of the data.
Out    blocks of rows, encoded by ``arrow_rows``.
Keeps  memory bounded by the largest record batch that is allowed: the size of a message is known
       before it is read. A file is read from start to end like a stream: it holds one.
Never  ends early without an error: a stream must end with its end mark, a file with its magic.
Raises DataError: the data is damaged or incomplete, or a record batch is too large.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sftprep.data.block import Block
from sftprep.errors import DataError
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream

if TYPE_CHECKING:
    from sftprep.reading.table_blocks import TableBlocks

MAGIC = b"ARROW1"
CONTINUATION = b"\xff\xff\xff\xff"
END_MARK = CONTINUATION + bytes(4)
MOST_BATCH_BYTES = 512 << 20
"""The most bytes that a record batch may have, unless a record may be longer."""


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of an Arrow IPC stream or file."""
    import pyarrow as pa

    from sftprep.reading.arrow_rows import check_batch
    from sftprep.reading.table_blocks import TableBlocks, table_error

    table = TableBlocks(stream, cut)
    is_file = stream.peek(len(MAGIC)) == MAGIC
    if is_file:
        stream.skip(8)
    messages = _Messages(stream, table, max(MOST_BATCH_BYTES, 2 * cut.limits.line))
    try:
        with pa.ipc.open_stream(pa.PythonFile(messages, mode="r")) as reader:
            table.check_schema(reader.schema)
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                check_batch(batch)
                yield from table.add(batch)
            yield from table.rest()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise table_error(error, cut.path, table.next_row) from error
    _check_end(stream, messages, table, is_file=is_file)


def _check_end(
    stream: PlainStream, messages: "_Messages", table: "TableBlocks", *, is_file: bool
) -> None:
    """Check that the data is complete, and read what follows it in a file."""
    if messages.last != END_MARK:
        raise _incomplete(stream.path, table.next_row, "the end mark is missing")
    tail = b""
    while stream.peek(1):
        tail = (tail + stream.take(len(stream.buffer)))[-len(MAGIC) :]
    if is_file and tail != MAGIC:
        raise _incomplete(stream.path, table.next_row, f"it does not end with {MAGIC.decode()}")
    if tail and not is_file:
        raise DataError(
            f"{stream.path}: data follows the end of the Arrow stream, after row "
            f"{table.next_row - 1}. Write one stream into each file."
        )


def _incomplete(path: str, row: int, why: str) -> DataError:
    return DataError(
        f"{path}: the Arrow data is incomplete at or after row {row}: {why}. Fetch the file again."
    )


class _Messages(io.RawIOBase):
    """Hands the bytes of a stream to Arrow, and refuses to read a message that is too large.

    Attributes:
        last: the last eight bytes that were read.
    """

    def __init__(self, stream: PlainStream, table: "TableBlocks", most: int) -> None:
        super().__init__()
        self.last = b""
        self._stream = stream
        self._table = table
        self._most = most

    def readable(self) -> bool:
        """Return True; pyarrow checks this before it reads."""
        return True

    def read(self, size: int = -1, /) -> Any:
        """Return the next bytes: ``size`` of them, or fewer at the end."""
        if size > self._most or size < 0:
            raise DataError(
                f"{self._stream.path}: row {self._table.next_row}: the next record batch has "
                f"{size:,} bytes, and at most {self._most:,} are read. Write the file again with "
                "smaller record batches, or raise --max-line-bytes."
            )
        data = self._stream.take_next(size)
        self.last = (self.last + bytes(data[-len(END_MARK) :]))[-len(END_MARK) :]
        return data
