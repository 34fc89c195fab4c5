"""Which records hold which of many strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.steps.string_search import StringSearch


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], {}),
        ([["a", "b"]], {}),
        ([["<s>", "x"], ["<s><s>", "</s>"], ["y"]], {"<s>": {0, 1}, "</s>": {1}}),
        ([["<s", ">"], ["<", "s>"], ["<s>"]], {"<s>": {2}}),
        ([["x<|im_end|>"], ["<|im_end"]], {"<|im_end|>": {0}}),
        ([["中<｜User｜>"]], {"<｜User｜>": {0}}),
        ([["[INST]"], [], ["[/INST]"], ["[INST] [/INST]"]], {"[/INST]": {2, 3}, "[INST]": {0, 3}}),
    ],
)
def test_strings(records: list[list[str]], expected: dict[str, set[int]]) -> None:
    """A string across two contents does not count."""
    strings = ["<s>", "</s>", "<|im_end|>", "<｜User｜>", "[INST]", "[/INST]"]
    assert StringSearch(strings).holders(records) == expected


def test_among_many_strings() -> None:
    """Every one of a thousand strings is found, also where many start alike."""
    strings = [f"<|reserved_{n}|>" for n in range(1000)]
    records = [[f"a {string} 价"] for string in strings]
    # <|reserved_10|> does not contain <|reserved_1|>
    assert StringSearch(strings).holders(records) == {
        string: {number} for number, string in enumerate(strings)
    }


def test_no_strings() -> None:
    """Where nothing is looked for, nothing is found."""
    assert StringSearch([]).holders([["a"], [""]]) == {}


WORDS = st.text("<ab|", max_size=8)


@given(st.sets(st.text("<ab|", min_size=1, max_size=6)), st.lists(st.lists(WORDS, max_size=3)))
def test_like_a_search_for_each(strings: set[str], records: list[list[str]]) -> None:
    """Strings that overlap, or begin alike, are found as if each were looked for alone."""
    holders = {
        string: {i for i, contents in enumerate(records) if any(string in c for c in contents)}
        for string in strings
    }
    found = StringSearch(strings).holders(records)
    assert found == {string: rows for string, rows in holders.items() if rows}
