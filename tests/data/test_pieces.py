"""Pieces: filling a shape's slots with a record's contents."""

import pytest

from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Piece, Renderer, Section, filled
from sftprep.data.policy import COMPLETION
from sftprep.templates.jinja.renderer import ChatRenderer
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import ChatTemplate, Template


def literal(text: str) -> Piece:
    """A piece of template text."""
    return Piece(text, LITERAL, False, Section.PROMPT)


def content(slot: int) -> Piece:
    """A piece that one of the contents fills."""
    return Piece("", slot, False, Section.PROMPT)


@pytest.mark.parametrize(
    ("pieces", "contents", "text"),
    [
        ([], (), ""),
        ([literal("a"), literal("b")], (), "ab"),
        ([literal("<"), content(0), literal(">")], ("x",), "<x>"),
        ([content(2), content(0)], ("first", "unused", "third"), "thirdfirst"),
        ([content(0), content(0)], ("x",), "xx"),
        ([content(0)], ("",), ""),
        ([literal("a{}"), content(0)], ("{0}%s",), "a{}{0}%s"),
    ],
)
def test_contents_fill_their_slots(
    pieces: list[Piece], contents: tuple[str, ...], text: str
) -> None:
    """The text of a record is its template text, with each content in the places of its slot."""
    assert filled(pieces, contents) == text


def test_an_implicit_bos_is_not_part_of_the_text() -> None:
    """The tokenizer adds an implicit BOS itself, so the text to encode does not contain it."""
    bos = Piece("<s>", IMPLICIT_BOS, False, Section.KEPT)
    assert filled([bos, literal("a")], ()) == "a"


def test_sections_are_numbered_as_in_batches() -> None:
    """Batches store sections as these numbers, and truncation compares them."""
    assert [(section.name, int(section)) for section in Section] == [
        ("KEPT", 0),
        ("PROMPT", 1),
        ("COMPLETION", 2),
    ]


def test_both_kinds_of_templates_have_a_renderer_with_the_same_methods() -> None:
    """The pipeline needs no case distinction: mypy checks these assignments to the protocol."""
    chat_template = ChatTemplate("t.jinja", "", "", {}, None)
    renderers: list[Renderer] = [
        TemplateRenderer(Template(name="t", sha256="", user="{content}", body="{content}")),
        ChatRenderer(chat_template, variables={}, controls={}, policy=COMPLETION),
    ]
    assert [renderer.forget() for renderer in renderers] == [False, False]
