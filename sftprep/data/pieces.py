"""What a renderer makes of a record: template text, with slots for the record's contents.

Records of one *shape* share their pieces: the same template text around the same slots. A rendered
record is therefore only the number of its shape and the contents that fill the slots, and whatever
depends on the shape alone is computed once per shape.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

LITERAL = -1
"""The slot of a piece that is template text."""
IMPLICIT_BOS = -2
"""The slot of a BOS that the tokenizer itself adds: it is not part of the text."""
MOST_SHAPES = 2000
"""How many shapes a renderer remembers by default before ``Renderer.forget`` drops them."""


class Section(IntEnum):
    """What truncation may do to a token."""

    KEPT = 0  # BOS, the system turn, the template text around a single exchange: never cut
    PROMPT = 1  # cut from its start
    COMPLETION = 2  # from the last trained turn on: cut at its end


class Piece(NamedTuple):
    """A stretch of a rendered record: template text, or a slot for one of the contents."""

    text: str  # template text; "" for a slot
    slot: int  # index into ``Rendered.contents``, or LITERAL or IMPLICIT_BOS
    trained: bool
    section: Section


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
            RecordError: the template cannot express the record, or it cannot be derived for
                certain which part of the text is to be trained.
        """
        ...

    def pieces(self, shape: int) -> Sequence[Piece]:
        """Return the pieces of a shape."""
        ...

    def rewrites(self, shape: int) -> bool:
        """Tell whether an answer of this shape follows other text than inference would feed."""
        ...

    def forget(self) -> bool:
        """Drop all shapes if there are too many of them, so that memory stays bounded.

        Returns:
            Whether the shapes were dropped. If so, shape numbers from before are no longer valid.
        """
        ...


def filled(pieces: Sequence[Piece], contents: Sequence[str]) -> str:
    """Return the text of a record: its pieces filled with its contents, without an implicit BOS.

    >>> filled([Piece("Q: ", LITERAL, False, Section.PROMPT), Piece("", 0, False, Section.PROMPT)],
    ...        ["Why?"])
    'Q: Why?'
    """
    return "".join(
        [
            contents[slot] if slot >= 0 else text
            for text, slot, _, _ in pieces
            if slot != IMPLICIT_BOS
        ]
    )
