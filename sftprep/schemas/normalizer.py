"""Choose a record's schema and turn the record into a ``Conversation`` or a ``Chat``.

In     a record: a dict as parsed.
Out    a ``Conversation`` for built-in and YAML templates: at most one system turn, first; then user
       and assistant turns in alternation, ending with an assistant turn. A ``Chat`` for Jinja chat
       templates.
Keeps  every text exactly as it is: nothing is trimmed and nothing is repaired.
Raises RecordError: ``unknown_schema``, ``schema_mismatch``, or what the schema's module raises.
"""

from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.errors import RecordError, UsageError
from sftprep.schemas.chat_messages import with_system_message
from sftprep.schemas.checks import found_fields
from sftprep.schemas.fields import SCHEMA_NAMES, Fields
from sftprep.schemas.table import SCHEMAS, Schema
from sftprep.schemas.turns import with_system
from sftprep.text import shown

D = TypeVar("D", Conversation, Chat)


def detect_schema(records: Iterable[Record], fields: Fields) -> str:
    """Return a file's schema: that of the first record that fits any schema; "" if none fits."""
    for record in records:
        if schema := schema_of(record, fields):
            return schema
    return ""


def schema_of(record: Record, fields: Fields) -> str:
    """Return the name of the schema whose fields a record has; "" if there is none.

    >>> schema_of({"instruction": "a", "response": "b"}, Fields())
    'instruction'
    """
    for name, schema in SCHEMAS.items():
        if schema.matches(record, fields):
            return name
    return ""


def conversation_normalizer(
    schema: str, fields: Fields, system: str | None = None
) -> Callable[[Record], Conversation]:
    """Return the function that turns records of a schema into conversations.

    Args:
        schema: a key of ``SCHEMAS``; or "" for a file whose schema could not be detected: then
            every record is refused.
        fields: the names that the records use for the canonical fields.
        system: the system prompt for records without one; None to add none.
    """
    read = _schema(schema).to_conversation if schema else _refuse
    return _normalizer(read, schema, fields, system, with_system)


def chat_normalizer(
    schema: str, fields: Fields, system: str | None = None
) -> Callable[[Record], Chat]:
    """Return the function that turns records of a schema into chats.

    The arguments are those of ``conversation_normalizer``.
    """
    read = _schema(schema).to_chat if schema else _refuse
    return _normalizer(read, schema, fields, system, _with_system_unless_it_has_one)


def _normalizer(
    read: Callable[[Record, Fields], D],
    schema: str,
    fields: Fields,
    system: str | None,
    add_system: Callable[[D, str], D],
) -> Callable[[Record], D]:
    def normalize(record: Record) -> D:
        try:
            dialogue = read(record, fields)
        except RecordError as error:
            if error.reason == "missing_field":
                raise _mismatch(record, schema, fields) or error from None
            raise
        return dialogue if system is None else add_system(dialogue, system)

    return normalize


def _schema(name: str) -> Schema:
    if name not in SCHEMAS:
        raise UsageError(f"unknown schema {shown(name)}. Choose {', '.join(SCHEMA_NAMES)} or auto.")
    return SCHEMAS[name]


def _refuse(record: Record, fields: Fields) -> NoReturn:
    """Refuse a record of a file in which no record so far fits a schema."""
    raise RecordError(
        "unknown_schema",
        f"no known schema has these fields: {found_fields(record) or 'no fields'}",
        "Map them with --field, e.g. --field prompt=question --field completion=answer",
    )


def _mismatch(record: Record, schema: str, fields: Fields) -> RecordError | None:
    """Return the error for a record that fits another schema; None if it fits no other."""
    found = schema_of(record, fields)
    if found in {"", schema}:
        return None
    return RecordError(
        "schema_mismatch",
        f"the record's schema is {found}; expected {schema}, the schema of its file",
        "Put records of one schema into each file",
    )


def _with_system_unless_it_has_one(chat: Chat, system: str) -> Chat:
    if chat.messages[0]["role"] in ("system", "developer"):
        return chat
    return with_system_message(chat, system)
