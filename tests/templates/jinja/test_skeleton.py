"""Skeletons: the contents give the text again, and other records of the form can fill them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CALLS, CHATML, call, chat_of, renderer, tool, turns

from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL
from sftprep.templates.jinja.neutral import neutral_chat, neutral_form
from sftprep.templates.jinja.skeleton import Filler, Stretch, contents_of, stretches_of
from sftprep.templates.jinja.spans import Span
from sftprep.templates.jinja.traced_chat import TracedSandbox
from sftprep.templates.jinja.tracing import Rendering

GIVEN: dict[str, Any] = {"name": "t", "today": None, "variables": {}}
TEXTS = st.text("ab \n<>é", max_size=6)


def rendering_of(source: str, chat: Chat, *, neutral: bool = False) -> Rendering:
    """Render a chat with provenance."""
    return TracedSandbox(source, neutral=neutral, **GIVEN).trace(chat.messages, chat)


@st.composite
def spans_in(draw: st.DrawFn, length: int) -> list[Span]:
    """Generate spans that do not overlap, anywhere in a text."""
    places = sorted(draw(st.lists(st.integers(0, length), max_size=6, unique=True)))
    return [
        Span(start, end, draw(st.sampled_from([1, 3])))
        for start, end in zip(places[::2], places[1::2], strict=False)
    ]


@settings(max_examples=some(30), deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS, st.data())
def test_stretches_give_the_text_again(a: str, b: str, c: str, d: str, data: st.DataObject) -> None:
    """They follow each other, none lies across a border of a span, and none is empty."""
    rendering = rendering_of(CHATML, chat_of(turns(a, b or "b",
    c, d or "d")) if b.strip() and d.strip()
                             else chat_of(turns(a, "b", c, "d")))  # fmt: skip
    spans = data.draw(spans_in(len(rendering.text)))
    stretches, contents = stretches_of(rendering, spans)
    position = 0
    for start, end, _ in stretches:
        assert position == start < end
        position = end
    assert position == len(rendering.text)
    for span in spans:
        for start, end, _ in stretches:
            assert not start < span.start < end
            assert not start < span.end < end
    slots = [stretch.slot for stretch in stretches if stretch.slot != LITERAL]
    assert slots == list(range(len(contents)))
    for stretch in stretches:
        if stretch.slot != LITERAL:
            content = contents[stretch.slot]
            assert (content.start, content.end) == (stretch.start, stretch.end)
    # What is no content is the template's; or it stands in front of the span of its message.
    fed = {m: min(s.start for s in spans if s.message == m) for m in {s.message for s in spans}}
    for content in rendering.contents:
        for stretch in stretches:
            if (
                stretch.slot == LITERAL
                and stretch.start < content.end > stretch.start >= content.start
            ):
                assert content.message in fed
                assert stretch.end <= max(fed[content.message], content.start)


def test_what_the_prompt_holds_of_an_answer_is_template_text() -> None:
    """Where a span starts inside a content, inference feeds the start of the content."""
    rendering = rendering_of(CHATML, chat_of(turns("a", "<think>\nr")))
    start = rendering.text.index("<think>")
    stretches, contents = stretches_of(rendering, [Span(start + 8, len(rendering.text), 1)])
    assert stretches == [
        Stretch(0, 9, LITERAL), Stretch(9, 10, 0), Stretch(10, start, LITERAL),
        Stretch(start, start + 8, LITERAL), Stretch(start + 8, start + 9, 1),
        Stretch(start + 9, len(rendering.text), LITERAL),
    ] or stretches == [
        Stretch(0, 9, LITERAL), Stretch(9, 10, 0), Stretch(10, start + 8, LITERAL),
        Stretch(start + 8, start + 9, 1), Stretch(start + 9, len(rendering.text), LITERAL),
    ]  # fmt: skip
    assert [rendering.text[c.start : c.end] for c in contents] == ["a", "r"]


def test_a_text_of_another_message_stays_a_content() -> None:
    """Only the answer's own text can be what the prompt holds."""
    source = CHATML.replace("m.content", "messages[0].content + m.content")
    rendering = rendering_of(source, chat_of(turns("ab", "cd")))
    answer = rendering.text.index("abcd")
    _, contents = stretches_of(rendering, [Span(answer + 3, len(rendering.text), 1)])
    texts = [rendering.text[content.start : content.end] for content in contents]
    assert texts == ["ab", "ab", "ab", "d"]


FILLED = {
    "texts": (CHATML, [turns("a", "b"), turns("Q", "R")]),
    "white space": (CHATML, [turns(" a\n", "b "), turns(" Q\n", "R ")]),
    "parts of texts": (
        CHATML.replace("m.content", "m.content.split('</think>')[-1]"),
        [turns("a", "<think>r</think>b"), turns("Q", "<think>S</think>R")],
    ),
    "JSON": (
        CALLS, [turns("a", call(x=1), tool("r"), "b"), turns("Q",
        call(y={"é": [1]}), tool("S"), "R")],
    ),
    "JSON with options": (
        CALLS.replace("tojson", "tojson(indent=2, sort_keys=true, ensure_ascii=true)"),
        [turns("a", call(x=1)), turns("Q", call(z="é", y=[1, {"b": 2, "a": 1}]))],
    ),
    "JSON of texts": (
        CHATML.replace("m.content", "m.content | tojson"), [turns("a", "b"), turns("Q\n", 'R"é')],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILLED)
def test_a_record_of_the_same_form_fills_the_skeleton(name: str) -> None:
    """The contents of a record that is filled in are those of its own rendering."""
    source, (first, second) = FILLED[name]
    made, alone = renderer(source), renderer(source)
    one, other = made.render(chat_of(first)), made.render(chat_of(second))
    expected = alone.render(chat_of(second))
    assert other.contents == expected.contents
    assert made.pieces(other.shape) == alone.pieces(expected.shape)
    if neutral_form(chat_of(first)).key == neutral_form(chat_of(second)).key:
        assert one.shape == other.shape


def test_fillers_take_contents_from_texts_and_values() -> None:
    """A text is put together from the texts of the form; JSON is dumped with its options."""
    chat = chat_of(turns("a", call(x="é"), tool("r"), "b"))
    form = neutral_form(chat)
    rendering = rendering_of(CALLS, neutral_chat(form.key), neutral=True)
    fillers = [Filler.of(c, rendering.text[c.start : c.end]) for c in rendering.contents]
    dumped = json.dumps(chat.messages[1]["tool_calls"][0]["function"], ensure_ascii=False)
    assert contents_of(fillers, chat, form) == ("a", dumped, "r", "b")
    options = rendering.contents[1].origin.options
    assert fillers[1] == Filler((), ("messages", 1, "tool_calls", 0, "function"), options)


def test_a_filler_keeps_what_is_between_the_texts() -> None:
    """White space and think tags are in the form; they are filled in as they are."""
    chat = chat_of(turns(" a ", "<think>\nr</think>\n\nb"))
    form = neutral_form(chat)
    rendering = rendering_of(CHATML, neutral_chat(form.key), neutral=True)
    fillers = [Filler.of(c, rendering.text[c.start : c.end]) for c in rendering.contents]
    assert fillers == [
        Filler([" ", 0, " "]), Filler(["<think>\n", 1, "</think>\n\n", 2])
    ]  # fmt: skip
    filled = contents_of(fillers, chat, form._replace(texts=["x", "y", "z"]))
    assert filled == (" x ", "<think>\ny</think>\n\nz")
