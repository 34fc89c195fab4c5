"""The forms in which a chat can be given to a template, in the order in which they are tried.

In     a ``Chat``, as its schema read it.
Out    ``variants``: the same chat, and others that say the same: with its tool calls' arguments as
       objects and as JSON text, and with an empty text in place of a missing content.
       ``badly_written``: what of them a template did not write as it was meant.
Keeps  everything else.

Records hold arguments as objects or as JSON text, and templates want the one or the other: some
write them with ``tojson``, others as text. A template that is given the wrong kind fails, or writes
an object as Python does (``{'a': 1}``), or a text with quotes and escapes. At inference, servers
parse the arguments before they give them to the template. So objects come first.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.strict_json import parse_json_text
from sftprep.templates.jinja.traced_text import Path
from sftprep.templates.jinja.tracing import Rendering, Tracer

Convert = Callable[[Any], Any]
"""Returns a value in another form."""


def variants(chat: Chat) -> Iterable[Chat]:
    """Return the forms of a chat, the most likely first. A chat without calls has only one."""
    for message in chat.messages:
        if message.get("tool_calls"):
            return _variants(chat)
    return (chat,)


def _variants(chat: Chat) -> Iterator[Chat]:
    seen: list[Chat] = []
    for change_arguments in (_as_object, _as_text):
        for change_content in (_as_it_is, _as_empty):
            variant = _changed(chat, change_arguments, change_content)
            if variant not in seen:
                seen.append(variant)
                yield variant


def badly_written(chat: Chat, tracer: Tracer, rendering: Rendering) -> str:
    """Return what a template did not write as it was meant; "" if there is nothing.

    Returns:
        ``parts``: it wrote a list of content parts as Python does, or left a part out.
        ``call``: it wrote a call or its arguments as Python does, the JSON text of arguments as a
        JSON string, or a missing content beside a call as ``None``.
    """
    if any(path[:1] == ("messages",) and path[2:3] == ("content",) for path in tracer.as_python):
        return "parts"
    written = {content.origin.path[:4] for content in rendering.contents}
    if any(path not in written for path in _parts(chat)):
        return "parts"
    if any(path and path[-1] in ("arguments", "function") for path in tracer.as_python):
        return "call"
    no_content = (m.get("content") is None for m in chat.messages if m.get("tool_calls"))
    if tracer.nones and any(no_content):
        return "call"
    texts = (c.origin for c in rendering.contents if c.origin.options is not None)
    if any(origin.path[-1] == "arguments" and origin.is_text for origin in texts):
        return "call"
    return ""


def _parts(chat: Chat) -> Iterator[Path]:
    """Yield the paths of the content parts that hold more than white space."""
    for index, message in enumerate(chat.messages):
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and str(part.get("text", "")).strip():
                yield ("messages", index, "content", number)


def _as_it_is(value: Any) -> Any:
    return value


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


def _as_empty(content: Any) -> Any:
    """Return an empty text for a missing content."""
    return "" if content is None else content


def _changed(chat: Chat, change_arguments: Convert, change_content: Convert) -> Chat:
    """Return the chat with the arguments of each tool call and each content changed.

    Only messages with tool calls may have no content.
    """
    messages = []
    for message in chat.messages:
        changed = dict(message)
        calls = []
        for call in message.get("tool_calls") or ():
            function = dict(call.get("function", call))
            if "arguments" in function:
                function["arguments"] = change_arguments(function["arguments"])
            calls.append({**call, "function": function} if "function" in call else function)
        if calls:
            changed["tool_calls"] = calls
        if change_content is not _as_it_is and (calls or "content" in message):
            changed["content"] = change_content(message.get("content"))
        messages.append(changed)
    return chat._replace(messages=messages)
