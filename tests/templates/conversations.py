"""Conversations and templates for tests, and what a renderer makes of them."""

from typing import Any

from sftprep.data.conversation import Conversation, Message
from sftprep.data.pieces import Piece, filled
from sftprep.templates.loading import parse_template
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import RunTexts, Template

U, A, S = "user", "assistant", "system"


def talk(*messages: tuple[Any, ...]) -> Conversation:
    """Build a conversation from messages given as tuples."""
    return Conversation.of(*(Message(*message) for message in messages))


def own(**keys: Any) -> Template:
    """Build a small template, with these keys added or replaced."""
    least = {
        "user": "U{content};",
        "assistant": {"header": "A", "body": "{content}.", "after": "|"},
    }
    return parse_template(least | keys, name="own", where="own.yaml")


def pieces_of(
    template: Template, conversation: Conversation, **options: Any
) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """Return the pieces and contents of one conversation."""
    given = {name: options.pop(name) for name in RunTexts._fields if name in options}
    texts = RunTexts(**{"bos": "<s>", "eos": "</s>"} | given)
    renderer = TemplateRenderer(template, texts=texts, **options)
    rendered = renderer.render(conversation)
    return renderer.pieces(rendered.shape), rendered.contents


def text_of(template: Template, conversation: Conversation, **options: Any) -> str:
    """Return the text of one conversation."""
    return filled(*pieces_of(template, conversation, **options))


def marked(template: Template, conversation: Conversation, **options: Any) -> str:
    """Return the text of one conversation, with the trained text between ⟦ and ⟧."""
    pieces, contents = pieces_of(template, conversation, **options)
    shown = "".join(
        f"⟦{text}⟧" if piece.trained else text
        for piece in pieces
        for text in [contents[piece.slot] if piece.slot >= 0 else piece.text]
    )
    return shown.replace("⟧⟦", "")


TWO = talk((U, "a"), (A, "b"), (U, "c"), (A, "d"))
WITH_SYSTEM = talk((S, "s"), *TWO.messages)
