"""Spans: where a turn's header and its terminator are, between the texts of a conversation."""

import pytest

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.templates.jinja.spans import (
    _common_items,
    _common_prefix_length,
    _header_length,
    _start,
)

CONTROLS = ControlTokens(
    [
        AddedToken(token, i, True, False, False, False, False)
        for i, token in enumerate(["<im>", "</im>", "<think>", "<call>"])
    ]
)


@pytest.mark.parametrize(
    ("between", "added", "header"),
    [
        ("</im>\n<im>bot\n", "<im>bot\n", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\n", "<im>bot\n<think>\n", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\n<call>x", "<im>bot\n<think>\n", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\n", "<im>bot\nthinking:", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\nsays", "<im>bot\nthinks", ""),
        ("</im>\n<im>a<im>bot\n", "<im>bot\n<think>", ""),
        ("</im>\nbot: ", "bot: ", ""),
        ("</im>", "", ""),
    ],
)
def test_header_length(between: str, added: str, header: str) -> None:
    """A header begins as the generation prompt and parts from it where that is certain."""
    found = _header_length(CONTROLS.split(between), CONTROLS.split(added))
    assert between[:found] == header


def test_start() -> None:
    """Where inference's prompt is how the conversation begins, the turn begins at its end."""
    text = "<im>q</im><im>bot a</im>"
    gap = (5, 18)
    assert _start(text, "<im>q</im><im>bot ", "<im>q</im>", gap, CONTROLS) == (18, True)
    assert _start(text, "<im>Q</im><im>bot ", "<im>Q</im>", gap, CONTROLS) == (18, False)
    assert _start(text, "<im>q</im>me: ", "<im>q</im>", gap, CONTROLS) == (None, False)


def test_common_items() -> None:
    """Parts are alike up to the first other token, whatever their white space."""
    ours, theirs = CONTROLS.split("x\n</im>\n<im>"), CONTROLS.split("x</im>\n<think>")
    assert (
        _common_items(ours, theirs),
        _common_prefix_length("abc", "abd"),
        _common_prefix_length("a", "a"),
    ) == (3, 2, 1)
