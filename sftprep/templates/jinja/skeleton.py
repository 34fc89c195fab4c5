"""A rendered conversation without the record's texts, and how to take these from a record.

In     rendered text, where the record's texts stand in it, and the spans that are trained.
Out    the text cut into stretches, each literal or a content, none across a span's end; for each
       content an ``Extract`` that takes it from any record of the same structure.
Keeps  every character: the stretches, filled, are the text again.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sftprep.data.pieces import LITERAL, Piece
from sftprep.templates.jinja.spans import Rendering, Span
from sftprep.templates.jinja.tracing import GENERATION, WHOLE, Event, Marks, Slot, text_at, trimmed


class Extract(NamedTuple):
    """How a content is taken from a record."""

    slot: Slot
    keep_lead: bool  # with its outer white space, which the template kept
    keep_tail: bool
    options: Mapping[str, Any] | None  # of the JSON dump; None for a text

    def of(self, root: dict[str, Any]) -> str:
        """The content of this record."""
        value = text_at(root, self.slot.path)
        if self.options is not None:
            return json.dumps(value, **self.options)
        if not isinstance(value, str):
            raise TypeError
        lead, core, tail = trimmed(self.slot.of(value))
        return f"{lead if self.keep_lead else ''}{core}{tail if self.keep_tail else ''}"


class Skeleton(NamedTuple):
    """A rendered structure without the record's texts."""

    pieces: tuple[Piece, ...]
    extracts: tuple[Extract, ...]
    parity: bool  # the ids before each trained span are those of inference


class Cut(NamedTuple):
    """A stretch of the rendered text: literal, or a content."""

    start: int
    end: int
    slot: int  # LITERAL or the number of an extract


def contents_of(
    root: dict[str, Any], rendering: Rendering, marks: Marks, spans: list[Span]
) -> tuple[list[Cut], tuple[Extract, ...]]:
    """The text in stretches, cut at every span's ends, and how contents are taken for them."""
    text = rendering.text
    borders = sorted({p for span in spans for p in (span.start, span.end)})
    extracts: list[Extract] = []
    taken: list[Cut] = []
    opened = 0
    for event in rendering.events:
        if event.slot == GENERATION:
            continue
        if event.opens:
            opened = event.position
            continue
        slot = rendering.slots[event.slot]
        start, end = opened, event.position
        options = marks.dumps.get(event.slot) if slot.dumped else None
        extract = Extract(slot, False, False, options)
        if not slot.dumped:
            if slot.piece == 0 and slot.pieces > 1:
                end, slot = _whole(root, rendering, event, start)
            elif taken and start < taken[-1].end:
                continue  # a piece of the whole before it
            lead, _, tail = trimmed(slot.of(text_at(root, slot.path)))
            low = max([b for b in borders if b <= start] + [c.end for c in taken], default=0)
            high = min([b for b in borders if b >= end], default=len(text))
            keep_lead = bool(lead) and start - len(lead) >= low and text[:start].endswith(lead)
            keep_tail = bool(tail) and end + len(tail) <= high and text.startswith(tail, end)
            extract = Extract(slot, keep_lead, keep_tail, None)
            start -= len(lead) if keep_lead else 0
            end += len(tail) if keep_tail else 0
        taken.append(Cut(start, end, len(extracts)))
        extracts.append(extract)
    return _with_literals(taken, borders, len(text)), tuple(extracts)


def _whole(
    root: dict[str, Any], rendering: Rendering, event: Event, start: int
) -> tuple[int, Slot]:
    """The end and the slot of a text with think tags, if the template wrote it as it stands.

    Then the tags are the record's, and text. If the text was taken apart, they are the template's.
    """
    slot = rendering.slots[event.slot]
    _, core, _ = trimmed(text_at(root, slot.path))
    if rendering.text.startswith(core, start):
        return start + len(core), Slot(slot.path, 0, WHOLE)
    return event.position, slot


def _with_literals(taken: list[Cut], borders: list[int], length: int) -> list[Cut]:
    """The contents' stretches, with the literal ones between them, cut at the borders."""
    cuts: list[Cut] = []
    position = 0
    for cut in [*taken, Cut(length, length, LITERAL)]:
        for border in [*(b for b in borders if position < b < cut.start), cut.start]:
            if border > position:
                cuts.append(Cut(position, border, LITERAL))
                position = border
        if cut.end > cut.start:
            cuts.append(cut)
        position = max(position, cut.end)
    return cuts


def filled(pieces: tuple[Piece, ...], contents: tuple[str, ...]) -> str:
    """The text of a record: the pieces with its contents."""
    return "".join([contents[p.slot] if p.slot >= 0 else p.text for p in pieces])
