"""Short ways to write conversations and records in tests."""

from typing import Any

import pytest

from sftprep.data.conversation import Conversation, Message, Record
from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import chat_normalizer, conversation_normalizer


def conversation(*messages: tuple[Any, ...]) -> Conversation:
    """Build a conversation from (role, content, input, train) tuples."""
    return Conversation.of(*(Message(*message) for message in messages))


def user(content: str) -> Record:
    """Build a user message."""
    return {"role": "user", "content": content}


def assistant(content: str, **more: Any) -> Record:
    """Build an assistant message."""
    return {"role": "assistant", "content": content, **more}


def normalize(
    schema: str, record: Record, *, system: str | None = None, **renamed: str
) -> Conversation:
    """Return the record as a conversation."""
    return conversation_normalizer(schema, Fields(renamed), system).read(record)


def chat(schema: str, record: Record, *, system: str | None = None, **renamed: str) -> Any:
    """Return the record as a chat."""
    return chat_normalizer(schema, Fields(renamed), system).read(record)


def refused(schema: str, record: Record, *, as_chat: bool = False) -> RecordError:
    """Return the error with which a record is refused."""
    with pytest.raises(RecordError) as caught:
        (chat if as_chat else normalize)(schema, record)
    return caught.value
