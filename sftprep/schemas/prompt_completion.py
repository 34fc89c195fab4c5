"""The schema prompt-completion: ``prompt`` and ``completion``, two texts or two lists of messages.

A prompt that is a text may be empty; a completion may not. Optional fields: ``input`` or
``context``, and ``history``: see ``exchange``.
"""

from collections.abc import Callable, Collection

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.exchange import conversation_reader as reader_of_exchange
from sftprep.schemas.exchange import exchange_as_chat, exchange_as_conversation
from sftprep.schemas.exchange import turn_lists as lists_of_exchange
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList


def turn_lists(record: Record, fields: Fields) -> list[TurnList]:
    """Return the lists of turns that a record holds."""
    return lists_of_exchange(record, fields, fields["prompt"], fields["completion"])


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record as one user turn and one assistant turn, or as the turns that it lists."""
    return exchange_as_conversation(record, fields, fields["prompt"], fields["completion"])


def conversation_reader(fields: Fields, keys: Collection[str]) -> Callable[[Record], Conversation]:
    """Return what reads records with these keys; quicker than ``to_conversation``."""
    return reader_of_exchange(fields, fields["prompt"], fields["completion"], keys)


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record as one user message and one assistant message, or as it lists them."""
    return exchange_as_chat(record, fields, fields["prompt"], fields["completion"])
