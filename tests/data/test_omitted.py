"""The names of what a row leaves out, in words."""

import pytest

from sftprep.data.omitted import in_words


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], ""),
        (["tools"], "tools"),
        (["tools", "tool_calls", "context"], "context, tool calls, tools"),
        (["system", "earlier_reasoning"], "reasoning of earlier answers, system prompt"),
    ],
)
def test_names_in_words(names: list[str], words: str) -> None:
    """Names are sorted, and a field's name stays as it is."""
    assert in_words(names) == words
