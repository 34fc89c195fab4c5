"""Marks: put in and taken out again, they leave the text as it was."""

import pytest

from sftprep.templates.jinja.tracing import Mark, Origin, Tracer, trimmed


@pytest.mark.parametrize(
    "text", ["a", " a ", "\n", "", "<think>a</think>b", " <think>", "a</think> ", "{{ x }}", "0oz"]
)
def test_unmark_gives_the_text_back(text: str) -> None:
    """Whatever a text holds, it is the same without its marks, outer white space outermost."""
    tracer = Tracer()
    marked = tracer.marked(text, ("messages", 0, "content"))
    assert tracer.unmarked(marked).text == text
    assert tracer.unmarked(marked.strip()).text == text.strip()


def test_where_marks_stood() -> None:
    """Events tell the places in the text without marks, inside its outer white space."""
    tracer = Tracer()
    marked = tracer.marked({"content": " ab ", "role": "user"}, ("messages", 0))
    rendering = tracer.unmarked(f"x{marked['content']}y{marked['role']}")
    assert rendering.text == "x ab yuser"
    assert rendering.marks == [Mark(2, 0, True), Mark(4, 0, False)]
    assert tracer.origins == [
        Origin(("messages", 0, "content")),
        Origin(("messages", 0), as_json=True),
    ]


def test_what_is_dumped_is_whole() -> None:
    """JSON of an object is that of the object without marks, and one content."""
    tracer = Tracer()
    value = {"a": ["é", {"b": 1}]}
    marked = tracer.marked(value, ("tools", 0))
    text, marks, _ = tracer.unmarked(tracer.dump(marked, ensure_ascii=False))
    assert text == '{"a": ["é", {"b": 1}]}'
    assert [(e.position, e.opens) for e in marks] == [(0, True), (len(text), False)]


def test_keys_differ() -> None:
    """No two markings share a mark, so that no data can hold one."""
    path = ("messages", 0, "content")
    first, second = Tracer(), Tracer()
    assert first.marked("a", path) != second.marked("a", path)
    assert second.unmarked(first.marked("a", path)).marks == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a", ("", "a", "")), (" a b\n", (" ", "a b", "\n")), (" ", ("", "", " ")), ("", ("",) * 3)],
)
def test_trimmed(text: str, parts: tuple[str, str, str]) -> None:
    """Three parts that are the text again."""
    assert trimmed(text) == parts
