"""JSON texts in a file in which a record may take up several lines, and the blocks made from them.

In     a ``PlainStream``; or the texts that the modules ``json_arrays``, ``json_wrapped``,
       ``json_objects`` and ``json_sequences`` find in one.
Out    ``JsonText``: the bytes, byte offset, line and column of one record. Blocks of them.
Keeps  the memory bounded by the longest record that is allowed.
Never  parses a text: one that is not JSON is passed on unchanged, and refused when it is parsed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sftprep.data.block import Block, Element
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import NOT_SPACE, PlainStream

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[\[\]{},]', re.DOTALL)
STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
SPACE = b" \t\r\n"
CONTINUATION_BYTES = bytes(range(0x80, 0xC0))  # those of a UTF-8 character after its first
QUOTE, COMMA, CLOSE, CLOSE_OBJECT = b'",]}'


class Place(NamedTuple):
    """A position in a text file; lines and columns count from 1, columns count characters."""

    line: int
    column: int

    def after(self, data: bytes) -> "Place":
        """Return the place after some bytes that begin at this place."""
        lines = data.count(b"\n")
        rest = data[data.rfind(b"\n") + 1 :] if lines else data
        width = len(rest.translate(None, CONTINUATION_BYTES))
        return Place(self.line + lines, 1 + width if lines else self.column + width)


class JsonText(NamedTuple):
    """One record."""

    data: bytes  # if the record is too long, only its first bytes
    length: int  # in bytes, of the whole record
    offset: int  # in bytes, from the start of the file
    place: Place


class Scanner:
    """Finds the commas and brackets that separate values, in one buffer after another.

    Args:
        depth: how many objects and arrays are open at the first byte.
    """

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._in_string = False

    def next(self, buffer: bytearray, position: int) -> tuple[int, int]:
        """Find the next comma or bracket of the outermost object or array.

        Args:
            buffer: the bytes read so far and not yet taken.
            position: where to continue the search.

        Returns:
            The position after the separator, and its byte; or the position up to which the buffer
            was searched, and 0.
        """
        if self._in_string:
            rest = STRING_REST.match(buffer, position)
            position = rest.end() if rest else position
            if buffer[position : position + 1] != b'"':
                return position, 0
            position += 1
            self._in_string = False
        for token in TOKEN.finditer(buffer, position):
            kind = buffer[token.start()]
            if kind == QUOTE:
                if token[1] is None:
                    self._in_string = True
                    return token.end(), 0
            elif kind in b"[{":
                self._depth += 1
                if self._depth == 1:
                    return token.end(), kind
            elif kind in b"]}":
                self._depth = max(0, self._depth - 1)
                if self._depth == 0:
                    return token.end(), kind
            elif self._depth == 1:
                return token.end(), kind
        return len(buffer), 0


def leading_space(stream: PlainStream, size: int) -> int:
    """Return how many bytes of white space come first among the next ``size`` bytes."""
    found = NOT_SPACE.search(stream.buffer, 0, size)
    return found.start() if found else size


def skip_space(stream: PlainStream, place: Place) -> Place:
    """Take white space; return the place after it, which may be the end of the stream."""
    while (lead := leading_space(stream, len(stream.buffer))) == len(stream.buffer):
        place = place.after(stream.take(lead))
        if not stream.more():
            return place
    return place.after(stream.take(lead))


def blocks_of_texts(texts: Iterable[JsonText], cut: Cutting) -> Iterator[Block]:
    """Yield blocks of records; a record that is too long gets a block of its own."""
    shards, longest = cut.shards, cut.limits.line
    waiting = _Waiting(cut.source)
    for found in texts:
        is_long = found.length > longest
        # A block holds the white space between records too, so a lot of it starts a new block.
        is_far = found.offset - waiting.end > shards.block_bytes
        if waiting.weight and (is_long or is_far):
            yield waiting.take_block(shards.count(waiting.weight))
        waiting.add(found)
        if is_long or waiting.weight >= shards.target():
            block = waiting.take_block(shards.count(waiting.weight))
            yield block._replace(too_long=cut.too_long(found.length) if is_long else None)
    if waiting.weight:
        yield waiting.take_block(shards.count(waiting.weight))


class _Waiting:
    """Collects the records that go into the next block.

    Attributes:
        weight: the total length of the records in bytes, counting one more byte per record, as if
            each were a line with a line end; 0 if there are none.
        end: the position in the file after the last record.
    """

    def __init__(self, source: int) -> None:
        self.weight = 0
        self.end = 0
        self._source = source
        self._data: list[bytes] = []
        self._elements: list[Element] = []
        self._line = self._offset = 0

    def add(self, text: JsonText) -> None:
        """Add the next record."""
        offset, (line, column) = text.offset, text.place
        if not self._elements:
            self._line, self._offset, self.end = line, offset, offset
        # Spaces replace what was between the records, so that offsets in the block are right.
        self._data.append(b" " * (offset - self.end) + text.data)
        self.end = offset + len(text.data)
        start = offset - self._offset
        self._elements.append(Element(start, start + len(text.data), line, column))
        self.weight += text.length + 1

    def take_block(self, shard: int) -> Block:
        """Return the records as a block, and forget them."""
        data, elements = b"".join(self._data), tuple(self._elements)
        self._data, self._elements, self.weight = [], [], 0
        return Block(self._source, shard, self._line, self._offset, data, elements)
