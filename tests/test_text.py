"""The words of messages."""

import pytest

from sftprep.text import alternatives, ascii_safe, did_you_mean, number, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "'a'"),
        ("a'b", '"a\'b"'),
        ("价", "'价'"),
        ("a\nb", "'a\\nb'"),
        (5, "5"),
        (0.5, "0.5"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_values_are_shown_as_json_has_them(value: object, expected: str) -> None:
    """Strings are quoted, and null, true and false have their JSON names."""
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "an object with 0 fields"),
        ({"a": 1}, "an object with 1 field"),
        ([1], "a list of 1 item"),
        ([1] * 1234, "a list of 1,234 items"),
    ],
)
def test_only_the_size_of_an_object_or_a_list_is_shown(value: object, expected: str) -> None:
    """The content of an object or a list may be large, so it is not shown."""
    assert shown(value) == expected


def test_a_long_value_is_shortened() -> None:
    """A shown value has at most as many characters as the limit."""
    assert shown("x" * 78) == "'" + "x" * 78 + "'"
    assert shown("x" * 79) == "'" + "x" * 78 + "…"
    assert shown("x" * 79, limit=10) == "'xxxxxxxx…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 价 é 😀", "plain 价 é 😀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eright to left", "\\u202eright to left"),
        ("line\nbreak\ttab\x07", "line\\nbreak\\ttab\\x07"),
        ("\ud800", "\\ud800"),
    ],
)
def test_terminal_control_characters_are_escaped(text: str, expected: str) -> None:
    """Printable text is unchanged; characters that a terminal acts on become escapes."""
    assert ascii_safe(text) == expected


@pytest.mark.parametrize(
    ("names", "expected"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_alternatives(names: list[str], expected: str) -> None:
    """Names are joined with commas and a final "or"."""
    assert alternatives(names) == expected
    assert alternatives(iter(names)) == expected


def test_did_you_mean() -> None:
    """A close name is suggested; if none is close, the other sentence is returned."""
    known = ["truncation", "template", "tokenizer"]
    assert did_you_mean("truncatoin", known, "Known: ...") == "Did you mean 'truncation'?"
    assert did_you_mean("shuffle", known, "Known: ...") == "Known: ..."


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12345, "12,345 rows")]
)
def test_number(count: int, expected: str) -> None:
    """A count has thousands separators, and its noun a plural."""
    assert number(count, "row") == expected
