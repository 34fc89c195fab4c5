r"""Turn inputs into blocks: bytes only, nothing is parsed here.

In     sources; plain, gzip, zstd, bzip2 or xz (told by their first bytes, not by their names);
       JSON Lines, or one JSON array of objects.
Out    ``Block``s in input order: some MiB of whole records, with file, line and byte offset, and
       the number of the shard they belong to. A record that is too long is a block of its own,
       with the error instead of its bytes.
Keeps  every byte counted and hashed, as stored; only ``\n`` ends a line (U+2028 is text).
Never  a shorter success: compressed data that is cut off or damaged is a DataError, and so is a
       file that changes while it is read. Never more in memory than the longest record allowed.

A shard is a run of the input of about ``shard_size`` bytes (uncompressed), cut at the first line
end at or after that size. So which record lands in which shard depends on the input and
``shard_size`` alone: not on the size of blocks, not on workers, not on compression.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sftprep import encoding_guess as encodings
from sftprep.choices import MAX_EXPANSION
from sftprep.data.block import Block, Element, Source
from sftprep.errors import DataError, RecordError
from sftprep.reading.decompression import Bounded, decompressed, read_error
from sftprep.reading.json_arrays import array_elements
from sftprep.reading.sources import find_sources, opened, size_of
from sftprep.reading.streams import Counted, Stream

__all__ = ["Block", "BlockReader", "Element", "Limits", "Source", "SourceFacts", "find_sources"]

BLOCK_BYTES = 2 << 20
KEPT_BYTES = 4 << 10
"""How much is kept of a record that is too long."""
NEWLINE = 10
BOM = b"\xef\xbb\xbf"


class Limits(NamedTuple):
    """What input may demand."""

    line: int = 64 << 20  # bytes of a record
    expansion: int = MAX_EXPANSION  # what one compressed byte may become


@dataclass
class SourceFacts:
    """What was read of one source: complete once the last of its blocks has been handed out."""

    bytes: int = 0  # as stored: compressed bytes of a compressed file
    sha256: str = ""


class BlockReader:
    """Iterate over the blocks of all sources; ``facts`` fills up as each is read to its end."""

    def __init__(
        self,
        sources: Sequence[Source],
        shard_size: int,
        block_bytes: int = BLOCK_BYTES,
        *,
        limits: Limits = Limits(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self.sources = sources
        self.facts = [SourceFacts() for _ in sources]
        self.stored = 0  # bytes taken from storage so far
        self._shard_size = shard_size
        self._block_bytes = block_bytes
        self._limits = limits
        self._kept = min(KEPT_BYTES, limits.line)
        self._shard = 0
        self._used = 0  # bytes in the current shard

    def __iter__(self) -> Iterator[Block]:
        for index, source in enumerate(self.sources):
            with opened(source.path) as raw:
                counted, before = Counted(raw), self.stored
                try:
                    plain = decompressed(counted, source.path, self._limits.expansion)
                    stream = Stream(plain, source.path)
                    counted.hashes = isinstance(
                        plain, Bounded
                    )  # else no byte needs to be hashed twice
                    for block in self._blocks(index, stream):
                        self.stored = before + counted.bytes
                        yield block._replace(until=stream.hash.hexdigest())
                    counted.drain()
                except OSError as error:
                    raise read_error(source.path, error, counted.bytes) from error
            self.stored = before + counted.bytes
            stored = counted if counted.hashes else stream
            self.facts[index] = SourceFacts(counted.bytes, stored.hash.hexdigest())

    @property
    def total(self) -> int | None:
        """The size of all sources as stored; None where one is a stream."""
        sizes = [size_of(source.path) for source in self.sources]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _blocks(self, index: int, stream: Stream) -> Iterator[Block]:
        start = stream.peek(4)
        if name := encodings.of_file(start):
            raise DataError(f"{stream.path}: the file is {name}. Convert it to UTF-8.")
        if start.startswith(BOM):
            stream.skip(len(BOM))
        if stream.first_byte() == b"[":
            yield from self._array_blocks(index, stream)
        else:
            yield from self._line_blocks(index, stream)

    def _target(self) -> int:
        return min(self._block_bytes, self._shard_size - self._used)

    def _take(self, size: int) -> int:
        """Book ``size`` bytes; return the shard they belong to."""
        shard = self._shard
        self._used += size
        if self._used >= self._shard_size:
            self._shard += 1
            self._used = 0
        return shard

    def _line_blocks(self, index: int, stream: Stream) -> Iterator[Block]:
        line = 1
        while True:
            offset = stream.offset
            data = stream.lines(self._target(), self._limits.line)
            if data:
                yield Block(index, self._take(len(data)), line, offset, data)
                line += int(np.count_nonzero(np.frombuffer(data, np.uint8) == NEWLINE))
            elif stream.peek(1):
                data, length = stream.long_line(self._kept)
                shard = self._take(stream.offset - offset)
                yield Block(index, shard, line, offset, data, broken=self._too_long(length))
                line += 1
            else:
                return

    def _array_blocks(self, index: int, stream: Stream) -> Iterator[Block]:
        elements = _Elements(index)
        for found in array_elements(stream, self._limits.line, self._kept):
            long = found.length > self._limits.line
            gap = found.offset - elements.end > self._block_bytes  # it would have to be kept
            if elements.weight and (long or gap):
                yield elements.block(self._take(elements.weight))
            elements.add(found.data, found.length, found.offset, *found.place)
            if long or elements.weight >= self._target():
                block = elements.block(self._take(elements.weight))
                yield block._replace(broken=self._too_long(found.length) if long else None)
        if elements.weight:
            yield elements.block(self._take(elements.weight))

    def _too_long(self, length: int) -> RecordError:
        return RecordError(
            "line_too_long",
            f"the record has {length:,} bytes, over the limit of {self._limits.line:,}, and is "
            f"listed with its first {self._kept:,} alone",
            "Raise --max-line-bytes, or split the record",
        )


class _Elements:
    """Elements of an array on their way into a block."""

    def __init__(self, source: int) -> None:
        self._source = source
        self.weight = 0  # as if each were a line; 0 where there are none
        self._data: list[bytes] = []
        self._elements: list[Element] = []
        self.end = 0  # of the last one, in the file
        self._line = self._offset = 0

    def add(self, data: bytes, length: int, offset: int, line: int, column: int) -> None:
        """Put one more element in; ``offset``, ``line`` and ``column`` are those in the file."""
        if not self._elements:
            self._line, self._offset, self.end = line, offset, offset
        # What lies between elements does not matter.
        self._data.append(b" " * (offset - self.end) + data)
        self.end = offset + len(data)
        start = offset - self._offset
        self._elements.append(Element(start, start + len(data), line, column))
        self.weight += length + 1

    def block(self, shard: int) -> Block:
        """The elements so far as a block, which takes them out."""
        data, elements = b"".join(self._data), tuple(self._elements)
        self._data, self._elements, self.weight = [], [], 0
        return Block(self._source, shard, self._line, self._offset, data, elements)
