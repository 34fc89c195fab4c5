"""The schema text: ``text`` alone, a whole text without turns. All of it is trained.

It is an assistant turn without a user turn. Only templates that write nothing around a turn but its
terminator take it, such as ``plain``.
"""

from typing import NoReturn

from sftprep.data.conversation import Conversation, Record
from sftprep.errors import RecordError
from sftprep.schemas.checks import require_completion, require_text
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList
from sftprep.schemas.turns import EXCHANGE


def turn_lists(record: Record, fields: Fields) -> list[TurnList]:
    """Return no list: the record has no turns."""
    return []


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record as one assistant turn."""
    text = require_text(record, fields["text"])
    require_completion(text, fields["text"])
    return Conversation(EXCHANGE[1:], (text, ""))


def to_chat(record: Record, fields: Fields) -> NoReturn:
    """Refuse the record.

    Raises:
        RecordError: ``unsupported_text``.
    """
    raise RecordError(
        "unsupported_text",
        f"the record has only {fields['text']}, a text without turns; a chat template writes turns",
        "Pass --template plain to train on the whole text, or name prompt and completion with "
        "--field",
    )
