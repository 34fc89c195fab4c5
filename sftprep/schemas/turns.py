"""Build a ``Conversation`` from a list of turns, for the schemas messages and sharegpt.

Keeps  every text exactly as it is: nothing is trimmed and nothing is repaired.
Raises RecordError: ``unsupported_tools``, ``bad_turn_order``, and what ``checks`` raises.

Built-in and YAML templates take one optional system turn, then user and assistant turns in
alternation, and have no place for tools.
"""

from collections.abc import Mapping

from sftprep.data.conversation import Conversation, Record, Turn, content_slot
from sftprep.errors import RecordError
from sftprep.schemas.checks import (
    missing_answer,
    require_completion,
    require_list,
    require_role,
    require_text,
    train_flag,
)

ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
# Records share these objects: creating one per turn would take longer than reading the record.
TURNS = {
    (role, train): Turn(role, train=train)
    for role in ROLES.values()
    for train in (None, True, False)
}
SYSTEM = TURNS["system", None]
EXCHANGE = (TURNS["user", None], TURNS["assistant", None])


def with_system(conversation: Conversation, system: str) -> Conversation:
    """Put a system turn first, unless the conversation already has one."""
    if conversation.turns[0].role == "system":
        return conversation
    return Conversation((SYSTEM, *conversation.turns), (system, "", *conversation.contents))


def conversation_of_turns(
    record: Record, name: str, role_field: str, text_field: str, roles: Mapping[str, str]
) -> Conversation:
    """Build the conversation of a record that holds a list of turns.

    Args:
        record: the record, which must not offer tools.
        name: the name of the list's field in the data.
        role_field: the name of the role's field in each turn.
        text_field: the name of the text's field in each turn.
        roles: maps each role as the data writes it to the role that it means.
    """
    if record.get("tools"):
        raise RecordError(
            "unsupported_tools",
            "the record offers tools, which built-in and YAML templates cannot render",
            "Remove the field tools, or pass --template tokenizer",
        )
    turns: list[Turn] = []
    contents: list[str] = []
    for index, turn in enumerate(require_list(record, name)):
        where = f"{name}[{index}]"
        role = require_role(turn, where, role_field, roles)
        contents += require_text(turn, text_field, where), ""
        turns.append(TURNS[roles[role], train_flag(turn, where)])
    _check_order(turns, contents, name)
    return Conversation(tuple(turns), tuple(contents))


def _check_order(turns: list[Turn], contents: list[str], name: str) -> None:
    """Require an optional system turn, then user and assistant in alternation, assistant last."""
    if not turns:
        raise RecordError("bad_turn_order", f"{name} is empty; expected a list of messages")
    first = 1 if turns[0].role == "system" else 0
    for index, turn in enumerate(turns[first:], first):
        expected = "user" if (index - first) % 2 == 0 else "assistant"
        if turn.role != expected:
            raise RecordError(
                "bad_turn_order",
                f"{name}[{index}] is {_a_message(turn.role)}; expected {_a_message(expected)}",
            )
        if expected == "assistant":
            require_completion(contents[content_slot(index)], f"{name}[{index}]")
    if turns[-1].role != "assistant":
        raise missing_answer(name, turns[-1].role)


def _a_message(role: str) -> str:
    return f"{'an' if role == 'assistant' else 'a'} {role} message"
