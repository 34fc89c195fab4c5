"""Tracing marks: put around texts, found again in rendered text, and taken out."""

from typing import Any

import pytest

from sftprep.templates.jinja.tracing import (
    GENERATION,
    WHOLE,
    Mark,
    Origin,
    Rendering,
    Tracer,
    keys_of,
    texts_of,
    tracing_key,
    trimmed,
    value_at,
)


@pytest.mark.parametrize(
    "text", ["a", " a ", "\n", "", "<think>a</think>b", " <think>", "a</think> ", "{{ x }}", "0oz"]
)
def test_taking_marks_out_gives_the_text_back(text: str) -> None:
    """This holds for every text, and also after a template has trimmed the marked text."""
    tracer = Tracer("0123456789abcdef")
    marked = tracer.marked(text, ("messages", 0, "content"))
    assert tracer.unmarked(marked).text == text
    assert tracer.unmarked(marked.strip()).text == text.strip()


def test_marks_are_found_with_their_positions_and_origins() -> None:
    """Positions are those in the text without marks; outer white space is outside the marks."""
    tracer = Tracer("0123456789abcdef")
    marked = tracer.marked({"content": " ab ", "role": "user"}, ("messages", 0))
    rendering = tracer.unmarked(f"x{marked['content']}y{marked['role']}")
    assert rendering.text == "x ab yuser"
    assert rendering.marks == [Mark(2, 0, True), Mark(4, 0, False)]
    assert tracer.origins == [
        Origin(("messages", 0, "content")),
        Origin(("messages", 0), as_json=True),
    ]


def test_an_object_in_json_has_one_pair_of_marks() -> None:
    """The JSON is that of the original object, without marks inside."""
    tracer = Tracer("0123456789abcdef")
    value = {"a": ["é", {"b": 1}]}
    marked = tracer.marked(value, ("tools", 0))
    text, marks, _ = tracer.unmarked(tracer.dump(marked, ensure_ascii=False))
    assert text == '{"a": ["é", {"b": 1}]}'
    assert [(e.position, e.opens) for e in marks] == [(0, True), (len(text), False)]


def test_each_record_has_marks_of_its_own() -> None:
    """The key of the marks is the record's hash: data cannot contain it, and it never varies."""
    record: list[Any] = [{"role": "user", "content": "a"}]
    key = tracing_key(record, None)
    assert key == tracing_key([dict(record[0])], None)
    assert key != tracing_key([{"role": "user", "content": key}], None)
    assert key != tracing_key(record, [])
    path = ("messages", 0, "content")
    assert Tracer("other").unmarked(Tracer(key).marked("a", path)).marks == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ("", "a", "")), (" a b\n", (" ", "a b", "\n")), (" ", ("", "", " ")), ("", ("",) * 3)],
)
def test_trimmed_gives_three_texts_that_are_the_text_together(
    text: str, expected: tuple[str, str, str]
) -> None:
    """White space alone counts as trailing."""
    assert trimmed(text) == expected
    assert "".join(expected) == text


def test_a_text_in_json_is_marked_too() -> None:
    """A template may write a single text with ``tojson``; the escaped text is one content."""
    tracer = Tracer("0123456789abcdef")
    path = ("messages", 0, "content")
    marked = tracer.marked('say "hi"', path)
    rendering = tracer.unmarked("x" + tracer.dump(marked, sort_keys=True))
    assert rendering.text == 'x"say \\"hi\\""'
    (start, origin), (end, _) = rendering.text_marks()
    assert (start.position, end.position, origin) == (1, 13, Origin(path, as_json=True))
    assert tracer.json_options == {start.origin: {"sort_keys": True}}


def test_other_values_in_json_have_no_marks() -> None:
    """What the template itself builds is template text."""
    tracer = Tracer("0123456789abcdef")
    assert tracer.dump({"a": [1]}, indent=None) == '{"a": [1]}'
    assert tracer.json_options == {}


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_empty_texts_have_no_marks(text: str) -> None:
    """Templates ask whether a text is empty, so an empty text must stay empty."""
    tracer = Tracer("0123456789abcdef")
    assert tracer.marked(text, ("messages", 0, "content")) == text
    assert (tracer.origins, tracer.texts_without_marks) == ([], [])


def test_roles_types_and_unwanted_texts_have_no_marks() -> None:
    """Templates compare them. Except for roles, the tracer lists them, so they can be checked."""
    tracer = Tracer("0123456789abcdef", lambda path: path[-1] != "id")
    message = {"role": "user", "type": "text", "id": "7", "n": 1, "none": None}
    assert tracer.marked(message, ("messages", 0)) == message
    assert tracer.texts_without_marks == ["text", "7"]


def test_the_segments_of_a_text_with_think_tags_are_marked_one_by_one() -> None:
    """The tags stay as they are, because templates look for them."""
    tracer = Tracer("0123456789abcdef")
    path = ("messages", 0, "content")
    marked = tracer.marked("a<think> b </think> ", path)
    assert marked.count("<think>") == marked.count("</think>") == 1
    rendering = tracer.unmarked(marked)
    assert rendering.text == "a<think> b </think> "
    assert rendering.origins == [Origin(path, 0, 3), Origin(path, 1, 3)]
    assert [mark.position for mark in rendering.marks] == [0, 1, 9, 10]


def test_an_origin_gives_its_segment_of_a_text() -> None:
    """The text of another record has the same number of think tags, or another structure."""
    path = ("messages", 0, "content")
    assert Origin(path).of("a") == "a"
    assert Origin(path, 1, 3).of("a<think>b</think>c") == "b"
    assert Origin(path, segments=WHOLE).of("a<think>b</think>c") == "a<think>b</think>c"
    with pytest.raises(LookupError):
        Origin(path).of("a<think>b")


def rendering_of(*owners: int | str) -> Rendering:
    """Build a rendering of texts of one character each, with a dot before each of them.

    Args:
        owners: for each text, the number of its message, or "tools".
    """
    origins = [
        Origin(("tools", 0) if owner == "tools" else ("messages", owner, "content"))
        for owner in owners
    ]
    marks = [
        mark
        for i in range(len(owners))
        for mark in (Mark(2 * i + 1, i, True), Mark(2 * i + 2, i, False))
    ]
    return Rendering(".x" * len(owners) + "...", marks, origins)


def test_a_rendering_tells_the_positions_of_a_messages_texts() -> None:
    """All texts of a message count, and the tools belong to no message."""
    rendering = rendering_of("tools", 0, 1, 1)
    assert rendering.positions(1) == [5, 6, 7, 8]
    assert rendering.other_positions(1) == [1, 2, 3, 4]
    assert rendering.positions(2) == []


def test_a_rendering_tells_what_follows_a_message() -> None:
    """The tail ends at the next message's text, or at the end of the conversation."""
    rendering = rendering_of(0, 1, 1)
    assert (rendering.tail(0), rendering.is_followed(0)) == (".", True)
    assert (rendering.tail(1), rendering.is_followed(1)) == ("...", False)
    assert (rendering.tail(2), rendering.is_followed(2)) == ("", False)


def test_generation_marks_are_not_text_marks() -> None:
    """``text_marks`` leaves out the template's own markers."""
    rendering = Rendering("x", [Mark(0, GENERATION, True), Mark(1, GENERATION, False)], [])
    assert list(rendering.text_marks()) == []


def test_paths_lead_to_values() -> None:
    """A record with another structure raises what dicts and lists raise."""
    record = {"messages": [{"content": "a"}], "tools": None}
    assert value_at(record, ("messages", 0, "content")) == "a"
    with pytest.raises(LookupError):
        value_at(record, ("messages", 1, "content"))
    with pytest.raises(TypeError):
        value_at(record, ("tools", 0))


def test_all_texts_and_keys_of_a_value_are_found() -> None:
    """They are found at any depth, in order."""
    value = {"a": "b", "c": [{"d": ["e", 1]}, "f"]}
    assert list(texts_of(value)) == ["a", "b", "c", "d", "e", "f"]
    assert list(keys_of(value)) == ["a", "c", "d"]
    assert list(keys_of([value, "x"])) == ["a", "c", "d"]
