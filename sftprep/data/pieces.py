"""A rendered record: the template's text, with places for the record's contents.

Records of one shape share their pieces: the same template text around the same places. So a
record is rendered as the number of its shape and the contents that fill the places, and what
depends on the shape alone is worked out once.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

LITERAL = -1
"""The slot of a piece that is template text."""
IMPLICIT_BOS = -2
"""The slot of a BOS that the tokenizer adds by itself: it is no part of the text."""


class Section(IntEnum):
    """What truncation may do to a token."""

    KEPT = 0  # BOS, the system turn, the template text around a single exchange: never cut
    PROMPT = 1  # cut from its start
    COMPLETION = 2  # from the last trained turn on: cut at its end


class Piece(NamedTuple):
    """A stretch of a rendered record: template text, or a place for one of its contents."""

    text: str  # template text; "" where a content goes
    slot: int  # the number of the content that goes here, or LITERAL or IMPLICIT_BOS
    trained: bool
    section: Section


class Rendered(NamedTuple):
    """A rendered record: the pieces of its shape, filled with its contents."""

    shape: int  # the number that ``Renderer.pieces`` takes
    contents: tuple[str, ...]  # by slot


class Renderer(Protocol):
    """Turns conversations into pieces; each kind of template has its own renderer.

    ``Any`` stands for the kind of dialogue that the renderer takes: a ``Conversation`` for built-in
    and YAML templates, a ``Chat`` for Jinja chat templates.
    """

    def render(self, dialogue: Any) -> Rendered:
        """Render one record.

        Raises:
            RecordError: the template has no place for something in it, or what is trained cannot
                be told for certain.
        """
        ...

    def pieces(self, shape: int) -> Sequence[Piece]:
        """The pieces of a shape."""
        ...

    def rewrites(self, shape: int) -> bool:
        """Whether an answer in this shape follows other text than inference would feed."""
        ...

    def forget(self) -> bool:
        """Drop all shapes if there are too many; whether that was done.

        Shape numbers from before mean nothing afterwards.
        """
        ...


def filled(pieces: Sequence[Piece], contents: Sequence[str]) -> str:
    """The text of a record: its pieces with its contents, without an implicit BOS."""
    return "".join(
        [contents[p.slot] if p.slot >= 0 else p.text for p in pieces if p.slot != IMPLICIT_BOS]
    )
