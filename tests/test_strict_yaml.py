"""strict_yaml: a document has one meaning, or it is refused in one line."""

import pytest

from sftprep.strict_yaml import parse_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a: 1\nb: {a: 2}\n", {"a": 1, "b": {"a": 2}}),
        ("- {a: 1}\n- {a: 2}\n", [{"a": 1}, {"a": 2}]),
        ("x: &x {a: 1}\ny: {<<: *x, a: 2}\n", {"x": {"a": 1}, "y": {"a": 2}}),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
    ],
)
def test_documents(text: str, expected: object) -> None:
    """A document gives its value; the same key in two mappings is no fault."""
    assert parse_yaml(text) == expected
    assert parse_yaml(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' is given twice, in lines 1 and 3"),
        ("a: 1\n'a': 3\n", "the key 'a' is given twice, in lines 1 and 2"),
        ("x:\n  - y: {b: 1,\n      b: 2}\n", "the key 'b' is given twice, in lines 2 and 3"),
        ("? {a: 1, a: 2}\n: b", "the key 'a' is given twice, in lines 1 and 1"),
    ],
)
def test_a_key_given_twice(text: str, message: str) -> None:
    """Of two equal keys none is chosen, at any depth."""
    with pytest.raises(ValueError, match="given twice") as caught:
        parse_yaml(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    ["a: [", "2001-99-99", "a: !!python/object:os.system {}", "[" * 9999, "9" * 9999, b"\xff"],
)
def test_not_yaml(text: str | bytes) -> None:
    """A document that is not plain YAML is a ``ValueError`` in one line, and no code in it runs."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_a_node_that_contains_itself() -> None:
    """An alias that leads back to its own list is followed once."""
    value = parse_yaml("&a [*a]")
    assert value[0] is value
