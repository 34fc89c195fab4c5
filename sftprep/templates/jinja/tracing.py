"""Marks around a record's texts, so that they are found again in what a template made of them.

In     a record's messages and tools.
Out    ``marked``: the same structure with each text bracketed by marks, and each object or list in
       it as one that is bracketed when it is dumped as JSON. ``unmark`` takes the marks out of
       rendered text and says where they were.
Keeps  outer white space outside the marks, so that a template that trims does not see them.
Never  uses a mark that data could hold: its key is 64 random bits, new each time. The text that is
       encoded is rendered without marks.

``<think>`` and ``</think>`` in a text are left bare, since templates look for them; what lies
between is marked piece by piece.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""How a text is reached from the record: ("messages", 0, "content")."""

THINK = re.compile(r"(</?think>)")


WHOLE = 0


class Slot(NamedTuple):
    """A text of the record, or a piece of one."""

    path: Path
    piece: int = 0  # of a text that holds think tags; 0 for the whole of others
    pieces: int = 1  # WHOLE: all of it, tags included
    dumped: bool = False  # an object or list, written as JSON

    def of(self, text: str) -> str:
        """The slot's part of a text.

        Raises:
            LookupError: the text has other think tags.
        """
        if self.pieces == WHOLE:
            return text
        parts = THINK.split(text)
        if len(parts) != 2 * self.pieces - 1:
            raise LookupError
        return parts[2 * self.piece]


class Event(NamedTuple):
    """Where a mark stood, in the text without marks."""

    position: int
    slot: int  # number; GENERATION for the template's own markers
    opens: bool


GENERATION = -1


class Dumped(dict[str, Any]):
    """An object that is bracketed when it is dumped."""

    slot: int
    original: Any


class DumpedList(list[Any]):
    """A list that is bracketed when it is dumped."""

    slot: int
    original: Any


class Marks:
    """One way of marking: with a key of its own, for the texts that ``wanted`` names."""

    def __init__(self, wanted: Callable[[Path], bool] = lambda path: True) -> None:
        self._wanted = wanted
        self._key = secrets.token_hex(8)
        self._mark = re.compile(rf"{self._key}(-?\d+)([oc])z")
        self.slots: list[Slot] = []
        self.unmarked: list[str] = []  # texts that were left as they are
        self.dumps: dict[int, dict[str, Any]] = {}  # slot -> how it was dumped
        self._texts: dict[str, tuple[Path, str]] = {}  # a marked text -> where it is from, and it

    def marked(self, value: Any, path: Path) -> Any:
        """A copy of a record's part with marks."""
        if isinstance(value, str):
            return self._marked_text(value, path)
        if isinstance(value, dict):
            made = Dumped()
            for key, entry in value.items():
                made[key] = self.marked(entry, (*path, key))
            return self._container(made, value, path)
        if isinstance(value, list):
            entries = [self.marked(entry, (*path, i)) for i, entry in enumerate(value)]
            return self._container(DumpedList(entries), value, path)
        return value

    def _container(self, made: Any, original: Any, path: Path) -> Any:
        made.slot = self._new(Slot(path, dumped=True))
        made.original = original
        return made

    def _new(self, slot: Slot) -> int:
        self.slots.append(slot)
        return len(self.slots) - 1

    def _marked_text(self, text: str, path: Path) -> str:
        if not text.strip():
            return text  # with marks it would no longer be empty, which templates ask for
        if path[-1] == "role":
            return text  # one of a few words
        if path[-1] == "type" or not self._wanted(path):
            self.unmarked.append(text)
            return text
        parts = THINK.split(text)
        count = (len(parts) + 1) // 2
        marked = []
        for index, part in enumerate(parts):
            bare = index % 2 or (index and not part.strip())
            slot = None if bare else self._new(Slot(path, index // 2, count))
            marked.append(part if slot is None else self._bracketed(part, slot))
        self._texts["".join(marked)] = (path, text)
        return "".join(marked)

    def _bracketed(self, text: str, slot: int) -> str:
        lead, core, tail = trimmed(text)
        left, right = self.brackets(slot)
        if not core:  # white space in front of a think tag
            return f"{text}{left}{right}"
        return f"{lead}{left}{core}{right}{tail}"

    def brackets(self, slot: int) -> tuple[str, str]:
        """The marks of a slot."""
        return f"{self._key}{slot}oz", f"{self._key}{slot}cz"

    def dump(self, value: Any, **options: Any) -> str:
        """``tojson`` that brackets what is a whole object, list or text of the record."""
        if isinstance(value, Dumped | DumpedList):
            slot, original = value.slot, value.original
        elif isinstance(value, str) and value in self._texts:
            path, original = self._texts[value]
            slot = self._new(Slot(path, dumped=True))
        else:
            return json.dumps(value, **options)
        left, right = self.brackets(slot)
        self.dumps[slot] = options
        return f"{left}{json.dumps(original, **options)}{right}"

    def unmark(self, rendered: str) -> tuple[str, list[Event]]:
        """Rendered text without marks, and where they stood."""
        events: list[Event] = []
        parts: list[str] = []
        length = position = 0
        for match in self._mark.finditer(rendered):
            parts.append(rendered[position : match.start()])
            length += match.start() - position
            position = match.end()
            events.append(Event(length, int(match[1]), match[2] == "o"))
        return "".join([*parts, rendered[position:]]), events


def trimmed(text: str) -> tuple[str, str, str]:
    r"""A text in three: outer white space, the rest, outer white space.

    >>> trimmed(" a b\\n")
    (' ', 'a b', '\\n')
    """
    core = text.strip()
    if len(core) == len(text):
        return "", text, ""
    lead = text[: len(text) - len(text.lstrip())] if core else ""
    return lead, core, text[len(lead) + len(core) :]


def text_at(root: dict[str, Any], path: Path) -> Any:
    """What a path leads to.

    Raises:
        LookupError, TypeError: the record has another structure.
    """
    value: Any = root
    for key in path:
        value = value[key]
    return value


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a record's part, keys included."""
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
    """Every key in a record's part."""
    if isinstance(value, dict):
        yield from value
    for entry in value.values() if isinstance(value, dict) else value:
        if isinstance(entry, dict | list):
            yield from keys_of(entry)
