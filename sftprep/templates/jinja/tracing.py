"""Give a template a record whose texts remember their place, and see what becomes of them.

In     the messages, tools and template arguments of a record.
Out    ``Tracer``: a copy of the record in which each text is a ``TracedText`` and each number and
       boolean a ``TracedNumber``, and the JSON of its values. ``Rendering``: the rendered text, and
       for each stretch of it where it comes from.
Keeps  the value of every text: a template sees no difference between the copy and the record.
       Roles are not traced: a role can only be one of a few words, of which templates make tokens.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sftprep.errors import RecordError
from sftprep.templates.jinja.neutral import HIDDEN, PRIVATE, OpaqueDict, OpaqueList
from sftprep.templates.jinja.prefixes import Prefixes
from sftprep.templates.jinja.traced_number import (
    is_traced_number,
    path_of,
    traced_number,
    untraced,
)
from sftprep.templates.jinja.traced_text import (
    DERIVED,
    Origin,
    Path,
    Run,
    TracedText,
    concat,
    derived,
    number_text,
    runs_of,
    sources_in,
    whole,
)

OPEN, CLOSE = Origin((), 0), Origin((), 0)
"""The origins of the empty runs at the template's own ``{% generation %}`` markers."""


class Placed(NamedTuple):
    """A stretch of rendered text that comes from the record."""

    start: int
    end: int
    origin: Origin
    offset: int  # where it stands in the text of its origin, or DERIVED

    @property
    def message(self) -> int | None:
        """The index of the message that the text belongs to; None if there is no such message."""
        path = self.origin.path
        return int(path[1]) if path[0] == "messages" and len(path) > 1 else None


class Turn(NamedTuple):
    """Where a message stands in rendered text."""

    begin: int  # where the template begins to write the message; ``start`` if that is unknown
    start: int  # where the first of its texts starts
    end: int  # where the last of its texts ends
    finish: int  # where the template has written the message; ``end`` if that is unknown


class Rendering:
    """A rendered conversation.

    Args:
        text: the rendered text.
        writers: the lengths of the stretches that were written one after another, and the message
            that the template's loop was at for each.

    Attributes:
        text: the rendered text, without provenance.
        contents: the stretches that come from the record, in order.
        generations: where the bodies of ``{% generation %}`` markers start and end.

    Raises:
        RecordError ``span_not_derivable``: the template cuts such a body, or has one in another.
    """

    def __init__(self, text: str, writers: Sequence[tuple[int, int | None]]) -> None:
        self.text = str.__str__(text)
        self.contents: list[Placed] = []
        self.generations: list[tuple[int, int]] = []
        opened = []
        position = 0
        for run in runs_of(text):
            if run.origin is OPEN:
                opened.append(position)
            elif run.origin is CLOSE:
                if not opened:
                    raise _cut_markers()
                self.generations.append((opened.pop(), position))
            elif run.origin is not None:
                end = position + run.length
                self.contents.append(Placed(position, end, run.origin, run.start))
            position += run.length
        if opened:
            raise _cut_markers()
        self.generations.sort()
        # An empty text tells where a message stands if it has no other text, and else nothing.
        with_text = {c.message for c in self.contents if c.end > c.start}
        self.contents = [
            c
            for c in self.contents
            if c.end > c.start or c.offset == DERIVED or c.message not in with_text
        ]
        self._starts = [content.start for content in self.contents]
        self._own: dict[int, list[Placed]] = {}  # message -> its contents
        for content in self.contents:
            if content.message is not None:
                self._own.setdefault(content.message, []).append(content)
        self._ranges = _ranges(writers)  # message -> where the template's loop wrote it
        self._writers: list[tuple[int, int, int]] = []  # these ranges in order, once asked for
        self._turns: dict[int, Turn | None] = {}

    def turn(self, message: int) -> Turn | None:
        """Return where a message stands; None if the template writes none of its texts.

        A template may write a text of a message again elsewhere, such as the name of a called
        function before its result. Only what the template writes while it is at the message counts,
        if its loop tells.
        """
        if message not in self._turns:
            self._turns[message] = self._turn(message)
        return self._turns[message]

    def _turn(self, message: int) -> Turn | None:
        own = self._own.get(message, [])
        for begin, finish in self._ranges.get(message, ()):
            inside = [c for c in own if begin <= c.start and c.end <= finish]
            if inside:
                start = inside[0].start
                return Turn(begin, start, self._end_of(message, start, inside), finish)
        if not own:
            return None
        start = own[0].start
        end = self._end_of(message, start, own)
        return Turn(start, start, end, end)

    def _end_of(self, message: int, start: int, own: Sequence[Placed]) -> int:
        """Return where a message's texts end that stand before any text of a later message.

        A template may write a call's result, with the name of the function, within the call's turn.

        Args:
            message: the index of the message.
            start: where its first text starts.
            own: its texts.
        """
        later = next(
            (
                content.start
                for content in self.contents[bisect_left(self._starts, start) :]
                if (content.message or 0) > message and content.end > content.start
            ),
            len(self.text),
        )
        return max((content.end for content in own if content.end <= later), default=start)

    def holds_later(self, message: int) -> bool:
        """Tell whether the template writes a text of a later message while it is at a message."""
        turn = self.turn(message)
        if turn is None:
            return False
        first, last = (bisect_left(self._starts, place) for place in (turn.start, turn.finish))
        return any((c.message or 0) > message for c in self.contents[first:last])

    def count(self, message: int) -> int:
        """Return how many texts of a message stand in its turn."""
        turn = self.turn(message)
        own = self._own.get(message, ())
        return 0 if turn is None else sum(turn.start <= c.start <= turn.end for c in own)

    def end_turn(self, message: int, count: int) -> None:
        """Let the turn of a message end after so many of its texts."""
        turn = self.turn(message)
        if turn is not None and count:
            own = [c for c in self._own[message] if c.start >= turn.start][:count]
            self._turns[message] = turn._replace(end=max(c.end for c in own))

    def loop_borders(self) -> list[int]:
        """Return where the template's loop came to a message, or left one."""
        return sorted(
            {place for ranges in self._ranges.values() for ends in ranges for place in ends}
        )

    def message_at(self, position: int) -> int | None:
        """Return the message that the template was writing; None if it was writing none.

        That is the message that its loop was at. If its loop never tells, it is the message between
        whose texts the position is.
        """
        if self._ranges:
            return self.written_at(position)
        message = self.message_before(position)
        turn = None if message is None else self.turn(message)
        return message if turn is not None and turn.start <= position < turn.end else None

    def written_at(self, position: int) -> int | None:
        """Return the message that the template's loop was at; None if it was at none."""
        if not self._writers:
            self._writers = sorted((*r, m) for m, ranges in self._ranges.items() for r in ranges)
        index = bisect_right(self._writers, (position, len(self.text) + 1, -1)) - 1
        begin, finish, message = self._writers[index] if index >= 0 else (0, 0, -1)
        return message if begin <= position < finish else None

    def message_before(self, position: int) -> int | None:
        """Return the message of the last text before a place; None if it belongs to none."""
        index = bisect_right(self._starts, position) - 1
        while index >= 0 and self.contents[index].end > position:
            index -= 1
        return self.contents[index].message if index >= 0 else None

    def has_loop(self, message: int) -> bool:
        """Tell whether the template's loop tells where it writes a message."""
        turn = self.turn(message)
        return turn is not None and (turn.begin, turn.finish) in self._ranges.get(message, ())

    def is_mixed(self, turn: Turn, message: int) -> bool:
        """Tell whether a text of another message, or of the tools, stands in a message's turn."""
        first = bisect_left(self._starts, turn.start)
        last = bisect_left(self._starts, turn.end)
        inside = self.contents[first:last]
        return any(
            c.message != message and (c.end > c.start or c.offset == DERIVED) for c in inside
        )

    def within(self, start: int, end: int) -> list[Placed]:
        """Return the stretches of the record's text that lie between two places, or overlap them.

        An empty stretch counts if it is at one of the places.
        """
        first = bisect_left(self._starts, start)
        while first and self.contents[first - 1].end > start:
            first -= 1
        return self.contents[first : bisect_right(self._starts, end - 1)]

    def previous_end(self, turn: Turn) -> int:
        """Return where the last text of the record before a turn ends; 0 if there is none."""
        index = bisect_left(self._starts, turn.start) - 1
        while index >= 0 and self.contents[index].start == self.contents[index].end:
            index -= 1
        return self.contents[index].end if index >= 0 else 0

    def next_content(self, turn: Turn) -> int | None:
        """Return where the next text of the record starts after a turn's last text."""
        index = bisect_left(self._starts, turn.end)
        while index < len(self.contents) and self.contents[index].end <= turn.end:
            index += 1
        return self.contents[index].start if index < len(self.contents) else None

    def tail(self, turn: Turn) -> str:
        """Return the text between a turn's last text and the next text of the record."""
        end = self.next_content(turn)
        return self.text[turn.end : len(self.text) if end is None else end]

    def positions(self, message: int) -> list[int]:
        """Return where the texts of a message begin and end."""
        return [p for c in self._own.get(message, ()) for p in (c.start, c.end)]


def _cut_markers() -> RecordError:
    return RecordError(
        "span_not_derivable",
        "it is not certain what the chat template trains: it cuts the text between "
        "{% generation %} and {% endgeneration %}, or has such a block in another",
        "Correct the template",
    )


def _ranges(writers: Sequence[tuple[int, int | None]]) -> dict[int, list[tuple[int, int]]]:
    """Return for each message the ranges that the template wrote while its loop was at it."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    position = 0
    for message, group in groupby(writers, key=lambda writer: writer[1]):
        end = position + sum(length for length, _ in group)
        if message is not None and end > position:
            ranges.setdefault(message, []).append((position, end))
        position = end
    return ranges


class Tracer:
    """Makes the traced copy of one record. It is used for a single rendering.

    Args:
        neutral: whether the record is a neutral chat (see ``neutral``). Then JSON is hidden.
        wanted, count, is_on: as for ``Prefixes``.
    """

    def __init__(
        self,
        *,
        neutral: bool = False,
        wanted: tuple[int, ...] = (),
        count: int = 0,
        is_on: bool = False,
    ) -> None:
        self._neutral = neutral
        self._paths: dict[int, tuple[Path, Any, Any]] = {}  # id of a copy -> path, original, copy
        self._loops: list[int | None] = []
        self.at: int | None = None  # the message that the template's loop is at
        self.prefixes = Prefixes(self._paths, wanted, count, is_on=is_on)
        self.as_python: list[Path] = []  # objects and lists that were written as Python writes them
        self.nones = 0  # how often None was written
        self.encoded: list[TracedText] = []  # the texts that were turned into bytes

    def traced(self, value: Any, path: Path) -> Any:
        """Return the traced copy of a value of the record.

        Args:
            value: a value as it comes from JSON.
            path: leads from the record to the value.
        """
        if isinstance(value, str):
            if path[-1] == "role" and len(path) == 3 and path[0] == "messages":
                return value
            return TracedText.of(value, [Run(len(value), Origin(path, len(value)), 0)])
        copy: Any
        if isinstance(value, OpaqueDict | OpaqueList):
            copy = type(value)(value)
        elif isinstance(value, dict):
            copy = {
                self._key(key, path): self.traced(entry, (*path, key))
                for key, entry in value.items()
            }
        elif isinstance(value, list):
            copy = [self.traced(item, (*path, i)) for i, item in enumerate(value)]
        else:
            return traced_number(value, path) if isinstance(value, int | float) else value
        self._paths[id(copy)] = (path, value, copy)
        if path == ("messages",):
            self.prefixes.add_messages(copy)
        return copy

    def _key(self, key: str, path: Path) -> str:
        if len(path) == 2 and path[0] == "messages":
            return key  # of a message: templates only look these up
        return TracedText.of(key, [Run(len(key), Origin((*path, key), len(key)), 0)])

    def dump(self, value: Any, **options: Any) -> str:
        """Return the JSON of a value; the template's ``tojson`` calls this.

        Args:
            value: what the template passes to ``tojson``.
            options: as for ``json.dumps``.
        """
        self.note_none(value)
        origin = self._origin(value)
        if origin is not None:
            path, original = origin
            text = json.dumps(original, **options)
            if self._neutral and PRIVATE.search(repr(original)):
                text = HIDDEN
            json_text = Origin(path, len(text), options, is_text=isinstance(original, str))
            return TracedText.of(text, [Run(len(text), json_text, 0)])
        sources = sources_in(value) if isinstance(value, str | dict | list | tuple) else []
        if not sources:
            return json.dumps(value, **options)
        plain = options.get("indent") is None and not isinstance(value, str)
        if plain and all(isinstance(key, str) for key in _keys(value)):
            return concat(self._json(value, options))
        return derived(json.dumps(untraced(value), **options), *sources)

    def holds(self, value: Any) -> bool:
        """Tell whether a value is one whole value of the record."""
        return self._origin(value) is not None

    def _origin(self, value: Any) -> tuple[Path, Any] | None:
        """Return the path and the value of what is one whole value of the record."""
        if isinstance(value, TracedText):
            origin = whole(value)
            if origin is None or origin.options is not None:
                return None
            return origin.path, str.__str__(value)
        if is_traced_number(value):
            return path_of(value), untraced(value)
        found = self._paths.get(id(value))
        return None if found is None else (found[0], found[1])

    def _json(self, value: Any, options: Mapping[str, Any]) -> Iterator[str]:
        """Yield the JSON of an object or list that the template made of values of the record."""
        between, after_key = options.get("separators") or (", ", ": ")
        if isinstance(value, dict):
            items = sorted(value.items()) if options.get("sort_keys") else list(value.items())
            entries = [(self.dump(key, **options), after_key, entry) for key, entry in items]
        else:
            entries = [("", "", entry) for entry in value]
        yield "{" if isinstance(value, dict) else "["
        for index, (key, colon, entry) in enumerate(entries):
            yield between if index else ""
            yield from (key, colon, self.dump(entry, **options))
        yield "}" if isinstance(value, dict) else "]"

    def written(self, value: Any) -> str:
        """Return a value as a template writes it."""
        if isinstance(value, str):
            return value
        if is_traced_number(value):
            return number_text(value)
        self.note_none(value)
        sources = sources_in(value)
        if not sources:
            if id(value) in self._paths:
                self._note_python(self._paths[id(value)][0])
            return str(value)
        if isinstance(value, dict | list | tuple):
            found = self._paths.get(id(value))
            self._note_python(found[0] if found else ())
        return derived(str(value), *sources)

    def note_none(self, value: Any) -> None:
        """Note that the template writes a value, which may be None."""
        self.nones += value is None and self.prefixes.alone is None

    def _note_python(self, path: Path) -> None:
        if self.prefixes.alone is None:
            self.as_python.append(path)

    def begin_loop(self) -> None:
        """Note that a loop begins."""
        self._loops.append(self.at)

    def enter(self, value: Any) -> None:
        """Note the item that a loop is at.

        Args:
            value: the loop's variable, or a tuple of its variables.
        """
        for item in value if isinstance(value, tuple) else (value,):
            path = self._paths[id(item)][0] if id(item) in self._paths else ()
            if path[:1] == ("messages",) and len(path) == 2 and self.prefixes.alone is None:
                self.at = int(path[1])

    def end_loop(self) -> None:
        """Note that a loop has ended."""
        self.at = self._loops.pop()


def value_at(record: Mapping[str, Any], path: Path) -> Any:
    """Return the value in a record to which a path leads.

    Raises:
        LookupError, TypeError: the record has another structure.
    """
    value: Any = record
    for key in path:
        value = value[key]
    return value


def _keys(value: Any) -> Iterator[Any]:
    """Yield all keys in a value."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _keys(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _keys(entry)
