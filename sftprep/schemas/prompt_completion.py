"""The schema prompt-completion: ``prompt`` and ``completion``, both strings.

The prompt may be empty; the completion may not.
"""

from sftprep.data.conversation import Chat, Conversation, Record
from sftprep.schemas.chat_messages import chat_of_conversation
from sftprep.schemas.checks import require_completion, require_text
from sftprep.schemas.fields import Fields
from sftprep.schemas.turns import EXCHANGE


def matches(record: Record, fields: Fields) -> bool:
    """Return whether a record has the fields of this schema."""
    return fields["prompt"] in record and fields["completion"] in record


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record as one user turn and one assistant turn."""
    prompt = record.get(fields["prompt"])
    completion = record.get(fields["completion"])
    # There may be millions of records, so a good one has to pass only this one test.
    if type(prompt) is not str or type(completion) is not str or not completion:
        require_text(record, fields["prompt"])
        require_completion(require_text(record, fields["completion"]), fields["completion"])
    return Conversation(EXCHANGE, (prompt, "", completion, ""))  # type: ignore[arg-type]


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record as one user message and one assistant message."""
    return chat_of_conversation(to_conversation(record, fields))
