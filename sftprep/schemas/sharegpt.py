"""The schema sharegpt: ``conversations``, a list of objects with ``from`` and ``value``.

The record may hold a system prompt in ``system``. For chat templates, a ``function_call`` turn
(JSON text with name and arguments) becomes an assistant message with ``tool_calls``, and an
``observation`` turn becomes a ``tool`` message.
"""

from typing import Any

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.chat_messages import build_chat, check_tool_calls, with_system_message
from sftprep.schemas.checks import (
    optional_text,
    require_list,
    require_role,
    require_text,
    train_flag,
)
from sftprep.schemas.fields import Fields
from sftprep.schemas.turns import ROLES, conversation_of_turns, with_system
from sftprep.strict_json import parse_json_text

SPEAKERS = {"system": "system", "human": "user", "gpt": "assistant"} | ROLES
CHAT_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


def matches(record: Record, fields: Fields) -> bool:
    """Return whether a record has the fields of this schema."""
    return fields["conversations"] in record


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record's turns; a system turn among them overrides the field ``system``."""
    conversation = conversation_of_turns(
        record, fields["conversations"], fields["from"], fields["value"], SPEAKERS
    )
    system = optional_text(record, fields["system"])
    return with_system(conversation, system) if system else conversation


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record's turns as messages, with its tools."""
    name, text_field = fields["conversations"], fields["value"]
    messages: list[dict[str, Any]] = []
    train: list[bool | None] = []
    system = optional_text(record, fields["system"])
    for index, turn in enumerate(require_list(record, name)):
        where = f"{name}[{index}]"
        speaker = require_role(turn, where, fields["from"], CHAT_SPEAKERS)
        text = require_text(turn, text_field, where)
        messages.append(_message(speaker, text, f"{where}.{text_field}"))
        train.append(train_flag(turn, where))
    chat = build_chat(messages, train, record, name)
    return with_system_message(chat, system) if system else chat


def _message(speaker: str, text: str, where: str) -> dict[str, Any]:
    role = CHAT_SPEAKERS[speaker]
    if speaker != "function_call":
        return {"role": role, "content": text}
    value = parse_json_text(text, where)
    functions = value if isinstance(value, list) else [value]
    calls = [{"type": "function", "function": function} for function in functions]
    return {"role": role, "content": "", "tool_calls": check_tool_calls(calls, where)}
