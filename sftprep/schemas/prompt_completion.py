"""The schema prompt-completion: ``prompt`` and ``completion``, two texts or two lists of messages.

A prompt that is a text may be empty; a completion may not. Optional fields: ``input`` or
``context``, and ``history``: see ``exchange``.
"""

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.exchange import exchange_as_chat, exchange_as_conversation
from sftprep.schemas.exchange import turn_lists as lists_of_exchange
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList
from sftprep.schemas.turns import EXCHANGE


def turn_lists(record: Record, fields: Fields) -> list[TurnList]:
    """Return the lists of turns that a record holds."""
    return lists_of_exchange(record, fields, fields["prompt"], fields["completion"])


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record as one user turn and one assistant turn, or as the turns that it lists."""
    return exchange_as_conversation(record, fields, fields["prompt"], fields["completion"])


def two_texts(record: Record, fields: Fields) -> Conversation:
    """Return a record that has no other field which is read; quicker than ``to_conversation``."""
    prompt = record.get(fields["prompt"])
    completion = record.get(fields["completion"])
    # There may be millions of records, so a good one has to pass only this one test.
    if type(prompt) is str and type(completion) is str and completion:
        return Conversation(EXCHANGE, (prompt, "", completion, ""))
    return to_conversation(record, fields)


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record as one user message and one assistant message, or as it lists them."""
    return exchange_as_chat(record, fields, fields["prompt"], fields["completion"])
