"""Record schemas -> Chat, for models' own chat templates.

In     a dict as it was parsed, of any schema that ``normalize`` knows, tools and all.
Out    a ``Chat``: messages with ``role``, ``content`` (text), and whatever else they have, and the
       tools. Keys without a value are left out, as transformers does.
Keeps  texts as they are; tool schemas and arguments as they are, key order and all.
Raises RecordError: a wrong type, an unknown role, content that is not text, a tool call without a
       name, no answer to train on.

ShareGPT sets write ``function_call`` (a JSON object with name and arguments) and ``observation``:
they become an assistant's ``tool_calls`` and a ``tool`` message. ``tools`` may be JSON text.
"""

from collections.abc import Callable
from typing import Any

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.plain import (
    normalizer,
    optional_text,
    other_schema,
    require_list,
    require_role,
    require_text,
    train_flag,
    wrong_type,
)
from sftprep.strict_json import parse_json_text
from sftprep.text import shown

ROLES = ("system", "developer", "user", "assistant", "tool")
SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}
REASONING = ("reasoning_content", "thinking", "reasoning")
OUR_KEYS = ("train", "weight")


def chat_normalizer(
    schema: str, fields: Fields, system: str | None = None
) -> Callable[[Record], Chat]:
    """The function that turns this schema's records into chats; arguments as ``normalizer``'s."""
    plain = normalizer(schema, fields, system)
    read = {"messages": _messages, "sharegpt": _sharegpt}.get(schema)

    def normalize(record: Record) -> Chat:
        if read is None:
            return _of_conversation(plain(record))
        try:
            messages, train = read(record, fields)
        except RecordError as error:
            raise other_schema(error, record, schema, fields) from None
        if system is not None and messages[0]["role"] not in ("system", "developer"):
            messages.insert(0, {"role": "system", "content": system})
            train.insert(0, None)
        _check(messages)
        tools = _tools(record.get("tools"))
        return Chat(messages, tools, tuple(train), _size(messages) + _size(tools))

    return normalize


def _of_conversation(conversation: Conversation) -> Chat:
    messages = [
        {"role": m.role, "content": f"{m.content}\n{m.input}" if m.input else m.content}
        for m in conversation.messages
    ]
    return Chat(messages, None, tuple(m.train for m in conversation.messages), _size(messages))


def _size(value: object) -> int:
    """About how many characters a record's part has."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _size(entry) for key, entry in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return 8


def _messages(record: Record, fields: Fields) -> tuple[list[dict[str, Any]], list[bool | None]]:
    name = fields["messages"]
    messages, train = [], []
    for index, turn in enumerate(require_list(record, name)):
        where = f"{name}[{index}]"
        role = require_role(turn, where, fields["role"], ROLES)
        messages.append(_message(turn, role, where, fields["content"]))
        train.append(train_flag(turn, where))
    return messages, train


def _message(turn: dict[str, Any], role: str, where: str, content_field: str) -> dict[str, Any]:
    message = {k: v for k, v in turn.items() if v is not None and k not in OUR_KEYS}
    message.pop(content_field, None)
    message["role"] = role
    content = _content(turn.get(content_field), f"{where}.{content_field}")
    if content is not None:
        message["content"] = content
    reasoning = next((turn[key] for key in REASONING if turn.get(key) is not None), None)
    if reasoning is not None:
        if not isinstance(reasoning, str):
            raise wrong_type(f"{where}.reasoning_content", reasoning, "a string")
        message |= {"thinking": reasoning, "reasoning_content": reasoning}
    if turn.get("tool_calls") is not None:
        message["tool_calls"] = _tool_calls(turn["tool_calls"], f"{where}.tool_calls")
    if "content" not in message and not message.get("tool_calls"):
        raise RecordError("missing_field", f"{where} has neither {content_field} nor tool_calls")
    return message


def _content(value: object, where: str) -> str | None:
    """Text, or parts that are all text, joined."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong_type(where, value, "a string or a list of text parts")
    texts = []
    for index, part in enumerate(value):
        kind = part.get("type", "text") if isinstance(part, dict) else None
        text = part.get("text", part.get("value")) if isinstance(part, dict) else None
        if kind != "text" or not isinstance(text, str):
            raise RecordError(
                "unsupported_content",
                f"{where}[{index}] is a part of type {shown(kind)}; only text can be tokenized",
                "Leave such records out",
            )
        texts.append(text)
    return "".join(texts)


def _tool_calls(value: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise wrong_type(where, value, "a list")
    calls = []
    for index, call in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(call, dict):
            raise wrong_type(place, call, "an object")
        function = call.get("function", call)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RecordError("missing_field", f"{place} names no function")
        if not isinstance(function.get("arguments", {}), dict | str):
            raise wrong_type(f"{place}.arguments", function["arguments"], "an object or JSON text")
        calls.append({k: v for k, v in call.items() if v is not None})
    return calls


def _sharegpt(record: Record, fields: Fields) -> tuple[list[dict[str, Any]], list[bool | None]]:
    name, role_field, field = fields["conversations"], fields["from"], fields["value"]
    messages: list[dict[str, Any]] = []
    train: list[bool | None] = []
    if system := optional_text(record, fields["system"]):
        messages.append({"role": "system", "content": system})
        train.append(None)
    for index, turn in enumerate(require_list(record, name)):
        where = f"{name}[{index}]"
        speaker = require_role(turn, where, role_field, SHAREGPT_ROLES)
        text = require_text(turn, field, where)
        message: dict[str, Any] = {"role": SHAREGPT_ROLES[speaker], "content": text}
        if speaker == "function_call":
            calls = _calls_of(text, f"{where}.{field}")
            message = {"role": "assistant", "content": "", "tool_calls": calls}
        messages.append(message)
        train.append(train_flag(turn, where))
    return messages, train


def _calls_of(text: str, where: str) -> list[dict[str, Any]]:
    """The calls that a ``function_call`` turn writes as JSON: one object, or a list of them."""
    value = parse_json_text(text, where)
    functions = value if isinstance(value, list) else [value]
    return _tool_calls([{"type": "function", "function": f} for f in functions], where)


def _tools(value: object) -> list[Any] | None:
    """The tools, each as ``{"type": "function", "function": ...}``; None where there are none."""
    if isinstance(value, str):
        value = parse_json_text(value, "tools") if value.strip() else None
    if value is None or value in ([], {}):
        return None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise wrong_type("tools", value, "a list of objects, or JSON text of one")
    return [
        tool if "function" in tool or "name" not in tool else {"type": "function", "function": tool}
        for tool in value
    ]


def _check(messages: list[dict[str, Any]]) -> None:
    """There is an answer, and it comes last; the template itself judges the order of the rest."""
    if not messages:
        raise RecordError("bad_turn_order", "the record has no messages")
    if messages[-1]["role"] != "assistant":
        raise RecordError(
            "bad_turn_order",
            f"the record ends with a turn of the {messages[-1]['role']}; there is no answer to "
            "train on",
        )
    for index, message in enumerate(messages):
        wanted = message["role"] == "assistant" and not message.get("tool_calls")
        if wanted and not (message["content"] or message.get("reasoning_content")):
            raise RecordError(
                "empty_completion", f"messages[{index}] is empty: there is nothing to train on"
            )
    _check_results(messages)


def _check_results(messages: list[dict[str, Any]]) -> None:
    """A tool's result follows a turn that can have called it, and the call that it names."""
    asked: list[Any] = []  # the ids of the last turn's calls
    before = ""
    for index, message in enumerate(messages):
        role, answered = message["role"], message.get("tool_call_id")
        if role == "assistant":
            ids = [call.get("id") for call in message.get("tool_calls") or ()]
            asked = [name for name in ids if name is not None]
            if any(asked.count(name) > 1 for name in asked):
                problem = f"messages[{index}] has two tool calls with one id"
                raise RecordError("bad_tool_call", problem)
        elif role == "tool":
            if before not in ("assistant", "tool"):
                raise RecordError(
                    "bad_turn_order",
                    f"messages[{index}] is a tool's result; expected the assistant's turn before "
                    "it",
                )
            if asked and answered is not None and answered not in asked:
                raise RecordError(
                    "bad_tool_call",
                    f"messages[{index}].tool_call_id is {shown(answered)}; the calls before it "
                    f"are {', '.join(map(shown, asked))}",
                )
        before = role
