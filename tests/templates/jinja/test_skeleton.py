"""Skeletons: the stretches of a rendered conversation, and the contents taken from records."""

from typing import Any

import pytest

from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.skeleton import Extractor, Skeleton, Stretch, stretches_of
from sftprep.templates.jinja.spans import Span
from sftprep.templates.jinja.traced_chat import TracedChat
from sftprep.templates.jinja.tracing import WHOLE, Origin

CONTENT = ("messages", 0, "content")


def stretches(
    source: str, content: Any, *spans: tuple[int, int]
) -> tuple[list[tuple[str, int]], tuple[Extractor, ...]]:
    """Return the text of each stretch with its slot, and the extractors.

    Args:
        source: a template; it is rendered with one message, ``m``.
        content: the message's content.
        spans: what is trained.
    """
    sandbox = Sandbox(
        "{% set m = messages[0] %}" + source, name="t.jinja", today=None, variables={}
    )
    messages = [{"role": "assistant", "content": content}]
    chat = TracedChat(
        sandbox, Chat(messages, None, (None,), 100), "0123456789abcdef", lambda path: True
    )
    rendering, tracer = chat.whole()
    found, extractors = stretches_of(
        {"messages": messages, "tools": None},
        rendering,
        tracer,
        [Span(start, end, 0) for start, end in spans],
    )
    assert_consecutive(found, len(rendering.text))
    return [(rendering.text[s.start : s.end], s.slot) for s in found], extractors


def assert_consecutive(found: list[Stretch], length: int) -> None:
    """Check that the stretches cover the whole text, each character once."""
    assert [s.start for s in found] == [0, *(s.end for s in found)][:-1]
    assert found[-1].end == length


def text(*, lead: bool = False, tail: bool = False, origin: Origin | None = None) -> Extractor:
    """Build the extractor of a text."""
    return Extractor(origin or Origin(CONTENT), lead, tail, None)


def test_contents_and_template_text_alternate() -> None:
    """The record's texts are contents; all other text is template text."""
    found, extractors = stretches("<{{ m.content }}>{{ m.content }}", "ab")
    assert found == [("<", LITERAL), ("ab", 0), (">", LITERAL), ("ab", 1)]
    assert extractors == (text(), text())


def test_template_text_is_divided_at_the_ends_of_spans() -> None:
    """No stretch lies across the start or the end of a span."""
    found, _ = stretches("<im>bot:{{ m.content }}</im>|", "ab", (4, 15))
    assert found == [
        ("<im>", LITERAL), ("bot:", LITERAL), ("ab", 0), ("</im>", LITERAL), ("|", LITERAL),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "spans", "stretch", "extractor"),
    [
        ("<{{ m.content }}>", [], " a\n", text(lead=True, tail=True)),
        ("<{{ m.content | trim }}>", [], "a", text()),
        ("<{{ m.content.lstrip() }}>", [], "a\n", text(tail=True)),
        ("<{{ m.content.rstrip() }}>", [], " a", text(lead=True)),
        ("< {{ m.content | trim }}>", [], " a", text(lead=True)),
        ("< {{ m.content | trim }}>", [(2, 3)], "a", text()),
    ],
)
def test_outer_white_space_belongs_to_the_content_if_the_template_kept_it(
    source: str, spans: list[tuple[int, int]], stretch: str, extractor: Extractor
) -> None:
    """White space across the border of a span is template text."""
    found, extractors = stretches(source, " a\n", *spans)
    assert [text for text, slot in found if slot == 0] == [stretch]
    assert extractors == (extractor,)


def test_a_text_with_think_tags_that_is_written_unchanged_is_one_content() -> None:
    """The tags are then part of the record's text."""
    found, extractors = stretches("<{{ m.content }}>", "<think> h</think>a ")
    assert found == [("<", LITERAL), ("<think> h</think>a ", 0), (">", LITERAL)]
    assert extractors == (text(tail=True, origin=Origin(CONTENT, segments=WHOLE)),)


def test_a_text_with_think_tags_that_is_taken_apart_has_several_contents() -> None:
    """The tags in the rendered text are then the template's."""
    source = (
        "{% set parts = m.content.split('</think>') %}"
        "<think>{{ parts[0].split('<think>')[1].strip() }}</think>|{{ parts[1] }}"
    )
    found, extractors = stretches(source, "x<think> h </think>a")
    assert found == [("<think>", LITERAL), ("h", 0), ("</think>|", LITERAL), ("a", 1)]
    assert [e.origin for e in extractors] == [Origin(CONTENT, 1, 3), Origin(CONTENT, 2, 3)]


def test_json_is_one_content() -> None:
    """An object that the template writes with ``tojson`` is taken from records in the same way."""
    found, extractors = stretches("={{ m.content | tojson(sort_keys=true) }}", {"b": "1", "a": 2})
    assert found == [("=", LITERAL), ('{"a": 2, "b": "1"}', 0)]
    record = {"messages": [{"content": {"y": None, "x": "é"}}]}
    assert extractors[0].extract(record) == '{"x": "é", "y": null}'


@pytest.mark.parametrize(
    ("extractor", "content", "expected"),
    [
        (text(), " a ", "a"),
        (text(lead=True), " a ", " a"),
        (text(tail=True), " a ", "a "),
        (text(lead=True, tail=True), " a ", " a "),
        (text(), "<think>h</think>a", None),
        (text(origin=Origin(CONTENT, segments=WHOLE)), "<think>h</think>a", "<think>h</think>a"),
        (text(origin=Origin(CONTENT, 1, 3)), "<think>h</think>a", "h"),
        (text(), ["a"], None),
        (text(origin=Origin(("messages", 1, "content"))), "a", None),
    ],
)
def test_a_content_is_taken_from_a_record(
    extractor: Extractor, content: Any, expected: str | None
) -> None:
    """A record with another structure raises an error, so another skeleton is tried."""
    record = {"messages": [{"content": content}], "tools": None}
    if expected is None:
        with pytest.raises((LookupError, TypeError)):
            extractor.extract(record)
    else:
        assert extractor.extract(record) == expected


def test_a_skeleton_takes_all_contents() -> None:
    """They are indexed by slot."""
    extractors = (text(), text(lead=True))
    skeleton = Skeleton((), extractors, parity=True)
    assert skeleton.contents({"messages": [{"content": " a"}]}) == ("a", " a")
