"""Build a ``Conversation``, for built-in and YAML templates.

Keeps  every text exactly as it is: nothing is trimmed and nothing is repaired.
Raises RecordError: ``unsupported_tools``, ``bad_turn_order``, ``conflicting_system``, and what
       ``checks``, ``content`` and ``flags`` raise.

Built-in and YAML templates take one optional system turn, then user and assistant turns in
alternation. They have no place for tools and for reasoning: a message with a tool call is refused,
and reasoning is listed in ``Conversation.omitted``.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sftprep.data.conversation import Conversation, Turn, content_slot
from sftprep.data.omitted import UNANSWERED
from sftprep.errors import RecordError
from sftprep.schemas.checks import (
    kept_turns,
    require,
    require_completion,
    require_last,
    require_role,
)
from sftprep.schemas.content import read_content
from sftprep.schemas.fields import LOSS_FLAGS, SYNONYMS, Fields
from sftprep.schemas.flags import train_flag
from sftprep.schemas.merging import different_flags, merged_text
from sftprep.schemas.roles import PLAIN_ROLES
from sftprep.schemas.turn_list import TurnList
from sftprep.text import shown

# Records share these objects: creating one per turn would take longer than reading the record.
TURNS = {
    (role, train): Turn(role, train=train)
    for role in ("system", "user", "assistant")
    for train in (None, True, False)
}
SYSTEM = TURNS["system", None]
EXCHANGE = (TURNS["user", None], TURNS["assistant", None])
REASONING = SYNONYMS["reasoning_content"]
CALLS = ("tool_calls", "function_call")
CHAT_TEMPLATE = "Pass --template tokenizer, or the .jinja file of a chat template"


class Places:
    """The places of turns in their record. Most records need none, so they are made when asked for.

    Args:
        lists: the lists of turns.
    """

    def __init__(self, lists: Sequence[TurnList]) -> None:
        self._lists = lists

    @cached_property
    def all(self) -> list[str]:
        """The place of each turn."""
        return [found.place(i) for found in self._lists for i in range(len(found.turns))]

    def __getitem__(self, turn: int) -> str:
        return self.all[turn]


def with_system(conversation: Conversation, system: str) -> Conversation:
    """Put a system turn first, unless the conversation already has one."""
    if conversation.turns[0].role == "system":
        return conversation
    return conversation._replace(
        turns=(SYSTEM, *conversation.turns), contents=(system, "", *conversation.contents)
    )


def own_system(conversation: Conversation) -> str | None:
    """Return the text of the system turn; None if there is none."""
    return conversation.contents[0] if conversation.turns[0].role == "system" else None


def conversation_of_turns(lists: Sequence[TurnList], fields: Fields) -> Conversation:
    """Build the conversation of a record that holds turns.

    Args:
        lists: the turns, in one list or in several that follow each other.
        fields: the names that the data uses for roles.
    """
    plain = fields.plain_roles
    turns: list[Turn] = []
    contents: list[str] = []
    omitted: tuple[str, ...] = ()
    for found in lists:
        for index, turn in enumerate(found.turns):
            if type(turn) is dict and len(turn) == 2:  # most turns have no more than role and text
                said, text = turn.get(found.role), turn.get(found.text)
                role = plain.get(said) if type(said) is str else None
                if role is not None and type(text) is str:
                    turns.append(TURNS[role, None])
                    contents += text, ""
                    continue
            role, text, train, reasoning = _read(turn, found, index, fields)
            turns.append(TURNS[role, train])
            contents += text, ""
            omitted = ("reasoning",) if reasoning else omitted
    places = Places(lists)
    if fields.merge_turns:
        _merge(turns, contents, places)
    if fields.cuts_end:
        kept = kept_turns([turn.role for turn in turns], fields.last_roles)
        omitted = (*omitted, UNANSWERED) if kept < len(turns) else omitted
        turns, contents = turns[:kept], contents[: 2 * kept]
    _check_order(turns, contents, places, lists[-1].name)
    require_last(lists[-1].name, turns[-1].role, fields.last_roles)
    return Conversation(tuple(turns), tuple(contents), omitted)


def _read(
    turn: Any, found: TurnList, index: int, fields: Fields
) -> tuple[str, str, bool | None, bool]:
    """Return a turn's role, its text, its flag, and whether it has reasoning.

    Args:
        turn: an entry of the list.
        found: the list.
        index: the entry's index.
        fields: the names that the data uses for roles.
    """
    where = found.place(index)
    said = require_role(turn, where, found.role, fields.roles)
    for name in CALLS:
        if turn.get(name) not in (None, "", [], {}):
            raise unsupported_tools(f"{where} has {name}")
    role = PLAIN_ROLES.get(said)
    if role is None:
        raise unsupported_tools(f"{where} has the role {shown(turn[found.role])}")
    content = read_content(require(turn, found.text, where), f"{where}.{found.text}")
    if content.calls:
        raise unsupported_tools(f"{where}.{found.text} has a tool call")
    if content.value is None:
        raise no_text(f"{where}.{found.text}")
    reasoning = bool(content.reasoning) or any(turn.get(name) for name in REASONING)
    flag = train_flag(turn, where) if turn.keys() & _FLAGS else None
    return role, content.text, flag, reasoning


_FLAGS = frozenset(LOSS_FLAGS)


def unsupported_tools(what: str, cure: str = CHAT_TEMPLATE) -> RecordError:
    """Return the error for a record with tools or calls, which only chat templates can write."""
    problem = f"{what}, which built-in and YAML templates cannot write"
    return RecordError("unsupported_tools", problem, cure)


def no_text(where: str) -> RecordError:
    """Return the error for a content that is null."""
    return RecordError("wrong_type", f"{where} is null; expected a string")


def _merge(turns: list[Turn], contents: list[str], places: Places) -> None:
    """Merge consecutive turns of one role, in place."""
    index = 1
    while index < len(turns):
        if turns[index].role != turns[index - 1].role:
            index += 1
            continue
        if turns[index].train is not turns[index - 1].train:
            raise different_flags(places[index - 1], places[index])
        slot = content_slot(index)
        contents[slot - 2] = merged_text(contents[slot - 2], contents[slot])
        del turns[index], contents[slot : slot + 2], places.all[index]


def _check_order(turns: list[Turn], contents: list[str], places: Places, name: str) -> None:
    """Require an optional system turn, then user and assistant in alternation."""
    if not turns:
        raise RecordError("bad_turn_order", f"{name} is empty; expected a list of messages")
    first = 1 if turns[0].role == "system" else 0
    for index, turn in enumerate(turns[first:], first):
        expected = "user" if (index - first) % 2 == 0 else "assistant"
        if turn.role != expected:
            raise _wrong_order(turns, places, index, expected)
        if expected == "assistant" and not contents[content_slot(index)]:
            require_completion("", places[index])


def _wrong_order(turns: list[Turn], places: Places, index: int, expected: str) -> RecordError:
    role = turns[index].role
    repeats = index > 0 and turns[index - 1].role == role
    return RecordError(
        "bad_turn_order",
        f"{places[index]} is {_a_message(role)}; expected {_a_message(expected)}",
        "Fix the record, or pass --merge-turns to join messages of one role"
        if repeats
        else "Fix the record, or pass --template tokenizer",
    )


def _a_message(role: str) -> str:
    return f"{'an' if role == 'assistant' else 'a'} {role} message"
