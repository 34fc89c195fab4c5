"""The schema instruction: ``instruction`` and ``output``, as in the Alpaca data.

Optional fields: ``input`` or ``context``, and ``history``: see ``exchange``. The output may have
another common name: see ``fields.SYNONYMS``.
"""

from collections.abc import Callable, Collection

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.exchange import conversation_reader as reader_of_exchange
from sftprep.schemas.exchange import exchange_as_chat, exchange_as_conversation
from sftprep.schemas.exchange import turn_lists as lists_of_exchange
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList


def output_field(record: Record, fields: Fields) -> str:
    """Return the name under which a record holds its output; "" if it has none."""
    for name in fields.names("output"):
        if name in record:
            return name
    return ""


def turn_lists(record: Record, fields: Fields) -> list[TurnList]:
    """Return the lists of turns that a record holds."""
    return lists_of_exchange(record, fields, *_names(record, fields))


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record as turns: the history, then the instruction with its input."""
    return exchange_as_conversation(record, fields, *_names(record, fields))


def conversation_reader(fields: Fields, keys: Collection[str]) -> Callable[[Record], Conversation]:
    """Return what reads records with these keys; quicker than ``to_conversation``."""
    instruction, output = _names(dict.fromkeys(keys), fields)
    return reader_of_exchange(fields, instruction, output, keys)


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record as messages; the input follows the instruction on a new line."""
    return exchange_as_chat(record, fields, *_names(record, fields))


def _names(record: Record, fields: Fields) -> tuple[str, str]:
    return fields["instruction"], output_field(record, fields) or fields["output"]
