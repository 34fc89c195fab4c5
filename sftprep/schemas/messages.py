"""The schema messages: ``messages``, a list of objects with ``role`` and ``content``.

A message may say in ``train`` or ``weight`` whether it is trained. For chat templates it may also
hold content parts, reasoning and tool calls, and the record may offer ``tools``.
"""

from typing import Any

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.errors import RecordError
from sftprep.schemas.chat_messages import build_chat, check_tool_calls
from sftprep.schemas.checks import require_list, require_role, train_flag, wrong_type
from sftprep.schemas.fields import Fields
from sftprep.schemas.turns import ROLES, conversation_of_turns
from sftprep.text import shown

CHAT_ROLES = ("system", "developer", "user", "assistant", "tool")
REASONING = ("reasoning_content", "thinking", "reasoning")
"""The names under which datasets hold an answer's reasoning; the first that has a value counts."""
FLAGS = ("train", "weight")
"""The keys that are meant for sftprep. A chat template does not see them."""


def matches(record: Record, fields: Fields) -> bool:
    """Return whether a record has the fields of this schema."""
    return fields["messages"] in record


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record's turns: roles system, user and assistant, with text content."""
    return conversation_of_turns(
        record, fields["messages"], fields["role"], fields["content"], ROLES
    )


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record's messages as a chat template reads them, with its tools."""
    name = fields["messages"]
    messages: list[dict[str, Any]] = []
    train: list[bool | None] = []
    for index, turn in enumerate(require_list(record, name)):
        where = f"{name}[{index}]"
        role = require_role(turn, where, fields["role"], CHAT_ROLES)
        messages.append(_message(turn, role, where, fields["content"]))
        train.append(train_flag(turn, where))
    return build_chat(messages, train, record, name)


def _message(turn: Record, role: str, where: str, content_field: str) -> dict[str, Any]:
    """Return a message with ``role``, ``content`` and all other keys that are not null."""
    message = {k: v for k, v in turn.items() if v is not None and k not in FLAGS}
    message.pop(content_field, None)
    message["role"] = role
    content = _content(turn.get(content_field), f"{where}.{content_field}")
    if content is not None:
        message["content"] = content
    reasoning = next((turn[key] for key in REASONING if turn.get(key) is not None), None)
    if reasoning is not None:
        if not isinstance(reasoning, str):
            raise wrong_type(f"{where}.reasoning_content", reasoning, "a string")
        # Some templates read it under one of these names, some under the other.
        message |= {"thinking": reasoning, "reasoning_content": reasoning}
    if turn.get("tool_calls") is not None:
        message["tool_calls"] = check_tool_calls(turn["tool_calls"], f"{where}.tool_calls")
    if "content" not in message and not message.get("tool_calls"):
        raise RecordError("missing_field", f"{where} has neither {content_field} nor tool_calls")
    return message


def _content(value: object, where: str) -> str | None:
    """Return a message's text unchanged, or its text parts joined; None if it has no text."""
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
                "Remove records with such parts",
            )
        texts.append(text)
    return "".join(texts)
