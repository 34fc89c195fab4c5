r"""Merge consecutive messages of one role into one (``--merge-turns``).

In     messages in order.
Out    the same messages; those of one role that follow each other are one, their texts joined by an
       empty line.
Keeps  tool results and messages with tool calls apart: each belongs to a call of its own.
Raises RecordError: ``wrong_type``, if messages that are to be merged have different flags.
"""

from typing import Any

from sftprep.errors import RecordError

BETWEEN = "\n\n"
"""What stands between the texts of merged messages."""
MERGED_ROLES = ("system", "developer", "user", "assistant")


def merged_text(first: str, second: str) -> str:
    r"""Return two texts as one; an empty text adds nothing.

    >>> merged_text("a", "b"), merged_text("", "b")
    ('a\n\nb', 'b')
    """
    return f"{first}{BETWEEN}{second}" if first and second else first or second


def merged_messages(
    messages: list[dict[str, Any]], train: list[bool | None], places: list[str]
) -> tuple[list[dict[str, Any]], list[bool | None], list[str]]:
    """Merge the messages of a chat.

    Args:
        messages: the messages, as chat templates take them.
        train: the flag of each message.
        places: the place of each message in the record.

    Returns:
        The messages, their flags and their places.
    """
    kept, flags, kept_places = messages[:1], train[:1], places[:1]
    for message, flag, place in zip(messages[1:], train[1:], places[1:], strict=True):
        if not _may_merge(kept[-1], message):
            kept.append(message)
            flags.append(flag)
            kept_places.append(place)
            continue
        if flag is not flags[-1]:
            raise different_flags(kept_places[-1], place)
        kept[-1] = {**kept[-1], "content": _merged(kept[-1]["content"], message["content"])}
    return kept, flags, kept_places


def different_flags(first: str, second: str) -> RecordError:
    """Return the error for two messages that are to be merged and have different flags."""
    return RecordError(
        "wrong_type",
        f"{first} and {second} are to be merged, but their loss flags differ",
    )


def _may_merge(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Return whether two messages are of one role, and the second has nothing but a text."""
    return (
        first["role"] == second["role"]
        and first["role"] in MERGED_ROLES
        and second.keys() == {"role", "content"}
        and "tool_calls" not in first
        and isinstance(first.get("content"), str | list)
        and isinstance(second["content"], str | list)
    )


def _merged(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return merged_text(first, second)
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
