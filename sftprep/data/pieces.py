"""A rendered record: template text, with slots for the record's contents.

All records of one *shape* share their pieces: the same template text around the same slots. So a
rendered record is only the number of its shape and the contents that fill the slots. Whatever
depends only on the shape is computed once per shape.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from sftprep.data.provenance import NO_MESSAGE, Writer

EMPTY_THINK_BLOCK = re.compile(
    r"<(\w*:?think\w*)>\s*</\1>|\[THINK\]\s*\[/THINK\]|<\|START_THINKING\|>\s*<\|END_THINKING\|>"
)
"""Text of a template that says: the model did not think."""
LITERAL = -1
"""The slot of a piece that is template text."""
IMPLICIT_BOS = -2
"""The slot of a BOS that the tokenizer itself adds: it is not part of the text."""
MOST_SHAPES = 2000
"""The default maximum number of shapes: with more, ``Renderer.forget`` drops all of them."""


class Section(IntEnum):
    """The part of a row that a token belongs to; it decides how truncation may cut the token."""

    KEPT = 0  # never cut: BOS, the system turn, and the template text around a single exchange
    PROMPT = 1  # cut at its start: what comes before the last trained turn
    COMPLETION = 2  # cut at its end: the last trained turn and what follows it


class Piece(NamedTuple):
    """A stretch of a rendered record: template text, or a slot for one of the contents."""

    text: str  # template text; "" for a slot
    slot: int  # an index into ``Rendered.contents``, or LITERAL, or IMPLICIT_BOS
    trained: bool
    section: Section
    writer: Writer = NO_MESSAGE  # which text of the conversation it is


class Rendered(NamedTuple):
    """A rendered record: the pieces of its shape, and the contents that fill their slots."""

    shape: int  # the number that ``Renderer.pieces`` takes
    contents: tuple[str, ...]  # indexed by slot


class Renderer(Protocol):
    """Turns conversations into pieces. Each kind of template has its own renderer.

    ``Any`` stands for the kind of dialogue that the renderer takes: a ``Conversation`` for built-in
    and YAML templates, a ``Chat`` for Jinja chat templates.
    """

    def render(self, dialogue: Any) -> Rendered:
        """Render one record.

        Raises:
            RecordError: the template cannot express the record, or it is not certain on which part
                of the text the model is to be trained.
        """
        ...

    def pieces(self, shape: int) -> Sequence[Piece]:
        """Return the pieces of a shape."""
        ...

    def answers(self, shape: int) -> Sequence[int]:
        """Return where the trained answers of a shape end.

        Returns:
            for each of them the number of pieces up to its end, in order. What stops the model is
            the trained text before that.
        """
        ...

    def rewrites(self, shape: int) -> bool:
        """Return True if inference would put other text before a trained turn of this shape."""
        ...

    def omitted(self, shape: int) -> frozenset[str]:
        """Return the names of what the template leaves out of the records of this shape.

        A name says what kind of thing is left out, such as ``tools``, ``tool_calls``,
        ``reasoning`` or ``system``.
        """
        ...

    def forget(self) -> bool:
        """Drop all shapes if there are too many of them, so that memory stays bounded.

        Returns:
            True if the shapes were dropped. Then all earlier shape numbers are invalid.
        """
        ...


def trained_ends(pieces: Sequence[Piece]) -> list[int]:
    """Return the number of pieces up to the end of each stretch of trained pieces.

    >>> trained_ends([Piece(x, LITERAL, x == "t", Section.PROMPT) for x in "-tt-t"])
    [3, 5]
    """
    following = [*pieces[1:], None]
    return [
        index
        for index, (piece, after) in enumerate(zip(pieces, following, strict=True), 1)
        if piece.trained and not (after and after.trained)
    ]


def touching(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Return the contents that a trained content follows without any template text between them.

    The content of a turn may follow its input: that is its own reasoning, if it is not trained.

    Returns:
        pairs of slots: the slot of the first content, and that of the trained one.

    >>> touching([Piece("", 0, False, Section.PROMPT), Piece("", 2, True, Section.COMPLETION)])
    [(0, 2)]
    """
    return [
        (first.slot, second.slot)
        for first, second in pairwise(pieces)
        if first.slot >= 0 and second.slot >= 0 and second.trained and first.slot != second.slot + 1
    ]


class ThinkBlocks(NamedTuple):
    """The empty think blocks that a template writes by itself into the records of a shape."""

    number: int
    trained: int  # how many of them have trained text


def empty_think_blocks(pieces: Sequence[Piece]) -> ThinkBlocks:
    """Count the empty think blocks in the template's text of a shape.

    >>> empty_think_blocks([Piece("<bot><think>", LITERAL, False, Section.PROMPT),
    ...                     Piece("</think>", LITERAL, True, Section.PROMPT)])
    ThinkBlocks(number=1, trained=1)
    """
    texts = ["\0" if piece.slot >= 0 else piece.text for piece in pieces]
    blocks = [match.span() for match in EMPTY_THINK_BLOCK.finditer("".join(texts))]
    if not blocks:
        return ThinkBlocks(0, 0)
    trained = [p.trained for p, text in zip(pieces, texts, strict=True) for _ in text]
    return ThinkBlocks(len(blocks), sum(any(trained[start:end]) for start, end in blocks))


def filled(pieces: Sequence[Piece], contents: Sequence[str]) -> str:
    """Return the text of a record: its pieces filled with its contents, without an implicit BOS.

    >>> filled([Piece("Q: ", LITERAL, False, Section.PROMPT), Piece("", 0, False, Section.PROMPT)],
    ...        ["Why?"])
    'Q: Why?'
    """
    return "".join(
        [contents[slot] if slot >= 0 else text for text, slot, *_ in pieces if slot != IMPLICIT_BOS]
    )
