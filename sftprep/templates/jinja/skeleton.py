"""Turn a rendered conversation into a skeleton that other records of the same structure can fill.

In     a rendering that tells where each of its characters comes from, and the spans that are
       trained.
Out    the text as a sequence of stretches. Each is template text or one content, and none lies
       across the start or end of a span. For a neutral chat (see ``neutral``): for each content, a
       ``Filler`` that takes it from any record of the same form.
Keeps  every character: filling the stretches with the contents gives the text again.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL, Piece
from sftprep.templates.jinja.neutral import FIRST_PLACEHOLDER, PLACEHOLDER, Form
from sftprep.templates.jinja.spans import Span
from sftprep.templates.jinja.traced_text import Path
from sftprep.templates.jinja.tracing import Placed, Rendering, value_at


class Skeleton(NamedTuple):
    """A rendered conversation without the record's texts: one shape of the renderer."""

    pieces: tuple[Piece, ...]
    parity: bool  # whether the text before each trained span is what inference feeds
    omitted: frozenset[str]  # what the template leaves out, see ``omissions``
    answers: tuple[int, ...]  # as ``Renderer.answers`` returns them
    appended: str  # the stop token that is added after the template's text, or ""


class Filler(NamedTuple):
    """How one content is taken from a record of a form."""

    parts: Sequence[str | int]  # of a text: as they are, or indexes into ``Form.texts``
    path: Path | None = None  # of a value that is written as JSON
    json_options: Mapping[str, Any] | None = None  # of ``json.dumps``

    @classmethod
    def of(cls, content: Placed, text: str) -> "Filler | int":
        """Build from a content of a neutral chat.

        Args:
            content: where the content comes from.
            text: the content's text, with placeholders.

        Returns:
            The index in ``Form.texts`` if the content is just one of these texts, as most are.
        """
        if content.origin.options is not None:
            return cls((), content.origin.path, content.origin.options)
        parts: list[str | int] = []
        position = 0
        for match in PLACEHOLDER.finditer(text):
            parts += [text[position : match.start()], ord(match[0]) - FIRST_PLACEHOLDER]
            position = match.end()
        found = [part for part in (*parts, text[position:]) if part != ""]
        only = found[0] if len(found) == 1 else ""
        return only if isinstance(only, int) else cls(found)

    def fill(self, chat: Chat, texts: Sequence[str]) -> str:
        """Return the content of a chat.

        Args:
            chat: the chat.
            texts: the texts of its form.
        """
        if self.path is not None and self.json_options is not None:
            return json.dumps(value_at(_record(chat), self.path), **self.json_options)
        return "".join([part if isinstance(part, str) else texts[part] for part in self.parts])


def contents_of(fillers: Sequence[Filler | int], chat: Chat, form: Form) -> tuple[str, ...]:
    """Return all contents of a chat of a form, by slot."""
    texts = form.texts
    return tuple(
        [
            texts[filler] if isinstance(filler, int) else filler.fill(chat, texts)
            for filler in fillers
        ]
    )


def _record(chat: Chat) -> dict[str, Any]:
    """Return the values of a chat by the first key of their paths."""
    return {"messages": chat.messages, "tools": chat.tools, "arguments": dict(chat.arguments)}


class Stretch(NamedTuple):
    """Consecutive characters of the rendered text: template text, or one content."""

    start: int
    end: int
    slot: int  # LITERAL, or the index of a content


def stretches_of(
    rendering: Rendering, spans: Sequence[Span], others: Sequence[Span] = ()
) -> tuple[list[Stretch], list[Placed]]:
    """Return the text's stretches, and where the content of each slot comes from.

    Where a span starts inside a content, inference feeds the start of this content: the generation
    prompt ends with it. So there it is template text.

    Args:
        rendering: the rendered conversation.
        spans: of answers.
        others: other ranges at whose borders the stretches end.
    """
    borders = sorted({p for span in (*spans, *others) for p in (span.start, span.end)})
    fed: dict[int, int] = {}  # message -> where its span starts
    for span in spans:
        fed[span.message] = min(span.start, fed.get(span.message, span.start))
    stretches: list[Stretch] = []
    contents: list[Placed] = []
    position = 0
    for content in rendering.contents:
        start = content.start
        turn = None if content.message is None else rendering.turn(content.message)
        if content.message in fed and turn is not None and start >= turn.start:
            start = max(start, min(fed[content.message], content.end))
        if start >= content.end:
            continue
        stretches += _divided(position, start, LITERAL, borders)
        for part in _divided(start, content.end, 0, borders):
            stretches.append(part._replace(slot=len(contents)))
            contents.append(content._replace(start=part.start, end=part.end))
        position = content.end
    stretches += _divided(position, len(rendering.text), LITERAL, borders)
    return stretches, contents


def _divided(start: int, end: int, slot: int, borders: Sequence[int]) -> list[Stretch]:
    """Return a stretch, divided at the borders of spans."""
    inside = borders[bisect_right(borders, start) : bisect_left(borders, end)]
    points = [start, *inside, end] if start < end else []
    return [Stretch(a, b, slot) for a, b in pairwise(points)]
