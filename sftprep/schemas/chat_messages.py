"""Build a ``Chat`` for a model's own chat template, in code that several schemas share.

Keeps  texts, parts of content, keys of messages and arguments as they are, including their order.
Never  passes loss flags on, or keys whose value is null (except ``content``): in data that was once
       a table, null only says that a key belongs to another row.
Raises RecordError: ``bad_turn_order``, ``bad_tool_call``, ``empty_completion``, ``missing_field``,
       ``wrong_type``, and what ``content``, ``tool_calls`` and ``flags`` raise.

The template itself decides which order of messages it accepts. This module checks only what sftprep
needs: the last message is an answer, and a tool result does not contradict the calls before it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.data.omitted import UNANSWERED
from sftprep.errors import RecordError
from sftprep.schemas.checks import (
    kept_turns,
    require_completion,
    require_last,
    require_role,
    wrong_type,
)
from sftprep.schemas.content import Content, read_content
from sftprep.schemas.fields import LOSS_FLAGS, SYNONYMS, Fields
from sftprep.schemas.flags import train_flag
from sftprep.schemas.merging import merged_messages
from sftprep.schemas.roles import CALL
from sftprep.schemas.tool_calls import read_call_text, read_calls, read_function_call
from sftprep.schemas.turn_list import TurnList
from sftprep.schemas.turns import Places
from sftprep.text import alternatives, shown

REASONING = SYNONYMS["reasoning_content"]
"""The names under which datasets hold an answer's reasoning."""


def chat_of_turns(lists: Sequence[TurnList], fields: Fields) -> Chat:
    """Return the chat of a record that holds turns.

    Args:
        lists: the turns, in one list or in several that follow each other.
        fields: the names that the data uses for roles.
    """
    messages: list[dict[str, Any]] = []
    train: list[bool | None] = []
    places: Places | list[str] = Places(lists)
    has_calls = False
    size = 0
    for found in lists:
        for index, turn in enumerate(found.turns):
            if type(turn) is dict and len(turn) == 2:  # most turns have no more than role and text
                said, text = turn.get(found.role), turn.get(found.text)
                plain = fields.roles.get(said) if type(said) is str else None
                if plain is not None and plain != CALL and type(text) is str:
                    messages.append({"role": plain, "content": text})
                    train.append(None)
                    size += len("rolecontent") + len(plain) + len(text)
                    continue
            where = found.place(index)
            role = require_role(turn, where, found.role, fields.roles)
            message = _message(turn, role, where, found)
            messages.append(message)
            train.append(train_flag(turn, where) if turn.keys() & _FLAGS else None)
            has_calls |= "tool_calls" in message
            size += size_of(message)
    if fields.merge_turns:
        messages, train, places = merged_messages(messages, train, Places(lists).all)
        size = size_of(messages)
    omitted: tuple[str, ...] = ()
    if fields.cuts_end:
        kept = kept_turns([message["role"] for message in messages], fields.last_roles)
        if kept < len(messages):
            messages, train, omitted = messages[:kept], train[:kept], (UNANSWERED,)
            size = size_of(messages)
    _check_messages(messages, places, lists[-1].name)
    require_last(lists[-1].name, messages[-1]["role"], fields.last_roles)
    if has_calls:
        _check_tool_results(messages, places)
    return Chat(messages, None, tuple(train), size, omitted)


_FLAGS = frozenset(LOSS_FLAGS)


def with_system_message(chat: Chat, system: str) -> Chat:
    """Return the chat with a system message in front of its other messages."""
    message = {"role": "system", "content": system}
    return chat._replace(
        messages=[message, *chat.messages],
        train=(None, *chat.train),
        size=chat.size + size_of(message),
    )


def with_reasoning(message: dict[str, Any], reasoning: str) -> dict[str, Any]:
    """Return a message with its reasoning under the names that templates read.

    Some templates read it under one of the two names, some under the other.
    """
    return {**message, "thinking": reasoning, "reasoning_content": reasoning}


def size_of(value: object) -> int:
    """Return roughly how many characters a value of a record has."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        size = sum(map(len, value))
        entries: Iterable[object] = value.values()
    elif isinstance(value, list):
        size, entries = 0, value
    else:
        return 8
    for entry in entries:
        size += len(entry) if type(entry) is str else size_of(entry)
    return size


def _message(turn: dict[str, Any], role: str, where: str, found: TurnList) -> dict[str, Any]:
    """Return a message with ``role``, ``content``, calls and reasoning, and all its other keys."""
    text = found.text
    if len(turn) == 2 and type(turn.get(text)) is str and role != CALL:
        return {"role": role, "content": turn[text]}
    content = read_content(turn.get(text), f"{where}.{text}")
    message: dict[str, Any] = {}
    for key, value in turn.items():
        if key == found.role:
            message["role"] = "assistant" if role == CALL else role
        elif key == text:
            message["content"] = content.value
        elif value is not None and key not in _FLAGS and key not in ("role", "content"):
            message[key] = value
    calls = _calls(turn, role, content, where, text)
    message.pop("function_call", None)
    message.pop("tool_calls", None)
    if calls:
        message["tool_calls"] = calls
        if role == CALL:
            message["content"] = ""
    elif message.get("content") is None:
        raise RecordError("missing_field", f"{where} has neither {text} nor tool_calls")
    reasoning = _reasoning(turn, content, where)
    return message if reasoning is None else with_reasoning(message, reasoning)


def _calls(
    turn: dict[str, Any], role: str, content: Content, where: str, text: str
) -> list[dict[str, Any]]:
    """Return the tool calls of a message, wherever it has them."""
    found: dict[str, list[dict[str, Any]]] = {}
    if turn.get("tool_calls") not in (None, []):
        found["tool_calls"] = read_calls(turn["tool_calls"], f"{where}.tool_calls")
    if turn.get("function_call") not in (None, {}):
        place = f"{where}.function_call"
        found["function_call"] = read_function_call(turn["function_call"], place)
    if content.calls:
        found[text] = read_calls(list(content.calls), f"{where}.{text}")
    if role == CALL:
        found[text] = read_call_text(content.text, f"{where}.{text}")
    if len(found) > 1:
        raise RecordError(
            "bad_tool_call",
            f"{where} has tool calls in {alternatives(found).replace(' or ', ' and ')}; expected "
            "them in one place",
        )
    return next(iter(found.values()), [])


def _reasoning(turn: dict[str, Any], content: Content, where: str) -> str | None:
    """Return the reasoning of a message, wherever it has it; None if it has none."""
    found: str | None = content.reasoning or None
    for name in REASONING:
        value = turn.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise wrong_type(f"{where}.{name}", value, "a string")
        if found and value and found != value:
            raise RecordError(
                "conflicting_reasoning",
                f"{where} has reasoning in two places, with different texts; one is {name}",
            )
        found = found or value
    return found


def _check_messages(messages: list[dict[str, Any]], places: Places | list[str], name: str) -> None:
    """Require that there are messages, and that no answer is empty."""
    if not messages:
        raise RecordError("bad_turn_order", f"{name} is empty; expected a list of messages")
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and "tool_calls" not in message:
            content = message["content"]
            if isinstance(content, list):
                content = "".join(part["text"] for part in content)
            if not content:
                require_completion(message.get("reasoning_content", ""), places[index])


def _check_tool_results(messages: list[dict[str, Any]], places: Places | list[str]) -> None:
    """Refuse a tool's result that names none of the calls before it."""
    call_ids: list[Any] = []  # of the last assistant message
    for index, message in enumerate(messages):
        role, answered = message["role"], message.get("tool_call_id")
        if role == "assistant":
            ids = [call.get("id") for call in message.get("tool_calls", ())]
            call_ids = [call_id for call_id in ids if call_id is not None]
            if any(call_ids.count(call_id) > 1 for call_id in call_ids):
                raise RecordError(
                    "bad_tool_call", f"{places[index]} has two tool calls with the same id"
                )
        elif role == "tool" and call_ids and answered is not None and answered not in call_ids:
            raise RecordError(
                "bad_tool_call",
                f"{places[index]}.tool_call_id is {shown(answered)}; expected the id of a call "
                f"before it: {alternatives(map(shown, call_ids))}",
            )
