"""JSON objects one after another, each over several lines, as a pretty-printer writes them.

In     a ``PlainStream`` of objects with nothing but white space between them.
Out    the bytes, byte offset, line and column of each object.
Keeps  the memory bounded by the longest object that is allowed.
Never  loses a byte: text between two objects becomes a part of the second, which is then refused.
Raises DataError: the last object is not closed.
"""

from collections.abc import Iterator

from sftprep.data.block import Block
from sftprep.errors import DataError
from sftprep.reading.json_texts import (
    SPACE,
    JsonText,
    Place,
    Scanner,
    blocks_of_texts,
    skip_space,
)
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream

OPENING, CLOSING = b"[{", b"]}"


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a file of objects."""
    return blocks_of_texts(objects(stream, cut.limits.line, cut.kept), cut)


def objects(stream: PlainStream, longest: int, keep: int) -> Iterator[JsonText]:
    """Yield the objects of the stream.

    Args:
        stream: positioned at the first object, or at white space before it.
        longest: the most bytes that an object may have.
        keep: how many bytes to keep from the start of a longer object.
    """
    place = skip_space(stream, Place(1, 1))
    while stream.peek(1):
        found, place = _take_object(stream, place, longest, keep)
        yield found
        place = skip_space(stream, place)


def _take_object(
    stream: PlainStream, place: Place, longest: int, keep: int
) -> tuple[JsonText, Place]:
    """Take everything up to the end of the next object, and return the place after it."""
    scanner, start, begin = Scanner(), place, stream.offset
    position, head, is_open = 0, b"", False
    while True:
        position, kind = scanner.next(stream.buffer, position)
        if kind in CLOSING:
            break
        if kind:
            is_open |= kind in OPENING
            continue
        if stream.offset + position - begin > longest:
            head = head or bytes(stream.buffer[:keep])
            place = place.after(stream.take(position))
            position = 0
        if not stream.more():
            if is_open:
                raise DataError(
                    f"{stream.path}:{start.line}: the JSON object that begins here is not closed. "
                    "Check that the file is complete, and correct the object."
                )
            break  # text that is no object
    raw = stream.take(position)
    place = place.after(raw)
    length = stream.offset - begin
    if length > longest:
        return JsonText(head or raw[:keep], length, begin, start), place
    data = raw.rstrip(SPACE)
    return JsonText(data, len(data), begin, start), place
