"""One JSON object that holds the list of records, such as ``{"data": [...]}``.

In     a ``PlainStream`` at the start of the object; the path of the list: keys, from the outermost.
Out    the bytes, byte offset, line and column of each element of the list.
Keeps  the memory bounded by the longest element that is allowed: what is beside the list is passed
       over, at any size.
Raises DataError: the object has no such list or is not closed, or text follows it; or it holds a
       second list of records, so that it is not clear which one is meant.
"""

import re
from collections.abc import Generator, Iterator, Sequence

import orjson

from sftprep.data.block import Block
from sftprep.errors import DataError
from sftprep.reading.json_arrays import elements_at
from sftprep.reading.json_texts import (
    CLOSE_OBJECT,
    COMMA,
    JsonText,
    Place,
    Scanner,
    blocks_of_texts,
    skip_space,
)
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import NOT_SPACE, PlainStream
from sftprep.text import number, shown

WRAPPERS = ("data", "train", "rows", "records", "examples", "instances", "samples")
"""The keys under which a list of records is found without ``--json-path``."""
SPLITS = ("validation", "valid", "val", "dev", "eval", "test")
"""Keys of other lists of records; beside one of ``WRAPPERS`` they make it unclear what is meant."""

KEY = re.compile(
    rb'[ \t\r\n]*+"((?:[^"\\]++|\\.)*+)"[ \t\r\n]*+:[ \t\r\n]*+(?=[^ \t\r\n])', re.DOTALL
)
LIST_OF_OBJECTS = re.compile(rb"\[[ \t\r\n]*+[{\]]")
MOST_KEY_BYTES = 1 << 20
OPEN_LIST, OPEN_OBJECT = b"[{"


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a file with one object that holds the list of records."""
    path = cut.hints.json_path.split(".") if cut.hints.json_path else []
    return blocks_of_texts(_Walk(stream, cut).elements(path), cut)


def list_keys(start: bytes) -> list[str]:
    """Return the keys of an object, or of the start of one, whose values are lists of records."""
    keys = []
    for key, value in _entries(start, start.find(b"{")):
        found = LIST_OF_OBJECTS.match(start, value)
        if found and not is_list_of_messages(start, value):
            keys.append(key)
    return keys


MESSAGE_KEYS = [
    {"role", "content"}, {"role", "text"}, {"from", "value"}, {"from", "text"},
    {"speaker", "utterance"}, {"speaker", "text"},
]  # fmt: skip


def is_list_of_messages(start: bytes, position: int) -> bool:
    """Return True if a list begins with a message: it is a conversation, not a list of records.

    Args:
        start: JSON text, or the start of it.
        position: where the list begins.
    """
    found = LIST_OF_OBJECTS.match(start, position)
    if not found or start[found.end() - 1] != OPEN_OBJECT:
        return False
    keys = {key for key, _ in _entries(start, found.end() - 1)}
    return any(message <= keys for message in MESSAGE_KEYS)


def _entries(start: bytes, position: int) -> Iterator[tuple[str, int]]:
    """Yield each key of the object at ``position``, and where its value begins."""
    scanner, buffer = Scanner(depth=1), bytearray(start)
    position += 1
    while found := KEY.match(buffer, position):
        yield _text(found[1]), found.end()
        position, end = scanner.next(buffer, found.end())
        if end != COMMA:
            break


def _text(raw: bytes) -> str:
    """Return a key as text; a key that is not valid JSON is matched by no path."""
    try:
        return str(orjson.loads(b'"' + raw + b'"'))
    except orjson.JSONDecodeError:
        return repr(raw)


class _Walk:
    """Goes through the object once, from its first byte to its last."""

    def __init__(self, stream: PlainStream, cut: Cutting) -> None:
        self._stream = stream
        self._cut = cut
        self._place = Place(1, 1)
        self._lists: list[str] = []  # keys of lists of records, if no path is given

    def elements(self, path: Sequence[str]) -> Iterator[JsonText]:
        """Yield the elements of the list at ``path``, or of the only list of records."""
        stream = self._stream
        self._skip_space()
        if stream.peek(1) != b"{":
            raise self._error(
                f"the file does not begin with an object, so it has no list at "
                f"{shown('.'.join(path))}. Remove --json-path"
            )
        yield from self._object(path, "")
        self._skip_space()
        if stream.peek(1):
            found = stream.peek(200).strip()[:40].decode(errors="replace")
            raise self._error(
                f"text follows the end of the JSON object: {shown(found)}. With --json-path, or "
                "with the records in a list inside an object, a file holds one object"
            )

    def _object(self, path: Sequence[str], within: str) -> Generator[JsonText, None, None]:
        """Yield the elements of the list in the object that begins here; take all of the object.

        Args:
            path: the keys that lead to the list; empty for any of ``WRAPPERS``.
            within: the keys of the objects around this one, with dots between them.
        """
        self._take(1)
        found, keys, end = 0, [], COMMA
        self._skip_space()
        if self._stream.peek(1) == b"}":
            self._take(1)
            end = CLOSE_OBJECT
        while end == COMMA:
            key, kind = self._key()
            keys.append(key)
            name = f"{within}.{key}" if within else key
            if path and key == path[0]:
                found += 1
                if found > 1:
                    raise self._error(f"the key {shown(name)} occurs twice. Keep one of the two")
                yield from self._value(path, name, kind)
            elif not path and key in WRAPPERS + SPLITS and self._is_list_of_objects():
                found += 1
                self._note_list(key)
                yield from self._list(name)
            end = self._skip_value()
        if not found and path:
            raise self._error(
                f"there is no {shown('.'.join([*within.split('.'), path[0]]).lstrip('.'))}; found "
                f"{', '.join(map(shown, keys[:8])) or 'no keys'}. Correct --json-path"
            )

    def _value(self, path: Sequence[str], name: str, kind: int) -> Generator[JsonText, None, None]:
        if len(path) == 1:
            if kind != OPEN_LIST:
                raise self._error(f"{name} is not a list. Correct --json-path")
            yield from self._list(name)
        else:
            if kind != OPEN_OBJECT:
                raise self._error(f"{name} is not an object. Correct --json-path")
            yield from self._object(path[1:], name)

    def _list(self, name: str) -> Generator[JsonText, None, None]:
        limit, kept = self._cut.limits.line, self._cut.kept
        self._place = yield from elements_at(
            self._stream, self._place, limit, kept, f"the JSON list {shown(name)}"
        )

    def _is_list_of_objects(self) -> bool:
        """Return True if a list begins here that is empty or has an object as its first element."""
        stream = self._stream
        while stream.buffer[:1] == b"[" and NOT_SPACE.search(stream.buffer, 1) is None:
            if len(stream.buffer) > MOST_KEY_BYTES or not stream.more():
                break
        return LIST_OF_OBJECTS.match(stream.buffer) is not None

    def _note_list(self, key: str) -> None:
        self._lists.append(key)
        if len(self._lists) > 1:
            raise self._error(
                f"the object holds {number(len(self._lists), 'list')} of records, "
                f"{' and '.join(map(shown, self._lists))}. Choose one with --json-path "
                f"{self._lists[0]}"
            )

    def _key(self) -> tuple[str, int]:
        """Take the next key; return it, and the first byte of its value, which is not taken."""
        stream = self._stream
        while not (found := KEY.match(stream.buffer)):
            if len(stream.buffer) > MOST_KEY_BYTES or not stream.more():
                seen = stream.peek(40).strip().decode(errors="replace")
                raise self._error(
                    f"expected a key and its value, found {shown(seen) if seen else 'the end'}. "
                    "Check that the file is complete and valid JSON"
                )
        key = _text(found[1])
        self._take(found.end())
        return key, stream.buffer[0]

    def _skip_value(self) -> int:
        """Take the rest of a value, and the comma or bracket after it; return that byte."""
        scanner, position = Scanner(depth=1), 0
        while not (found := scanner.next(self._stream.buffer, position))[1]:
            self._take(found[0])
            if not self._stream.more():
                raise self._error("the JSON object is not closed. Check that the file is complete")
        self._take(found[0])
        if found[1] not in (COMMA, CLOSE_OBJECT):
            raise self._error("the JSON object is closed by ']'; expected '}'. Correct the file")
        return found[1]

    def _skip_space(self) -> None:
        self._place = skip_space(self._stream, self._place)

    def _take(self, size: int) -> None:
        self._place = self._place.after(self._stream.take(size))

    def _error(self, problem: str) -> DataError:
        return DataError(f"{self._stream.path}:{self._place.line}: {problem}.")
