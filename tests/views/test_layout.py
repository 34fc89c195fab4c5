"""layout: lines are broken between words, at the width of the terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sftprep.views.layout import ANSI, fit

GREEN = "\x1b[32m"
RESET = "\x1b[0m"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 8, ["one two ", "three"]),
        ("one two three", 13, ["one two three"]),
        ("a·b· c·d", 5, ["a·b· ", "c·d"]),
        ("abcdefghij kl", 4, ["abcd", "efgh", "ij ", "kl"]),
        ("中文没有空格", 4, ["中文", "没有", "空格"]),
        ("中文ab没", 5, ["中文", "ab没"]),
        ("one\n\ntwo three", 6, ["one", "", "two ", "three"]),
        ("ends in spaces    ", 14, ["ends in spaces    "]),
    ],
)
def test_lines_are_broken(text: str, width: int, lines: list[str]) -> None:
    """Between words or wide characters; within a word only if it is longer than a line."""
    assert fit(text, width).split("\n") == lines


def test_without_a_terminal_lines_stay_whole() -> None:
    """A text for a pipe is not changed."""
    text = "word " * 100
    assert fit(text, None) == text


def test_colours_go_on_behind_a_break() -> None:
    """Each line has its own codes, and the same colours as before."""
    found = fit(f"{GREEN}one two{RESET} three", 5)
    assert [ANSI.sub("", line) for line in found.split("\n")] == ["one ", "two ", "three"]
    assert found.split("\n")[1] == f"{GREEN}two{RESET} "
    assert GREEN not in found.split("\n")[2]


WORDS = st.text(st.sampled_from("ab 中文é·⟦-"), max_size=60)


@given(WORDS, st.sampled_from([5, 8, 20]))
def test_nothing_is_lost(text: str, width: int) -> None:
    """Every character stays, and no line is too wide, spaces at its end apart."""
    found = fit(text, width)
    assert found.replace("\n", "") == text
    assert all(cell_len(line.rstrip(" ")) <= width for line in found.split("\n"))


@given(st.lists(st.text("abc·-", min_size=1, max_size=9), max_size=20), st.integers(9, 30))
def test_no_word_is_broken(words: list[str], width: int) -> None:
    """Words that fit into a line stay whole."""
    assert fit(" ".join(words), width).split() == words
