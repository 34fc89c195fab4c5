"""Paths into records, and texts that join several fields."""

import pytest

from sftprep.schemas.paths import is_computed, parts_of, paths_of, top_fields, value_at


@pytest.mark.parametrize(
    ("name", "expected"),
    [("question", False), ("a.b", True), ("{a}", True), (".", False), ("a:b c", False)],
)
def test_is_computed(name: str, expected: bool) -> None:
    """A name with a dot inside or with a brace is computed."""
    assert is_computed(name) is expected


RECORD = {"a": {"b": [{"c": "x"}, 2]}, "d.e": 1, "d": {"e": 2}, "n": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b.0.c", (True, "x")),
        ("a.b.1", (True, 2)),
        ("d.e", (True, 1)),  # the field that is really called so
        ("n", (True, None)),
        ("a.b.2", (False, None)),
        ("a.b.x", (False, None)),
        ("a.x", (False, None)),
        ("n.x", (False, None)),
    ],
)
def test_value_at(path: str, expected: tuple[bool, object]) -> None:
    """A path goes through objects by name and through lists by index."""
    assert value_at(RECORD, path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"{a}\n{b.c}", ((True, "a"), (False, "\n"), (True, "b.c"))),
        (r"x\ty\\z", ((False, "x"), (False, "\t"), (False, "y"), (False, "\\"), (False, "z"))),
        (r"a\b", ((False, "a"), (False, "\\"), (False, "b"))),
        ("{{{a}}}", ((False, "{"), (True, "a"), (False, "}"))),
        ("", ()),
    ],
)
def test_parts_of(text: str, expected: tuple[tuple[bool, str], ...]) -> None:
    """Braces hold paths; escapes are read as a shell passes them on; doubled braces are text."""
    assert parts_of(text) == expected


@pytest.mark.parametrize(("text", "place"), [("{a", 1), ("a}", 2), ("{}", 1), ("{a{b}}", 1)])
def test_a_brace_without_a_partner(text: str, place: int) -> None:
    """A brace that is not closed is refused with its place."""
    with pytest.raises(ValueError, match=f"the brace at character {place} has no partner"):
        parts_of(text)


def test_fields_that_are_read() -> None:
    """The fields of the record that computed fields read."""
    assert paths_of("{a.b} and {c}") == ["a.b", "c"]
    assert paths_of("a.b") == ["a.b"]
    assert top_fields(["{a.b} and {c}", "d.0"]) == {"a", "a.b", "c", "d", "d.0"}
