"""Control tokens are found in a template's text as HF tokenizers find them."""

import pytest

from sftprep.data.control_tokens import AddedToken, ControlTokens


def token(content: str, number: int, *, normalized: bool = False) -> AddedToken:
    """An added token."""
    return AddedToken(content, number, True, False, False, False, normalized)


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        (["<a>", "<b>"], " x<a> y <b><a>z", [" x", "<a>", " y ", "<b>", "<a>", "z"]),
        (["<a>", "<a><b>"], "<a><b><a>", ["<a><b>", "<a>"]),
        (["<a>"], "", []),
        ([], "x", ["x"]),
        (["a.", "b"], "ab a.", ["a", "b", " ", "a."]),
    ],
)
def test_leftmost_then_longest(tokens: list[str], text: str, expected: list[str]) -> None:
    """Of two tokens the one that starts first is found, then the longer one; no text is lost."""
    made = [token(content, number) for number, content in enumerate(tokens)]
    found = ControlTokens(made).split(text)
    assert expected == [
        piece.content if isinstance(piece, AddedToken) else piece for piece in found
    ]
    known = {piece for piece in found if isinstance(piece, AddedToken)}
    assert known == {t for t in made if t.content in expected}


def test_normalized_tokens_come_last() -> None:
    """HF looks for normalized tokens only in the text that the others leave."""
    first, second = token("<a", 1, normalized=True), token("a>", 2)
    assert ControlTokens([first, second]).split("<a>") == ["<", second]
    assert ControlTokens([first, second]).split("<a") == [first]
