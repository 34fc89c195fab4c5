"""A file that holds one JSON array: its elements are the records. They are not parsed here.

In     a ``PlainStream`` at the start of an array.
Out    the bytes, byte offset, line and column of each element; if an element is too long, only
       its first bytes.
Keeps  the time linear in the size of the file, and the memory bounded by the longest element that
       is allowed.
Never  looks at anything but strings, brackets and commas: an element that is not JSON is passed on
       unchanged, and refused when it is parsed.
Raises DataError: the array is not closed, or text follows it.
"""

from collections.abc import Generator, Iterator

from sftprep.data.block import Block
from sftprep.errors import DataError
from sftprep.reading.json_texts import (
    CLOSE,
    COMMA,
    SPACE,
    JsonText,
    Place,
    Scanner,
    blocks_of_texts,
    leading_space,
    skip_space,
)
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream
from sftprep.text import shown

FIRST = "the JSON array that the file begins with"
NOT_LINES = "; JSON Lines must not begin with '['"
"""What else may be wrong if this array is not closed."""


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a file that holds one array."""
    return blocks_of_texts(array_elements(stream, cut.limits.line, cut.kept), cut)


def array_elements(stream: PlainStream, longest: int, keep: int) -> Iterator[JsonText]:
    """Yield the elements of the array in the stream, and check that nothing follows the array.

    Args:
        stream: positioned at the array, or at white space before it.
        longest: the most bytes that an element may have.
        keep: how many bytes to keep from the start of a longer element.
    """
    place = yield from elements_at(stream, Place(1, 1), longest, keep, FIRST)
    place = skip_space(stream, place)
    if not stream.peek(1):
        return
    found = stream.peek(200).strip()[:40].decode(errors="replace")
    raise DataError(
        f"{stream.path}:{place.line}: text follows the end of the JSON array: {shown(found)}. "
        "A file holds one array, or one object per line."
    )


def elements_at(
    stream: PlainStream, place: Place, longest: int, keep: int, name: str
) -> Generator[JsonText, None, Place]:
    """Yield the elements of an array; return the place after it.

    Args:
        stream: positioned at the array, or at white space before it.
        place: where the stream is.
        longest: the most bytes that an element may have.
        keep: how many bytes to keep from the start of a longer element.
        name: what to call the array in messages.
    """
    scanner = Scanner()
    while (opened := scanner.next(stream.buffer, 0))[1] == 0:
        place = place.after(stream.take(opened[0]))
        _read_more(stream, place, name)
    place = place.after(stream.take(opened[0]))
    end, is_first = COMMA, True
    while end == COMMA:
        element, end, place = _take_element(stream, scanner, place, longest, keep, name)
        is_empty_array = is_first and end != COMMA and not element.length
        if not is_empty_array:
            # A missing element is passed on as a comma, which parsing refuses.
            yield element if element.length else element._replace(data=b",", length=1)
        is_first = False
    if end != CLOSE:
        raise DataError(
            f"{stream.path}:{place.line}: {name} is closed by '}}'; expected ']'. Correct the file."
        )
    return place


def _take_element(
    stream: PlainStream, scanner: Scanner, place: Place, longest: int, keep: int, name: str
) -> tuple[JsonText, int, Place]:
    """Take one element and the byte that ends it.

    Returns:
        The element, the ending byte, and the place after that byte.
    """
    position, end, head = 0, 0, b""
    begin, start = stream.offset, place
    while True:
        position, end = scanner.next(stream.buffer, position)
        if stream.offset == begin and (lead := leading_space(stream, position - (end != 0))):
            place = start = place.after(stream.take(lead))
            begin = stream.offset
            position -= lead
        if end:
            break
        if stream.offset + position - begin > longest:
            head = head or bytes(stream.buffer[:keep])
            place = place.after(stream.take(position))
            position = 0
        _read_more(stream, place, name)
    raw = stream.take(position - 1)
    place = place.after(raw)
    length = stream.offset - begin
    stream.skip(1)
    place = Place(place.line, place.column + 1)
    if length > longest:
        return JsonText(head or raw[:keep], length, begin, start), end, place
    data = raw.rstrip(SPACE)
    return JsonText(data, len(data), begin, start), end, place


def _read_more(stream: PlainStream, place: Place, name: str) -> None:
    if not stream.more():
        raise DataError(
            f"{stream.path}:{place.line}: {name} is not closed. Check that the file is complete"
            f"{NOT_LINES if name == FIRST else ''}."
        )
