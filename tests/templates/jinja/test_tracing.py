"""Marks: put in and taken out again, they leave the text as it was."""

import pytest

from sftprep.templates.jinja.tracing import Event, Marks, Slot, trimmed


@pytest.mark.parametrize(
    "text", ["a", " a ", "\n", "", "<think>a</think>b", " <think>", "a</think> ", "{{ x }}", "0oz"]
)
def test_unmark_gives_the_text_back(text: str) -> None:
    """Whatever a text holds, it is the same without its marks, outer white space outermost."""
    marks = Marks()
    marked = marks.marked(text, ("messages", 0, "content"))
    assert marks.unmark(marked)[0] == text
    assert marks.unmark(marked.strip())[0] == text.strip()


def test_where_marks_stood() -> None:
    """Events tell the places in the text without marks, inside its outer white space."""
    marks = Marks()
    marked = marks.marked({"content": " ab ", "role": "user"}, ("messages", 0))
    assert marks.unmark(f"x{marked['content']}y{marked['role']}") == (
        "x ab yuser",
        [Event(2, 0, True), Event(4, 0, False)],
    )
    assert marks.slots == [
        Slot(("messages", 0, "content")),
        Slot(("messages", 0), dumped=True),
    ]


def test_what_is_dumped_is_whole() -> None:
    """JSON of an object is that of the object without marks, and one content."""
    marks = Marks()
    value = {"a": ["é", {"b": 1}]}
    marked = marks.marked(value, ("tools", 0))
    text, events = marks.unmark(marks.dump(marked, ensure_ascii=False))
    assert text == '{"a": ["é", {"b": 1}]}'
    assert [(e.position, e.opens) for e in events] == [(0, True), (len(text), False)]


def test_keys_differ() -> None:
    """No two markings share a mark, so that no data can hold one."""
    path = ("messages", 0, "content")
    first, second = Marks(), Marks()
    assert first.marked("a", path) != second.marked("a", path)
    assert second.unmark(first.marked("a", path))[1] == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a", ("", "a", "")), (" a b\n", (" ", "a b", "\n")), (" ", ("", "", " ")), ("", ("",) * 3)],
)
def test_trimmed(text: str, parts: tuple[str, str, str]) -> None:
    """Three parts that are the text again."""
    assert trimmed(text) == parts
