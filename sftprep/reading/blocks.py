r"""Divide inputs into blocks of whole records, without parsing them.

In     sources: plain, gzip, zstd, bzip2 or xz; JSON Lines, or one JSON array of objects.
Out    ``Block``s in input order: a few MiB of whole records, with their file, line, byte offset and
       shard. A record that is too long gets a block of its own, which holds the start of the record
       and an error.
Keeps  a count and a hash of each source's bytes as stored, that is, before they are decompressed.
       Only ``\n`` ends a line: U+2028, for example, is text.
Never  ends early without an error: compressed data that is damaged or incomplete is a DataError,
       and so is a file that changes while it is read. Never holds more in memory than a block and
       the longest record allowed.

A shard is a slice of the input of about ``shard_size`` uncompressed bytes, which ends at the first
line end at or after that size. Therefore the shard of a record depends only on the input and on
``shard_size``, and not on the size of blocks, the number of workers or the compression.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sftprep.data.block import Block, Element, Source
from sftprep.encoding_guess import guess_file_encoding
from sftprep.errors import DataError, RecordError
from sftprep.reading.decompression import decompressed, read_error
from sftprep.reading.json_arrays import ArrayElement, array_elements
from sftprep.reading.limits import Limits
from sftprep.reading.sources import opened, size_of
from sftprep.reading.streams import READ_BYTES, PlainStream, StoredStream

BLOCK_BYTES = 2 << 20
"""The size of a block, unless the caller gives another."""
KEPT_BYTES = 4 << 10
"""How many bytes at the start of a record are kept if the record is too long."""
NEWLINE = 10
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass
class SourceDigest:
    """The size and hash of a source: complete once it has been read to its end."""

    bytes: int = 0  # as stored: compressed bytes if the file is compressed
    sha256: str = ""  # of these bytes


class BlockReader:
    """Iterates over the blocks of all sources.

    Args:
        sources: what to read, in this order.
        shard_size: uncompressed bytes in one shard.
        block_bytes: uncompressed bytes in one block; does not change which records are in which
            shard.
        limits: how long records may be, and how much compressed data may expand.
        read_bytes: how many bytes are read from a file at once; does not change any block.

    Attributes:
        sources: as given.
        digests: the size and hash of each source, complete once it has been read to its end.
        stored_bytes: how many bytes have been read so far, as stored.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shard_size: int,
        block_bytes: int = BLOCK_BYTES,
        *,
        limits: Limits = Limits(),  # noqa: B008 - it is immutable
        read_bytes: int = READ_BYTES,
    ) -> None:
        self.sources = sources
        self.digests = [SourceDigest() for _ in sources]
        self.stored_bytes = 0
        self._shard_size = shard_size
        self._block_bytes = block_bytes
        self._limits = limits
        self._read_bytes = read_bytes
        self._kept = min(KEPT_BYTES, limits.line)
        self._shard = 0
        self._used = 0  # bytes in the current shard

    def __iter__(self) -> Iterator[Block]:
        for index, source in enumerate(self.sources):
            with opened(source.path) as file:
                stored, before = StoredStream(file, self._read_bytes), self.stored_bytes
                try:
                    plain = decompressed(stored, source.path, self._limits, self._read_bytes)
                    stream = PlainStream(plain, source.path, self._read_bytes)
                    # If the data is not compressed, only ``stream`` hashes it.
                    stored.is_hashing = plain is not stored
                    for block in self.blocks_of(index, stream):
                        self.stored_bytes = before + stored.bytes
                        yield block._replace(text_sha256=stream.hash.hexdigest())
                    stored.drain()
                except OSError as error:
                    raise read_error(source.path, error, stored.bytes) from error
            self.stored_bytes = before + stored.bytes
            hashing = stored if stored.is_hashing else stream
            self.digests[index] = SourceDigest(stored.bytes, hashing.hash.hexdigest())

    @property
    def total_bytes(self) -> int | None:
        """The size of all sources as stored; None if one of them is a stream."""
        sizes = [size_of(source.path) for source in self.sources]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def blocks_of(self, index: int, stream: PlainStream) -> Iterator[Block]:
        """Yield the blocks of one source.

        Args:
            index: the number of the source.
            stream: its uncompressed bytes.
        """
        start = stream.peek(4)
        if name := guess_file_encoding(start):
            raise DataError(f"{stream.path}: the file is {name}. Convert it to UTF-8.")
        if start.startswith(UTF8_MARK):
            stream.skip(len(UTF8_MARK))
        if stream.first_byte() == b"[":
            yield from self._array_blocks(index, stream)
        else:
            yield from self._line_blocks(index, stream)

    def _line_blocks(self, index: int, stream: PlainStream) -> Iterator[Block]:
        line = 1
        while True:
            offset = stream.offset
            data = stream.lines(self._target(), self._limits.line)
            if data:
                yield Block(index, self._count_in(len(data)), line, offset, data)
                line += int(np.count_nonzero(np.frombuffer(data, np.uint8) == NEWLINE))
            elif stream.peek(1):
                data, length = stream.long_line(self._kept)
                shard = self._count_in(stream.offset - offset)
                yield Block(index, shard, line, offset, data, too_long=self._too_long(length))
                line += 1
            else:
                return

    def _array_blocks(self, index: int, stream: PlainStream) -> Iterator[Block]:
        elements = _ElementBuffer(index)
        for found in array_elements(stream, self._limits.line, self._kept):
            is_long = found.length > self._limits.line
            # A block holds the white space between elements too, so a lot of it starts a new block.
            is_far = found.offset - elements.end > self._block_bytes
            if elements.weight and (is_long or is_far):
                yield elements.take_block(self._count_in(elements.weight))
            elements.add(found)
            if is_long or elements.weight >= self._target():
                block = elements.take_block(self._count_in(elements.weight))
                yield block._replace(too_long=self._too_long(found.length) if is_long else None)
        if elements.weight:
            yield elements.take_block(self._count_in(elements.weight))

    def _target(self) -> int:
        """Return how many bytes the next block should have. It must not cross into a new shard."""
        return min(self._block_bytes, self._shard_size - self._used)

    def _count_in(self, size: int) -> int:
        """Count the bytes of a block into the current shard, and return the shard's number."""
        shard = self._shard
        self._used += size
        if self._used >= self._shard_size:
            self._shard += 1
            self._used = 0
        return shard

    def _too_long(self, length: int) -> RecordError:
        return RecordError(
            "line_too_long",
            f"the record has {length:,} bytes, over the limit of {self._limits.line:,}; only its "
            f"first {self._kept:,} are kept",
            "Raise --max-line-bytes, or split the record",
        )


class _ElementBuffer:
    """Collects the elements of an array that go into the next block.

    Attributes:
        weight: the total length of the elements in bytes, counting one more byte per element, as if
            each were a line with a line end; 0 if the buffer is empty.
        end: the position in the file after the last element.
    """

    def __init__(self, source: int) -> None:
        self.weight = 0
        self.end = 0
        self._source = source
        self._data: list[bytes] = []
        self._elements: list[Element] = []
        self._line = self._offset = 0

    def add(self, element: ArrayElement) -> None:
        """Add the next element of the array."""
        offset, (line, column) = element.offset, element.place
        if not self._elements:
            self._line, self._offset, self.end = line, offset, offset
        # Spaces replace what was between the elements, so that offsets in the block are right.
        self._data.append(b" " * (offset - self.end) + element.data)
        self.end = offset + len(element.data)
        start = offset - self._offset
        self._elements.append(Element(start, start + len(element.data), line, column))
        self.weight += element.length + 1

    def take_block(self, shard: int) -> Block:
        """Return the elements as a block, and empty the buffer."""
        data, elements = b"".join(self._data), tuple(self._elements)
        self._data, self._elements, self.weight = [], [], 0
        return Block(self._source, shard, self._line, self._offset, data, elements)
