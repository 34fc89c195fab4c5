"""The names of what a row leaves out of its record, and their words in messages.

A name is one of ``WORDS``, or the name of a field of the record. ``Renderer.omitted`` and
``Dialogue.omitted`` return names.
"""

from collections.abc import Iterable

REFUSED = frozenset({"tools", "tool_calls", "reasoning", "system"})
"""With ``--on-omission error``, a record is rejected if its row would leave one of these out."""

UNANSWERED = "unanswered"
"""The turns after the last answer, which ``--on-no-answer cut`` leaves out."""

WORDS = {
    UNANSWERED: "turns after the last answer",
    "tool_calls": "tool calls",
    "system": "system prompt",
    "earlier_reasoning": "reasoning of earlier answers",
}
"""The names that are written in other words in messages."""


def in_words(names: Iterable[str]) -> str:
    """Return names as a message writes them, in alphabetical order of the names.

    >>> in_words({"tools", "tool_calls"})
    'tool calls, tools'
    """
    return ", ".join(WORDS.get(name, name) for name in sorted(names))
