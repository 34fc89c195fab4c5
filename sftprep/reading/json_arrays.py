"""One JSON array -> its elements, as they stand in the file.

In     a ``Stream`` at the start of an array.
Out    each element's bytes, byte offset, line and column; of one that is too long, its start.
Keeps  linear time, and no more in memory than the longest element that is allowed.
Never  looks at more than strings, brackets and commas: an element that is no JSON comes out as it
       stands and is refused where it is parsed.
Raises DataError: the array is not closed, or something follows it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from sftprep.errors import DataError
from sftprep.reading.streams import NOT_SPACE, Stream
from sftprep.text import shown

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[\[\]{},]', re.DOTALL)
STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
SPACE = b" \t\r\n"
FOLLOWING = bytes(range(0x80, 0xC0))  # the bytes of a character behind its first
QUOTE, COMMA, CLOSE = b'",]'


class Place(NamedTuple):
    """A place in a text file, both numbers counted from 1; columns are characters."""

    line: int
    column: int

    def after(self, data: bytes) -> "Place":
        """The place behind some bytes."""
        lines = data.count(b"\n")
        rest = data[data.rfind(b"\n") + 1 :] if lines else data
        width = len(rest.translate(None, FOLLOWING))
        return Place(self.line + lines, 1 + width if lines else self.column + width)


class Found(NamedTuple):
    """One element."""

    data: bytes  # only the start of one that is too long
    length: int  # in bytes; more than ``data`` has where that is only the start
    offset: int
    place: Place


class _Scanner:
    """Finds what parts the elements, however the bytes come; remembers where it is."""

    def __init__(self) -> None:
        self.depth = 0
        self._in_string = False

    def next(self, buffer: bytearray, position: int) -> tuple[int, int]:
        """The next comma or bracket that parts elements.

        Returns:
            The position behind it and its byte; or how far the buffer was looked at, and 0.
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
                self.depth += 1
                if self.depth == 1:
                    return token.end(), kind
            elif kind in b"]}":
                self.depth -= 1
                if self.depth == 0:
                    return token.end(), kind
            elif self.depth == 1:
                return token.end(), kind
        return len(buffer), 0


def array_elements(stream: Stream, longest: int, keep: int) -> Iterator[Found]:
    """The elements of the array that comes next, up to the end of the stream.

    Args:
        stream: at the array, or at white space before it.
        longest: the bytes that an element may have.
        keep: how many bytes are kept of one that has more.
    """
    scanner = _Scanner()
    place = Place(1, 1)
    while (opened := scanner.next(stream.buffer, 0))[1] == 0:
        place = place.after(stream.take(opened[0]))
        _read_on(stream, place)
    place = place.after(stream.take(opened[0]))
    kind, alone = COMMA, True  # no element yet: an empty array is none, not a missing one
    while kind == COMMA:
        element, kind, place = _element(stream, scanner, place, longest, keep)
        if kind == COMMA or element.length or not alone:
            # An element that is missing comes out as what stands in its place: no JSON.
            yield element if element.length else element._replace(data=b",", length=1)
        alone = False
    if kind != CLOSE:
        raise DataError(
            f"{stream.path}:{place.line}: the JSON array that the file begins with is closed by "
            "'}'. Correct the file."
        )
    _check_end(stream, place)


def _element(
    stream: Stream, scanner: _Scanner, place: Place, longest: int, keep: int
) -> tuple[Found, int, Place]:
    """Take one element and what ends it: the element, the ending byte, the place behind it."""
    position, kind, head = 0, 0, b""
    begin, start = stream.offset, place
    while True:
        position, kind = scanner.next(stream.buffer, position)
        if stream.offset == begin and (lead := _spaces(stream, position - (kind != 0))):
            place = start = place.after(stream.take(lead))
            begin = stream.offset
            position -= lead
        if kind:
            break
        if stream.offset + position - begin > longest:
            head = head or bytes(stream.buffer[:keep])
            place = place.after(stream.take(position))
            position = 0
        _read_on(stream, place)
    raw = stream.take(position - 1)
    place = place.after(raw)
    length = stream.offset - begin
    stream.skip(1)
    place = Place(place.line, place.column + 1)
    if length > longest:
        return Found(head or raw[:keep], length, begin, start), kind, place
    data = raw.rstrip(SPACE)
    return Found(data, len(data), begin, start), kind, place


def _spaces(stream: Stream, size: int) -> int:
    """How many of the next ``size`` bytes come before the first that is not white space."""
    found = NOT_SPACE.search(stream.buffer, 0, size)
    return found.start() if found else size


def _read_on(stream: Stream, place: Place) -> None:
    if not stream.more():
        raise DataError(
            f"{stream.path}:{place.line}: the JSON array that the file begins with is not closed. "
            "Check that the file is whole; JSON Lines must not begin with '['."
        )


def _check_end(stream: Stream, place: Place) -> None:
    while (lead := _spaces(stream, len(stream.buffer))) == len(stream.buffer):
        place = place.after(stream.take(lead))
        if not stream.more():
            return
    place = place.after(stream.take(lead))
    found = stream.peek(200).strip()[:40].decode(errors="replace")
    raise DataError(
        f"{stream.path}:{place.line}: text follows the end of the JSON array: {shown(found)}. "
        "A file holds one array, or one object a line."
    )
