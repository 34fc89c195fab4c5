"""The arguments of a chat's tool calls: found, and given the form that a template takes.

In     a ``Chat`` whose calls have arguments as objects or as JSON text.
Out    the arguments in order, or the chat with each of them changed.
Raises RecordError: arguments that are text but not JSON (see ``parse_json_text``).
"""

import json
from collections.abc import Callable
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.strict_json import parse_json_text


def arguments(chat: Chat) -> list[Any]:
    """The arguments of every call, in order."""
    calls = [call for m in chat.messages for call in m.get("tool_calls") or ()]
    return [call.get("function", call).get("arguments", {}) for call in calls]


def map_arguments(chat: Chat, change: Callable[[Any], Any]) -> Chat:
    """The chat with each call's arguments changed; what was given stays as it is."""
    messages = []
    for message in chat.messages:
        calls = []
        for call in message.get("tool_calls") or ():
            function = dict(call.get("function", call))
            if "arguments" in function:
                function["arguments"] = change(function["arguments"])
            calls.append({**call, "function": function} if "function" in call else function)
        messages.append({**message, "tool_calls": calls} if calls else message)
    return chat._replace(messages=messages)


def json_text(value: Any) -> str:
    """An object as JSON text."""
    return json.dumps(value, ensure_ascii=False)


def parsed_arguments(value: Any) -> Any:
    """The value of arguments given as JSON text; other arguments are returned unchanged."""
    if not isinstance(value, str):
        return value
    return parse_json_text(value, "a tool call's arguments field")
