"""Texts that remember, character by character, where they come from.

In     the texts of a record, and the text of a chat template.
Out    ``TracedText``: a ``str`` with the same characters and the same behaviour for a template. It
       also has *runs*, which say for each stretch of characters whether the template wrote it or
       from which text of the record it was copied.
Keeps  the provenance through all operations of templates: concatenation, slices, splits, trims,
       replacement, joins, formats. What is computed from a text of the record in another way
       (``upper``, for example) counts as *derived* from it. It is never taken for template text.
       The digits of a number of the record count as derived from the number.
"""

import operator
import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Sequence, ValuesView
from typing import Any, NamedTuple, SupportsIndex, cast

from sftprep.templates.jinja.traced_number import is_traced_number, path_of

Path = tuple[str | int, ...]
"""The keys and indexes that lead from the record to a value: ("messages", 0, "content")."""

SLOT = "\U0010fffe"
"""A character that stands for a traced text while ``str.format`` and ``%`` run."""


class Origin:
    """A text of the record, or the JSON text of one of its values. It is compared by identity.

    Attributes:
        path: leads from the record to the value.
        length: the number of characters of the text.
        options: of ``json.dumps``, if the template wrote the value as JSON; None for a plain text.
        is_text: whether the value is a text.
    """

    __slots__ = ("is_text", "length", "options", "path")

    def __init__(
        self,
        path: Path,
        length: int,
        options: dict[str, Any] | None = None,
        *,
        is_text: bool = True,
    ) -> None:
        self.path = path
        self.length = length
        self.options = options
        self.is_text = is_text


class Run(NamedTuple):
    """Consecutive characters with one provenance."""

    length: int
    origin: Origin | None  # None: the template's own text
    start: int  # where the characters stand in the text of ``origin``; DERIVED: nowhere


DERIVED = -1
"""The start of a run that was computed from the text of its origin, and not copied."""


class TracedText(str):
    """A text with its runs. The lengths of the runs add up to that of the text.

    A run may be empty: it says where the template wrote an empty text.
    """

    __slots__ = ("runs",)
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, text: str, runs: Iterable[Run]) -> "TracedText":
        """Build from characters and runs."""
        traced = cls(text)
        traced.runs = tuple(runs)
        return traced

    def __str__(self) -> "TracedText":
        return self

    def __add__(self, other: str) -> "TracedText":
        if not isinstance(other, str):
            return NotImplemented
        return traced_concat((self, other))

    def __radd__(self, other: str) -> "TracedText":
        if not isinstance(other, str):
            return NotImplemented
        return traced_concat((other, self))

    def __mul__(self, times: SupportsIndex) -> "TracedText":
        return traced_concat([self] * operator.index(times))

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> str:
        return formatted(lambda values: str.__mod__(self, values), self, values)

    def __rmod__(self, form: str) -> str:
        return formatted(lambda values: str.__mod__(form, values), form, self)

    def __getitem__(self, index: SupportsIndex | slice) -> "TracedText":
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self.part(start, max(start, stop))
            return traced_concat([self.part(i, i + 1) for i in range(start, stop, step)])
        position = operator.index(index)
        text = str.__getitem__(self, position)
        position += len(self) if position < 0 else 0
        return self.part(position, position + len(text))

    def __iter__(self) -> Iterator["TracedText"]:
        return (self.part(i, i + 1) for i in range(len(self)))

    def part(self, start: int, stop: int) -> "TracedText":
        """Return the characters from ``start`` to ``stop``; an empty part keeps one run."""
        runs: list[Run] = []
        position = 0
        for run in self.runs:
            end = position + run.length
            first, last = max(start, position), min(stop, end)
            if first < last or (not run.length and start <= position <= stop):
                copied = run.start if run.start == DERIVED else run.start + first - position
                runs.append(Run(last - first, run.origin, copied))
            position = end
            if position > stop:
                break
        text = str.__getitem__(self, slice(start, stop))
        return TracedText.of(text, runs or self._empty_run(start))

    def _empty_run(self, place: int) -> list[Run]:
        """Return an empty run of the record's text nearest to a place; none if there is no text."""
        found: list[Run] = []
        position = 0
        for run in self.runs:
            if run.origin and run.origin.path:
                inside = min(max(place - position, 0), run.length)
                copied = run.start if run.start == DERIVED else run.start + inside
                found = [Run(0, run.origin, copied)]
            position += run.length
            if found and position >= place:
                break
        return found

    def derived(self, text: str) -> "TracedText":
        """Return a text that was computed from this one."""
        return derived(text, self)

    def lstrip(self, chars: str | None = None) -> "TracedText":
        """As for ``str``."""
        return self.part(len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None) -> "TracedText":
        """As for ``str``."""
        return self.part(0, len(str.rstrip(self, chars)))

    def strip(self, chars: str | None = None) -> "TracedText":
        """As for ``str``."""
        return self.rstrip(chars).lstrip(chars)

    def removeprefix(self, prefix: str) -> "TracedText":
        """As for ``str``."""
        return self.part(len(prefix), len(self)) if self.startswith(prefix) else self

    def removesuffix(self, suffix: str) -> "TracedText":
        """As for ``str``."""
        if suffix and self.endswith(suffix):
            return self.part(0, len(self) - len(suffix))
        return self

    def _divided(self, pieces: Iterable[str], between: int | None) -> list[Any]:
        """Return the parts of this text that hold these pieces of it.

        Args:
            pieces: the pieces in order.
            between: how many characters stand between two pieces; None: any white space.
        """
        parts = []
        position = 0
        for piece in pieces:
            if between is None:
                position = str.find(self, piece, position)
            parts.append(self.part(position, position + len(piece)))
            position += len(piece) + (between or 0)
        return parts

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[Any]:
        """As for ``str``."""
        return self._divided(str.split(self, sep, maxsplit), None if sep is None else len(sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[Any]:
        """As for ``str``."""
        return self._divided(str.rsplit(self, sep, maxsplit), None if sep is None else len(sep))

    def splitlines(self, keepends: bool = False) -> list[Any]:
        """As for ``str``."""
        lines = self._divided(str.splitlines(self, True), 0)
        if keepends:
            return lines
        texts = str.splitlines(self)
        return [line.part(0, len(text)) for line, text in zip(lines, texts, strict=True)]

    def partition(self, sep: str) -> tuple[Any, Any, Any]:
        """As for ``str``."""
        return cast(tuple[Any, Any, Any], tuple(self._divided(str.partition(self, sep), 0)))

    def rpartition(self, sep: str) -> tuple[Any, Any, Any]:
        """As for ``str``."""
        return cast(tuple[Any, Any, Any], tuple(self._divided(str.rpartition(self, sep), 0)))

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> "TracedText":
        """As for ``str``."""
        str.replace(self, old, new, 0)  # raises TypeError for what is no text
        most = operator.index(count)
        places = [match.start() for match in re.finditer(re.escape(old), self)]
        if most >= 0:
            places = places[:most]
        if not places:
            return self
        ends = [0, *(place + len(old) for place in places)]
        parts: list[str] = []
        for end, place in zip(ends, [*places, len(self)], strict=True):
            parts += [new, self.part(end, place)] if parts else [self.part(end, place)]
        return traced_concat(parts)

    def join(self, items: Iterable[str]) -> "TracedText":
        """As for ``str``."""
        parts: list[str] = []
        for item in items:
            if not isinstance(item, str):
                raise TypeError(f"expected str instance, {type(item).__name__} found")
            parts += [self, item] if parts else [item]
        return traced_concat(parts)

    def lower(self) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.lower(self))

    def upper(self) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.upper(self))

    def title(self) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.title(self))

    def capitalize(self) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.capitalize(self))

    def swapcase(self) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.swapcase(self))

    def casefold(self) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.casefold(self))

    def expandtabs(self, tabsize: SupportsIndex = 8) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.expandtabs(self, tabsize))

    def zfill(self, width: SupportsIndex) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.zfill(self, width))

    def translate(self, table: Any) -> "TracedText":
        """As for ``str``."""
        return self.derived(str.translate(self, table))

    def center(self, width: SupportsIndex, fillchar: str = " ") -> "TracedText":
        """As for ``str``."""
        added = len(str.center(self, width, fillchar)) - len(self)
        left = added // 2 + (added & width.__index__() & 1)
        return traced_concat((fillchar * left, self, fillchar * (added - left)))

    def ljust(self, width: SupportsIndex, fillchar: str = " ") -> "TracedText":
        """As for ``str``."""
        return traced_concat((self, fillchar * (len(str.ljust(self, width, fillchar)) - len(self))))

    def rjust(self, width: SupportsIndex, fillchar: str = " ") -> "TracedText":
        """As for ``str``."""
        return traced_concat((fillchar * (len(str.rjust(self, width, fillchar)) - len(self)), self))


def is_traced(value: Any) -> bool:
    """Tell whether a value is a text with provenance."""
    return isinstance(value, TracedText)


def runs_of(text: str) -> tuple[Run, ...]:
    """Return the runs of a text. A text without provenance is the template's own."""
    return text.runs if isinstance(text, TracedText) else (Run(len(text), None, 0),)


def concat(parts: Iterable[str]) -> str:
    """Return texts joined: a plain ``str`` if none of them is traced."""
    texts = list(parts)
    return traced_concat(texts) if any(map(is_traced, texts)) else "".join(texts)


def traced_concat(parts: Sequence[str]) -> TracedText:
    """Return texts joined, as a traced text."""
    runs: list[Run] = []
    for part in parts:
        for run in runs_of(part):
            if runs and _continues(runs[-1], run):
                runs[-1] = Run(runs[-1].length + run.length, run.origin, runs[-1].start)
            elif run.length or run.origin is not None:
                runs.append(run)
    return TracedText.of("".join(parts), runs)


def derived(text: str, *sources: str) -> TracedText:
    """Return a text that was computed from texts, of which at least one is traced.

    All characters count as computed from the first text of the record among the sources. The others
    get an empty run in front of them.
    """
    origins = {
        id(origin): origin
        for source in sources
        for _, origin, _ in runs_of(source)
        if origin is not None and origin.path
    }
    if not origins:
        return TracedText.of(text, [Run(len(text), None, 0)])
    first, *others = origins.values()
    runs = [Run(0, other, DERIVED) for other in others if text]
    return TracedText.of(text, [*runs, Run(len(text), first, DERIVED if text else 0)])


def formatted(make: Callable[[Any], str], form: str, values: Any) -> str:
    """Format, and find the traced texts in the result.

    Args:
        make: formats values that it is given in place of ``values``.
        form: the format string.
        values: what is formatted: a text, or a tuple, list or dict of values.
    """
    texts = list(traced_in((form, values)))
    has_numbers = next(numbers_in(values), None) is not None
    true = make(values)
    if not texts and not has_numbers:
        return true
    true = str.__str__(true)
    slots: list[TracedText] = []

    def slotted(value: Any, *, numbers: bool) -> Any:
        if numbers and is_traced_number(value):
            value = number_text(value)
        if isinstance(value, TracedText):
            slots.append(value)
            return f"{SLOT}{len(slots) - 1}{SLOT}"
        if isinstance(value, tuple):
            return tuple([slotted(entry, numbers=numbers) for entry in value])
        if type(value) is list:
            return [slotted(entry, numbers=numbers) for entry in value]
        if type(value) is dict:
            return {key: slotted(entry, numbers=numbers) for key, entry in value.items()}
        return value

    may_slot = SLOT not in true and not is_traced(form) and not _has_other_texts(values)
    for numbers in (has_numbers, False) if may_slot else ():
        slots.clear()
        try:
            with_slots = make(slotted(values, numbers=numbers))
        except (TypeError, ValueError, LookupError):
            continue  # the form looks into what it is given, as ``%c``, ``%d`` and ``{0[5]}`` do
        pieces = re.split(rf"{SLOT}(\d+){SLOT}", with_slots)
        parts: list[str] = [
            slots[int(piece)] if index % 2 else piece for index, piece in enumerate(pieces)
        ]
        if "".join(parts) == true:
            return traced_concat(parts)
    return derived(true, *texts) if texts else true


def traced_in(value: Any) -> Iterator[TracedText]:
    """Yield the traced texts in a value, keys included."""
    if isinstance(value, TracedText):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from traced_in(key)
            yield from traced_in(entry)
    elif isinstance(value, list | tuple | KeysView | ValuesView | ItemsView):
        for entry in value:
            yield from traced_in(entry)


def numbers_in(value: Any) -> Iterator[Any]:
    """Yield the traced numbers in a value."""
    if is_traced_number(value):
        yield value
    elif isinstance(value, dict):
        yield from numbers_in(tuple(value.values()))
    elif isinstance(value, list | tuple | KeysView | ValuesView | ItemsView):
        for entry in value:
            yield from numbers_in(entry)


def number_text(number: Any) -> TracedText:
    """Return the text of a traced number, as Python writes it."""
    text = str(number)
    return TracedText.of(text, [Run(len(text), Origin(path_of(number), len(text)), DERIVED)])


def sources_in(value: Any) -> list[TracedText]:
    """Return the traced texts in a value, and the texts of the traced numbers in it."""
    return [*traced_in(value), *map(number_text, numbers_in(value))]


def _has_other_texts(value: Any) -> bool:
    """Tell whether a value holds traced texts that ``formatted`` cannot put slots in place of."""
    if isinstance(value, tuple) or type(value) is list:
        return any(map(_has_other_texts, value))
    if type(value) is dict:
        return any(map(is_traced, value)) or any(map(_has_other_texts, value.values()))
    return not is_traced(value) and next(traced_in(value), None) is not None


def whole(text: TracedText) -> Origin | None:
    """Return the origin of a text that is exactly one text of the record; None for others."""
    runs = [run for run in text.runs if run.length] or [run for run in text.runs if run.origin]
    origin = runs[0].origin if len(runs) == 1 and not runs[0].start else None
    if origin is None or not origin.path:
        return None
    return origin if runs[0].length == origin.length else None


def _continues(last: Run, run: Run) -> bool:
    """Tell whether a run goes on where another one ends."""
    if last.origin is not run.origin:
        return False
    if run.origin is None or not run.length:
        return True
    if DERIVED in (last.start, run.start):
        return last.start == run.start
    return last.start + last.length == run.start
