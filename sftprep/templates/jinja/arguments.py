"""The arguments of a chat's tool calls: found, and given the form that a template takes.

In     a ``Chat`` whose calls have arguments as objects or as JSON text.
Out    the arguments in order, or the chat with each of them changed.
Raises RecordError ``wrong_type``: text that is no JSON; or what ``parse`` refuses in JSON.
"""

import json
from collections.abc import Callable
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.strict_json import parse_value
from sftprep.text import shown


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


def json_value(text: str) -> Any:
    """What JSON text says."""
    try:
        return parse_value(text)
    except RecordError as error:
        if error.reason == "invalid_json":
            problem = f"a call's arguments are {shown(text)}; expected a JSON object"
            raise RecordError("wrong_type", problem) from error
        problem = f"a call's arguments are JSON text: {error.problem}"
        raise RecordError(error.reason, problem, error.cure) from error
