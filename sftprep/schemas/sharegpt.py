"""The schema sharegpt: ``conversations``, a list of objects with ``from`` and ``value``.

For chat templates, a ``function_call`` turn (JSON text with name and arguments) becomes an
assistant message with ``tool_calls``, and an ``observation`` turn becomes a ``tool`` message.
"""

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.chat_messages import chat_of_turns
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList, turns_of_field
from sftprep.schemas.turns import conversation_of_turns

NAMES = ("conversations", "from", "value")


def turn_lists(record: Record, fields: Fields) -> list[TurnList]:
    """Return the lists of turns that a record holds: one."""
    name, role, text = NAMES
    return [turns_of_field(record, fields[name], fields[role], fields[text], fields)]


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record's turns."""
    return conversation_of_turns(turn_lists(record, fields), fields)


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record's turns as messages."""
    return chat_of_turns(turn_lists(record, fields), fields)
