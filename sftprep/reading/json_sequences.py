"""JSON text sequences (RFC 7464): each record begins with the character RS (U+001E).

In     a ``PlainStream`` whose first byte is RS.
Out    the bytes, byte offset, line and column of each text. A text may take up several lines.
Keeps  the memory bounded by the longest text that is allowed. JSON strings never hold the character
       RS itself, so the division is certain.
Never  reports two RS in a row: the RFC allows them, and there is nothing between them.
"""

from collections.abc import Iterator

from sftprep.data.block import Block
from sftprep.reading.json_texts import (
    SPACE,
    JsonText,
    Place,
    blocks_of_texts,
    leading_space,
)
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream

RS = b"\x1e"


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a JSON text sequence."""
    return blocks_of_texts(texts(stream, cut.limits.line, cut.kept), cut)


def texts(stream: PlainStream, longest: int, keep: int) -> Iterator[JsonText]:
    """Yield the texts of the sequence.

    Args:
        stream: positioned at RS, or at white space before it.
        longest: the most bytes that a text may have.
        keep: how many bytes to keep from the start of a longer text.
    """
    place = Place(1, 1)
    while stream.peek(1):
        found, place = _take_text(stream, place, longest, keep)
        if found.length:
            yield found


def _take_text(
    stream: PlainStream, place: Place, longest: int, keep: int
) -> tuple[JsonText, Place]:
    """Take a text and the RS after it, and return the place after these."""
    begin, start, head, searched = stream.offset, place, b"", 0
    while (end := stream.buffer.find(RS, searched)) < 0:
        searched = len(stream.buffer)
        if stream.offset == begin and (lead := leading_space(stream, searched)):
            place = start = place.after(stream.take(lead))
            begin, searched = stream.offset, searched - lead
        if stream.offset + searched - begin > longest:
            head = head or bytes(stream.buffer[:keep])
            place = place.after(stream.take(searched))
            searched = 0
        if not stream.more():
            end = len(stream.buffer)
            break
    if stream.offset == begin:
        place = start = place.after(stream.take(lead := leading_space(stream, end)))
        begin, end = stream.offset, end - lead
    raw = stream.take(end)
    place = place.after(raw)
    length = stream.offset - begin
    if stream.buffer:
        place = place.after(stream.take(1))
    if length > longest:
        return JsonText(head or raw[:keep], length, begin, start), place
    data = raw.rstrip(SPACE)
    return JsonText(data, len(data), begin, start), place
