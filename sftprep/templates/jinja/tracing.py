"""Put marks around a record's texts, to find them in the text that a template renders.

In     a record's messages and tools.
Out    ``Tracer.marked``: a copy with a mark before and after each text. ``Tracer.dump``, to be used
       as the template's ``tojson``: puts marks around the JSON of a whole object or list.
       ``Tracer.unmarked``: the rendered text without marks, and where each mark was.
Keeps  the outer white space of a text outside its marks, so that a template that trims texts trims
       a marked text in the same way.
Never  uses a mark that data could contain: marks have a key of 64 bits, the hash of the record.
       The text that is finally encoded is always rendered without marks.

The tags ``<think>`` and ``</think>`` in a text stay without marks, because templates look for them.
The *segments* of the text before, between and after the tags are marked one by one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""The keys and indexes that lead from the record to a text: ("messages", 0, "content")."""

THINK = re.compile(r"(</?think>)")
GENERATION = -1
"""The ``Mark.origin`` of the template's own ``{% generation %}`` markers."""
WHOLE = 0
"""The ``Origin.segments`` of a text that is taken as a whole, think tags included."""


class Origin(NamedTuple):
    """Where a rendered text comes from: a text of the record, or one segment of a text."""

    path: Path
    segment: int = 0  # index of the segment, if the text has think tags
    segments: int = 1  # number of segments; WHOLE: all of the text, think tags included
    as_json: bool = False  # the template wrote it with ``tojson``

    def of(self, text: str) -> str:
        """Return this segment of a text.

        Raises:
            LookupError: the text has a different number of think tags.
        """
        if self.segments == WHOLE:
            return text
        found = THINK.split(text)
        if len(found) != 2 * self.segments - 1:
            raise LookupError
        return found[2 * self.segment]


class Mark(NamedTuple):
    """A mark that was found in rendered text."""

    position: int  # in the text without marks
    origin: int  # index into ``Rendering.origins``, or GENERATION
    opens: bool


class Rendering(NamedTuple):
    """A rendered conversation, and the positions of the record's texts in it."""

    text: str  # without marks
    marks: Sequence[Mark]
    origins: Sequence[Origin]

    def text_marks(self) -> Iterator[tuple[Mark, Origin]]:
        """Yield the marks of the record's texts, without those of ``{% generation %}``."""
        for mark in self.marks:
            if mark.origin != GENERATION:
                yield mark, self.origins[mark.origin]

    def positions(self, message: int) -> list[int]:
        """Return where the texts of a message begin and end."""
        prefix = ("messages", message)
        return [mark.position for mark, origin in self.text_marks() if origin.path[:2] == prefix]

    def other_positions(self, message: int) -> list[int]:
        """Return where the texts of all other messages and of the tools begin and end."""
        prefix = ("messages", message)
        return [mark.position for mark, origin in self.text_marks() if origin.path[:2] != prefix]

    def tail(self, message: int) -> str:
        """Return the text between a message's last text and the next text of another message."""
        last = max(self.positions(message), default=len(self.text))
        later = (p for p in self.other_positions(message) if p >= last)
        return self.text[last : min(later, default=len(self.text))]

    def is_followed(self, message: int) -> bool:
        """Return whether texts of other messages come after this message's texts."""
        last = max(self.positions(message), default=len(self.text))
        return any(position >= last for position in self.other_positions(message))


class TracedDict(dict[str, Any]):
    """A marked copy of an object; ``Tracer.dump`` writes the original, with marks around it."""

    origin: int
    original: Any


class TracedList(list[Any]):
    """A marked copy of a list; ``Tracer.dump`` writes the original, with marks around it."""

    origin: int
    original: Any


class OpaqueDict(TracedDict):
    """An object of a neutral chat that stands for any object that is not empty."""


class OpaqueList(TracedList):
    """A list of a neutral chat that stands for any list that is not empty."""


class Tracer:
    """Puts marks around texts, and finds them again. It is used for a single rendering.

    Args:
        key: a text that the record does not contain; see ``tracing_key``.
        wanted: which texts to mark, by their paths.
    """

    def __init__(self, key: str, wanted: Callable[[Path], bool] = lambda path: True) -> None:
        self._wanted = wanted
        self._key = key
        self._pattern = re.compile(rf"{self._key}(-?\d+)([oc])z")
        self._marked_texts: dict[str, tuple[Path, str]] = {}  # marked text -> path and text
        self.origins: list[Origin] = []
        self.texts_without_marks: list[str] = []
        self.json_options: dict[int, dict[str, Any]] = {}  # origin -> options of ``tojson``

    def marked(self, value: Any, path: Path) -> Any:
        """Return a copy of a value of the record, with marks around the texts in it."""
        if isinstance(value, str):
            return self._marked_text(value, path)
        if isinstance(value, OpaqueDict):
            return self._traced(OpaqueDict(value), value, path)
        if isinstance(value, OpaqueList):
            return self._traced(OpaqueList(value), value, path)
        if isinstance(value, dict):
            entries = TracedDict()
            for key, entry in value.items():
                entries[key] = self.marked(entry, (*path, key))
            return self._traced(entries, value, path)
        if isinstance(value, list):
            items = [self.marked(item, (*path, i)) for i, item in enumerate(value)]
            return self._traced(TracedList(items), value, path)
        return value

    def dump(self, value: Any, **options: Any) -> str:
        """Return JSON, with marks around it if the value is an object, list or text of the record.

        Args:
            value: what the template passes to ``tojson``.
            options: as for ``json.dumps``.
        """
        if isinstance(value, TracedDict | TracedList):
            origin, original = value.origin, value.original
        elif isinstance(value, str) and value in self._marked_texts:
            path, original = self._marked_texts[value]
            origin = self._add(Origin(path, as_json=True))
        else:
            return json.dumps(value, **options)
        opening, closing = self.marks(origin)
        self.json_options[origin] = options
        return f"{opening}{json.dumps(original, **options)}{closing}"

    def unmarked(self, rendered: str) -> Rendering:
        """Take the marks out of rendered text."""
        marks: list[Mark] = []
        texts: list[str] = []
        length = position = 0
        for match in self._pattern.finditer(rendered):
            texts.append(rendered[position : match.start()])
            length += match.start() - position
            position = match.end()
            marks.append(Mark(length, int(match[1]), match[2] == "o"))
        return Rendering("".join([*texts, rendered[position:]]), marks, self.origins)

    def marks(self, origin: int) -> tuple[str, str]:
        """Return the opening and the closing mark of an origin."""
        return f"{self._key}{origin}oz", f"{self._key}{origin}cz"

    def _traced(
        self, value: TracedDict | TracedList, original: Any, path: Path
    ) -> TracedDict | TracedList:
        value.origin = self._add(Origin(path, as_json=True))
        value.original = original
        return value

    def _add(self, origin: Origin) -> int:
        """Add an origin; return its index."""
        self.origins.append(origin)
        return len(self.origins) - 1

    def _marked_text(self, text: str, path: Path) -> str:
        if not text.strip():
            return text  # templates test if a text is empty, and a marked text never is
        if path[-1] == "role":
            return text  # templates compare roles, and a role can only be one of a few words
        if path[-1] == "type" or not self._wanted(path):
            self.texts_without_marks.append(text)
            return text
        segments = THINK.split(text)  # at odd indexes: the think tags
        count = (len(segments) + 1) // 2
        marked = []
        for index, segment in enumerate(segments):
            if index % 2 or (index and not segment.strip()):
                marked.append(segment)
            else:
                origin = self._add(Origin(path, index // 2, count))
                marked.append(self._with_marks(segment, origin))
        self._marked_texts["".join(marked)] = (path, text)
        return "".join(marked)

    def _with_marks(self, text: str, origin: int) -> str:
        lead, core, tail = trimmed(text)
        opening, closing = self.marks(origin)
        if not core:  # white space before a think tag
            return f"{text}{opening}{closing}"
        return f"{lead}{opening}{core}{closing}{tail}"


def tracing_key(messages: list[Any], tools: list[Any] | None) -> str:
    """Return a key for tracing marks that does not occur in these messages and tools.

    The key is their hash: a record cannot contain its own hash, and the same record always gets
    the same marks.
    """
    record = repr((messages, tools)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(record, digest_size=8).hexdigest()


def trimmed(text: str) -> tuple[str, str, str]:
    r"""Divide a text: leading white space, the text in between, trailing white space.

    >>> trimmed(" a b\n")
    (' ', 'a b', '\n')
    """
    core = text.strip()
    if len(core) == len(text):
        return "", text, ""
    lead = text[: len(text) - len(text.lstrip())] if core else ""
    return lead, core, text[len(lead) + len(core) :]


def value_at(record: dict[str, Any], path: Path) -> Any:
    """Return the value in a record to which a path leads.

    Raises:
        LookupError, TypeError: the record has another structure.
    """
    value: Any = record
    for key in path:
        value = value[key]
    return value


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a value of a record, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from texts_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts_of(entry)


def keys_of(value: Any) -> Iterator[str]:
    """Yield every key in an object or list of a record."""
    if isinstance(value, dict):
        yield from value
    for entry in value.values() if isinstance(value, dict) else value:
        if isinstance(entry, dict | list):
            yield from keys_of(entry)
