"""The record schemas by name: the values of ``--schema``."""

from collections.abc import Callable, Collection
from typing import Protocol

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas import instruction, messages, prompt_completion, sharegpt, text
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList


class Schema(Protocol):
    """What the module of a schema provides."""

    def turn_lists(self, record: Record, fields: Fields) -> list[TurnList]:
        """Return the lists of turns that a good record holds.

        Raises:
            RecordError: the record cannot be used.
        """
        ...

    def to_conversation(self, record: Record, fields: Fields) -> Conversation:
        """Return the record as built-in and YAML templates read it.

        Raises:
            RecordError: the record cannot be used, or needs a chat template.
        """
        ...

    def to_chat(self, record: Record, fields: Fields) -> Chat:
        """Return the record as a Jinja chat template reads it.

        Raises:
            RecordError: the record cannot be used.
        """
        ...


class ExchangeSchema(Schema, Protocol):
    """What the module of a schema with a prompt and a completion provides."""

    def conversation_reader(
        self, fields: Fields, keys: Collection[str]
    ) -> Callable[[Record], Conversation]:
        """Return what does the same as ``to_conversation`` for records with these keys."""
        ...


EXCHANGES: dict[str, ExchangeSchema] = {
    "instruction": instruction,
    "prompt-completion": prompt_completion,
}
"""The schemas of records with a prompt and a completion. Further fields of a record may hold an
input, a history and reasoning."""

SCHEMAS: dict[str, Schema] = {
    "messages": messages,
    "sharegpt": sharegpt,
    **EXCHANGES,
    "text": text,
}
"""All schemas. ``shapes`` says which of them a record has."""
