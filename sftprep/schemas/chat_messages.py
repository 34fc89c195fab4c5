"""Build a ``Chat`` for a model's own chat template, in code that several schemas share.

Keeps  texts, tool schemas and arguments as they are, including the order of keys.
Raises RecordError: ``bad_turn_order``, ``bad_tool_call``, ``empty_completion``, ``missing_field``,
       ``wrong_type``, or what ``strict_json`` finds in JSON text.

The template itself decides which order of messages it accepts. This module checks only what sftprep
needs: the last message is an answer, and each tool result can belong to a call.
"""

from collections.abc import Sequence
from typing import Any

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.errors import RecordError
from sftprep.schemas.checks import missing_answer, require_completion, wrong_type
from sftprep.strict_json import parse_json_text
from sftprep.text import alternatives, shown


def chat_of_conversation(conversation: Conversation) -> Chat:
    """Return a conversation as a chat without tools; an input follows its content on a new line."""
    messages = [
        {"role": m.role, "content": f"{m.content}\n{m.input}" if m.input else m.content}
        for m in conversation.messages
    ]
    return Chat(messages, None, tuple(m.train for m in conversation.messages), _size(messages))


def build_chat(
    messages: list[dict[str, Any]], train: Sequence[bool | None], record: Record, name: str
) -> Chat:
    """Check messages and add the record's tools.

    Args:
        messages: the messages with ``role`` and ``content`` or ``tool_calls``.
        train: the training flag of each message.
        record: the record, which may have a field ``tools``.
        name: the name of the field that holds the messages in the data.
    """
    _check_messages(messages, name)
    _check_tool_results(messages, name)
    tools = _tools(record.get("tools"))
    return Chat(messages, tools, tuple(train), _size(messages) + _size(tools))


def with_system_message(chat: Chat, system: str) -> Chat:
    """Return the chat with a system message in front of its other messages."""
    message = {"role": "system", "content": system}
    return Chat(
        [message, *chat.messages], chat.tools, (None, *chat.train), chat.size + _size(message)
    )


def check_tool_calls(value: object, where: str) -> list[dict[str, Any]]:
    """Check a message's tool calls; return them without the keys whose value is null."""
    if not isinstance(value, list):
        raise wrong_type(where, value, "a list")
    calls = []
    for index, call in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(call, dict):
            raise wrong_type(place, call, "an object")
        function = call.get("function", call)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RecordError("missing_field", f"{place} has no function name")
        if not isinstance(function.get("arguments", {}), dict | str):
            raise wrong_type(f"{place}.arguments", function["arguments"], "an object or JSON text")
        calls.append({k: v for k, v in call.items() if v is not None})
    return calls


def _tools(value: object) -> list[Any] | None:
    """Return tools, each as ``{"type": "function", "function": ...}``; None if there are none."""
    if isinstance(value, str):
        value = parse_json_text(value, "tools") if value.strip() else None
    if value is None or value in ([], {}):
        return None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise wrong_type("tools", value, "a list of objects, or such a list as JSON text")
    return [
        tool if "function" in tool or "name" not in tool else {"type": "function", "function": tool}
        for tool in value
    ]


def _check_messages(messages: list[dict[str, Any]], name: str) -> None:
    """Require that the last message is the assistant's, and that no answer is empty."""
    if not messages:
        raise RecordError("bad_turn_order", f"{name} is empty; expected a list of messages")
    if messages[-1]["role"] != "assistant":
        raise missing_answer(name, messages[-1]["role"])
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and not message.get("tool_calls"):
            text = message["content"] or message.get("reasoning_content", "")
            require_completion(text, f"{name}[{index}]")


def _check_tool_results(messages: list[dict[str, Any]], name: str) -> None:
    """Require that a tool's result follows an assistant message and names one of its calls."""
    call_ids: list[Any] = []  # of the last assistant message
    previous = ""
    for index, message in enumerate(messages):
        role, answered = message["role"], message.get("tool_call_id")
        if role == "assistant":
            ids = [call.get("id") for call in message.get("tool_calls") or ()]
            call_ids = [call_id for call_id in ids if call_id is not None]
            if any(call_ids.count(call_id) > 1 for call_id in call_ids):
                raise RecordError(
                    "bad_tool_call", f"{name}[{index}] has two tool calls with the same id"
                )
        elif role == "tool":
            if previous not in ("assistant", "tool"):
                raise RecordError(
                    "bad_turn_order",
                    f"{name}[{index}] is a tool message; expected an assistant message before it",
                )
            if call_ids and answered is not None and answered not in call_ids:
                raise RecordError(
                    "bad_tool_call",
                    f"{name}[{index}].tool_call_id is {shown(answered)}; expected the id of a call "
                    f"before it: {alternatives(map(shown, call_ids))}",
                )
        previous = role


def _size(value: object) -> int:
    """Return roughly how many characters a value of a record has."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _size(entry) for key, entry in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return 8
