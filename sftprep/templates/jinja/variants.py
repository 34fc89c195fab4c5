"""The forms in which a chat can be given to a template, in the order in which they are tried.

In     a ``Chat``, as its schema read it.
Out    ``variants``: the same chat with its tool calls' arguments as objects and as JSON text, and
       with an empty text in place of a missing content. ``is_written_well``: whether a template
       wrote one of them as it was meant.
Keeps  everything else.

Records hold arguments as objects or as JSON text, and templates want the one or the other: some
write them with ``tojson``, others as text. A template that is given the wrong kind fails, or writes
an object as Python does (``{'a': 1}``), or a text with quotes and escapes. At inference, servers
parse the arguments before they give them to the template. So objects come first.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.strict_json import parse_json_text
from sftprep.templates.jinja.tracing import Rendering, Tracer


def variants(chat: Chat) -> Iterator[Chat]:
    """Yield the forms of a chat. A chat without tool calls has only one."""
    if not any(message.get("tool_calls") for message in chat.messages):
        yield chat
        return
    seen: list[Chat] = []
    for convert in (_as_object, _as_text):
        converted = _with_arguments(chat, convert)
        for content in (None, ""):
            variant = converted if content is None else _with_content(converted)
            if variant not in seen:
                seen.append(variant)
                yield variant


def is_written_well(tracer: Tracer, rendering: Rendering) -> bool:
    """Tell whether a template wrote a chat with tool calls as it was meant.

    It did not if it wrote an object as Python does, a missing content as ``None``, or the JSON text
    of arguments as a JSON string.
    """
    if tracer.as_python or tracer.nones:
        return False
    return not any(
        content.origin.options is not None and content.origin.path[-1] == "arguments"
        and content.origin.is_text
        for content in rendering.contents
    )  # fmt: skip


def _as_object(value: Any) -> Any:
    """Return arguments as an object; text that is not the JSON of an object stays as it is."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        parsed = parse_json_text(value, "arguments")
    except RecordError:
        return value
    return parsed if isinstance(parsed, dict) else value


def _as_text(value: Any) -> Any:
    """Return arguments as JSON text; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _with_arguments(chat: Chat, convert: Callable[[Any], Any]) -> Chat:
    """Return the chat with the arguments of each tool call converted."""
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


def _with_content(chat: Chat) -> Chat:
    """Return the chat with an empty content in each message with calls that has none."""
    messages = [
        {**message, "content": ""}
        if message.get("tool_calls") and message.get("content") is None
        else message
        for message in chat.messages
    ]
    return chat._replace(messages=messages)
