"""Tell how a file of JSON is laid out: lines, a list, a list in an object, or values over lines.

In     a ``PlainStream`` at the start of a file; nothing is taken from it.
Out    the name of the layout.
Keeps  JSON Lines as JSON Lines even if the first line is damaged: a line counts as the start of an
       object over several lines only if the next line continues it as JSON must.
"""

import re

from sftprep.reading.json_texts import Scanner
from sftprep.reading.json_wrapped import SPLITS, WRAPPERS, is_list_of_messages, list_keys
from sftprep.reading.streams import NOT_SPACE, PlainStream

LOOK_AHEAD = 8 << 20
"""How many bytes are searched for the end of the first object."""
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[^ \t\r\n"]', re.DOTALL)
KEY_OR_END, VALUE, VALUE_OR_END = b'"}', b'"{[-0123456789tfn', b'"{[-0123456789tfn]'


def layout_of(stream: PlainStream, longest: int) -> str:
    """Return ``json-lines``, ``json-array``, ``json-objects`` or ``json-wrapped``.

    Args:
        stream: the file, at its start.
        longest: the most bytes that a record may have.
    """
    if stream.first_byte() == b"[":
        return _layout_of_lists(stream, longest)
    if stream.first_byte() != b"{":
        return "json-lines"
    end = _line_end(stream, longest)
    if end is None:  # the first line is longer than a record may be, or the only one
        return "json-wrapped" if _is_wrapper(stream, longest) else "json-lines"
    if _is_complete(stream.buffer[:end]):
        is_only = not _has_more(stream, end)
        return "json-wrapped" if is_only and _is_wrapper(stream, longest) else "json-lines"
    if not _goes_on(stream, end):
        return "json-lines"
    return "json-wrapped" if _is_wrapper(stream, longest) else "json-objects"


def _layout_of_lists(stream: PlainStream, longest: int) -> str:
    """Return the layout of a file that begins with a list.

    The list holds the records, unless it is a record itself: a conversation, as a list of messages.
    """
    end = _line_end(stream, longest)
    if end is not None and _is_complete(stream.buffer[:end]) and _has_more(stream, end):
        following = NOT_SPACE.search(stream.buffer, end)
        return "json-lines" if following and following[0] == b"[" else "json-array"
    start = bytes(stream.buffer[:LOOK_AHEAD])
    return "json-objects" if is_list_of_messages(start, start.find(b"[")) else "json-array"


def _line_end(stream: PlainStream, longest: int) -> int | None:
    """Return the position after the first line that is not blank; None if no line end is found."""
    begin = NOT_SPACE.search(stream.buffer)
    position = begin.start() if begin else 0
    while (end := stream.buffer.find(b"\n", position) + 1) == 0:
        position = len(stream.buffer)
        if position > longest or not stream.more():
            return None
    return end


def _has_more(stream: PlainStream, position: int) -> bool:
    """Return True if anything but white space follows; look at a MiB of it at most."""
    while NOT_SPACE.search(stream.buffer, position) is None:
        if len(stream.buffer) - position > 1 << 20 or not stream.more():
            return False
    return True


def _is_complete(line: bytearray) -> bool:
    """Return True if the first line is a whole object or list, with or without text after it."""
    scanner, position = Scanner(), 0
    while True:
        position, kind = scanner.next(line, position)
        if kind in b"]}":
            return True
        if not kind:
            return False


def _goes_on(stream: PlainStream, end: int) -> bool:
    """Return True if the line after the first one continues the object that the first one begins.

    Args:
        stream: the file.
        end: the position after the first line.
    """
    before, inside = b"", bytearray()
    for token in TOKEN.finditer(stream.buffer, 0, end):
        found = token[0]
        if found.startswith(b'"') and not token[1]:
            return False  # no string goes on over a line end
        before = found[:1]
        if before in b"{[":
            inside += before
        elif before in b"}]" and inside:
            del inside[-1:]
    if not inside or not _has_more(stream, end):
        return False
    match = NOT_SPACE.search(stream.buffer, end)
    following = match[0] if match else b""
    in_object = inside.endswith(b"{")
    if before == b"{" or (before == b"," and in_object):
        return following in KEY_OR_END
    if before in (b"[", b","):
        return following in VALUE_OR_END
    if before == b":":
        return following in VALUE
    return following in b",:}]"


def _is_wrapper(stream: PlainStream, longest: int) -> bool:
    """Return True if the file is a single object that holds a list of records."""
    scanner, position = Scanner(), 0
    limit = min(longest, LOOK_AHEAD)
    while True:
        position, kind = scanner.next(stream.buffer, position)
        if kind in b"]}":
            if _has_more(stream, position):
                return False
            break
        if not kind and (position > limit or not stream.more()):
            break
    keys = list_keys(bytes(stream.buffer[:position]))
    return any(key in WRAPPERS + SPLITS for key in keys)
