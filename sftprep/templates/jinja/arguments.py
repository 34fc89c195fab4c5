"""The arguments of a chat's tool calls: list them, and convert them to what a template takes.

In     a ``Chat`` whose tool calls have their arguments as objects or as JSON text.
Out    the arguments in order, or a copy of the chat with each of them converted.
Raises RecordError: arguments that are text but not JSON (see ``parse_json_text``).
"""

import json
from collections.abc import Callable
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.strict_json import parse_json_text


def arguments(chat: Chat) -> list[Any]:
    """Return the arguments of every tool call, in order."""
    calls = [call for m in chat.messages for call in m.get("tool_calls") or ()]
    return [call.get("function", call).get("arguments", {}) for call in calls]


def map_arguments(chat: Chat, convert: Callable[[Any], Any]) -> Chat:
    """Return a copy of the chat in which each tool call's arguments are converted."""
    messages = []
    for message in chat.messages:
        calls = []
        for call in message.get("tool_calls") or ():
            function = dict(call.get("function", call))
            if "arguments" in function:
                function["arguments"] = convert(function["arguments"])
            calls.append({**call, "function": function} if "function" in call else function)
        messages.append({**message, "tool_calls": calls} if calls else message)
    return chat._replace(messages=messages)


def arguments_as_text(value: Any) -> str:
    """Return arguments as JSON text; arguments that are text are returned unchanged."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def arguments_as_object(value: Any) -> Any:
    """Return the parsed value of arguments that are JSON text; others are returned unchanged."""
    if not isinstance(value, str):
        return value
    return parse_json_text(value, "a tool call's arguments field")
