"""Turn a rendered conversation into a skeleton that other records of the same structure can fill.

In     the rendered text, the positions of the record's texts in it, and the spans that are trained.
Out    the text as a sequence of stretches. Each is template text or one content, and none lies
       across the start or end of a span. For each content, an ``Extractor`` that takes it from any
       record of the same structure.
Keeps  every character: filling the stretches with the contents gives the text again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sftprep.data.pieces import LITERAL, Piece
from sftprep.templates.jinja.spans import Span
from sftprep.templates.jinja.tracing import (
    WHOLE,
    Origin,
    Rendering,
    Tracer,
    trimmed,
    value_at,
)


class Extractor(NamedTuple):
    """How one content is taken from a record."""

    origin: Origin
    keep_lead: bool  # whether to keep the leading white space, as the template did
    keep_tail: bool  # the same for the trailing white space
    json_options: Mapping[str, Any] | None  # of ``json.dumps``; None if it is a plain text

    def extract(self, record: dict[str, Any]) -> str:
        """Return the content of this record.

        Raises:
            LookupError, TypeError: the record has another structure.
        """
        value = value_at(record, self.origin.path)
        if self.json_options is not None:
            return json.dumps(value, **self.json_options)
        if not isinstance(value, str):
            raise TypeError
        lead, core, tail = trimmed(self.origin.of(value))
        return f"{lead if self.keep_lead else ''}{core}{tail if self.keep_tail else ''}"


class Skeleton(NamedTuple):
    """A rendered conversation without the record's texts: one shape of the renderer."""

    pieces: tuple[Piece, ...]
    extractors: tuple[Extractor, ...]  # indexed by slot
    parity: bool  # whether the text before each trained span is what inference feeds

    def contents(self, record: dict[str, Any]) -> tuple[str, ...]:
        """Take all contents from a record.

        Raises:
            LookupError, TypeError: the record has another structure.
        """
        return tuple([extractor.extract(record) for extractor in self.extractors])


class Stretch(NamedTuple):
    """Consecutive characters of the rendered text: template text, or one content."""

    start: int
    end: int
    slot: int  # LITERAL, or the index of an extractor


def stretches_of(
    record: dict[str, Any], rendering: Rendering, tracer: Tracer, spans: list[Span]
) -> tuple[list[Stretch], tuple[Extractor, ...]]:
    """Return the text's stretches, and the extractors of its contents.

    Args:
        record: the messages and tools that were rendered.
        rendering: the rendered conversation.
        tracer: the tracer that marked it.
        spans: what is trained.
    """
    borders = sorted({p for span in spans for p in (span.start, span.end)})
    extractors: list[Extractor] = []
    contents: list[Stretch] = []
    start = 0
    for mark, origin in rendering.text_marks():
        if mark.opens:
            start = mark.position
            continue
        content = Stretch(start, mark.position, len(extractors))
        if origin.as_json:
            extractor = Extractor(origin, False, False, tracer.json_options[mark.origin])
        else:
            is_first_segment = origin.segment == 0 and origin.segments > 1
            if not is_first_segment and contents and start < contents[-1].end:
                continue  # a segment of a text that was already taken as a whole
            original = value_at(record, origin.path)
            free_from = max([c.end for c in contents], default=0)
            content, extractor = _text_content(
                original, origin, rendering.text, content, free_from, borders
            )
        contents.append(content)
        extractors.append(extractor)
    return _with_literals(contents, borders, len(rendering.text)), tuple(extractors)


def _text_content(
    original: str,
    origin: Origin,
    text: str,
    content: Stretch,
    free_from: int,
    borders: Sequence[int],
) -> tuple[Stretch, Extractor]:
    """Extend a content's stretch to everything that the template wrote of the record's text.

    Args:
        original: the record's whole text.
        origin: which segment of that text was found here.
        text: the rendered text.
        content: the stretch between the marks.
        free_from: where the previous content ends; the stretch must not start before it.
        borders: the stretch must not be extended across these positions.
    """
    start, end = content.start, content.end
    if origin.segment == 0 and origin.segments > 1:
        _, core, _ = trimmed(original)
        if text.startswith(core, start):
            # The template wrote the text unchanged, so the think tags are part of the content.
            # Otherwise, the template took the text apart and wrote the tags itself.
            origin, end = Origin(origin.path, segments=WHOLE), start + len(core)
    lead, _, tail = trimmed(origin.of(original))
    lowest = max([free_from, *(b for b in borders if b <= start)])
    highest = min([b for b in borders if b >= end], default=len(text))
    if not (start - len(lead) >= lowest and text[:start].endswith(lead)):
        lead = ""
    if not (end + len(tail) <= highest and text.startswith(tail, end)):
        tail = ""
    extractor = Extractor(origin, bool(lead), bool(tail), None)
    return Stretch(start - len(lead), end + len(tail), content.slot), extractor


def _with_literals(contents: list[Stretch], borders: list[int], length: int) -> list[Stretch]:
    """Add the template text between the contents, divided at the borders of spans."""
    stretches: list[Stretch] = []
    position = 0
    for content in [*contents, Stretch(length, length, LITERAL)]:
        for border in [*(b for b in borders if position < b < content.start), content.start]:
            if border > position:
                stretches.append(Stretch(position, border, LITERAL))
                position = border
        if content.end > content.start:
            stretches.append(content)
        position = max(position, content.end)
    return stretches
