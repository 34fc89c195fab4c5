"""The schema messages: ``messages``, a list of objects with ``role`` and ``content``.

The list may also hold texts that the user and the assistant say by turns, or entries with a
question and its answer: see ``turn_list``. For chat templates a message may hold content parts,
reasoning and tool calls.
"""

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.chat_messages import chat_of_turns
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList, turns_of_field
from sftprep.schemas.turns import conversation_of_turns

NAMES = ("messages", "role", "content")


def turn_lists(record: Record, fields: Fields) -> list[TurnList]:
    """Return the lists of turns that a record holds: one."""
    name, role, text = NAMES
    return [turns_of_field(record, fields[name], fields[role], fields[text], fields)]


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record's turns."""
    return conversation_of_turns(turn_lists(record, fields), fields)


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record's messages as a chat template reads them."""
    return chat_of_turns(turn_lists(record, fields), fields)
