"""Divide a file that holds one JSON array into the array's elements, without parsing them.

In     a ``PlainStream`` at the start of an array.
Out    the bytes, byte offset, line and column of each element; if an element is too long, only
       its first bytes.
Keeps  the time linear in the size of the file, and the memory bounded by the longest element that
       is allowed.
Never  looks at anything but strings, brackets and commas: an element that is not JSON is passed on
       unchanged, and refused when it is parsed.
Raises DataError: the array is not closed, or text follows it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from sftprep.errors import DataError
from sftprep.reading.streams import NOT_SPACE, PlainStream
from sftprep.text import shown

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[\[\]{},]', re.DOTALL)
STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
SPACE = b" \t\r\n"
CONTINUATION_BYTES = bytes(range(0x80, 0xC0))  # those of a UTF-8 character after its first
QUOTE, COMMA, CLOSE = b'",]'


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


class ArrayElement(NamedTuple):
    """One element of the array."""

    data: bytes  # if the element is too long, only its first bytes
    length: int  # in bytes, of the whole element
    offset: int  # in bytes, from the start of the file
    place: Place


def array_elements(stream: PlainStream, longest: int, keep: int) -> Iterator[ArrayElement]:
    """Yield the elements of the array in the stream, and check that nothing follows the array.

    Args:
        stream: positioned at the array, or at white space before it.
        longest: the most bytes that an element may have.
        keep: how many bytes to keep from the start of a longer element.
    """
    scanner = _Scanner()
    place = Place(1, 1)
    while (opened := scanner.next(stream.buffer, 0))[1] == 0:
        place = place.after(stream.take(opened[0]))
        _read_more(stream, place)
    place = place.after(stream.take(opened[0]))
    end, is_first = COMMA, True
    while end == COMMA:
        element, end, place = _take_element(stream, scanner, place, longest, keep)
        is_empty_array = is_first and end != COMMA and not element.length
        if not is_empty_array:
            # A missing element is passed on as a comma, which parsing refuses.
            yield element if element.length else element._replace(data=b",", length=1)
        is_first = False
    if end != CLOSE:
        raise DataError(
            f"{stream.path}:{place.line}: the JSON array that the file begins with is closed by "
            "'}'; expected ']'. Correct the file."
        )
    _check_end(stream, place)


class _Scanner:
    """Finds the commas and brackets that separate elements, in one buffer after another."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False

    def next(self, buffer: bytearray, position: int) -> tuple[int, int]:
        """Find the next comma or bracket that separates elements.

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
                self._depth -= 1
                if self._depth == 0:
                    return token.end(), kind
            elif self._depth == 1:
                return token.end(), kind
        return len(buffer), 0


def _take_element(
    stream: PlainStream, scanner: _Scanner, place: Place, longest: int, keep: int
) -> tuple[ArrayElement, int, Place]:
    """Take one element and the byte that ends it.

    Returns:
        The element, the ending byte, and the place after that byte.
    """
    position, end, head = 0, 0, b""
    begin, start = stream.offset, place
    while True:
        position, end = scanner.next(stream.buffer, position)
        if stream.offset == begin and (lead := _leading_space(stream, position - (end != 0))):
            place = start = place.after(stream.take(lead))
            begin = stream.offset
            position -= lead
        if end:
            break
        if stream.offset + position - begin > longest:
            head = head or bytes(stream.buffer[:keep])
            place = place.after(stream.take(position))
            position = 0
        _read_more(stream, place)
    raw = stream.take(position - 1)
    place = place.after(raw)
    length = stream.offset - begin
    stream.skip(1)
    place = Place(place.line, place.column + 1)
    if length > longest:
        return ArrayElement(head or raw[:keep], length, begin, start), end, place
    data = raw.rstrip(SPACE)
    return ArrayElement(data, len(data), begin, start), end, place


def _leading_space(stream: PlainStream, size: int) -> int:
    """Return how many bytes of white space come first among the next ``size`` bytes."""
    found = NOT_SPACE.search(stream.buffer, 0, size)
    return found.start() if found else size


def _read_more(stream: PlainStream, place: Place) -> None:
    if not stream.more():
        raise DataError(
            f"{stream.path}:{place.line}: the JSON array that the file begins with is not closed. "
            "Check that the file is complete; JSON Lines must not begin with '['."
        )


def _check_end(stream: PlainStream, place: Place) -> None:
    while (lead := _leading_space(stream, len(stream.buffer))) == len(stream.buffer):
        place = place.after(stream.take(lead))
        if not stream.more():
            return
    place = place.after(stream.take(lead))
    found = stream.peek(200).strip()[:40].decode(errors="replace")
    raise DataError(
        f"{stream.path}:{place.line}: text follows the end of the JSON array: {shown(found)}. "
        "A file holds one array, or one object per line."
    )
