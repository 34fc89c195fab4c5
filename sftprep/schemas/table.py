"""The record schemas by name: the values of ``--schema``."""

from typing import Protocol

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas import instruction, messages, prompt_completion, sharegpt
from sftprep.schemas.fields import Fields


class Schema(Protocol):
    """What the module of a schema provides."""

    def matches(self, record: Record, fields: Fields) -> bool:
        """Return whether a record has the fields of this schema."""
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


SCHEMAS: dict[str, Schema] = {
    "messages": messages,
    "sharegpt": sharegpt,
    "instruction": instruction,
    "prompt-completion": prompt_completion,
}
"""All schemas. A record gets the first of them, in this order, that it matches."""
