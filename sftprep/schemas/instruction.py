"""The schema instruction: ``instruction`` and ``output``, as in the Alpaca data.

Optional fields: ``input``, ``system`` and ``history``, a list of [question, answer] pairs that come
before the instruction. The output may have another common name: see ``fields.OUTPUT_SYNONYMS``.
"""

from sftprep.data.conversation import Chat, Conversation, Record, Turn
from sftprep.schemas.chat_messages import chat_of_conversation
from sftprep.schemas.checks import optional_text, require_completion, require_text, wrong_type
from sftprep.schemas.fields import Fields
from sftprep.schemas.turns import EXCHANGE, SYSTEM

EXCHANGE_WITH_INPUT = (Turn("user", has_input=True), EXCHANGE[1])


def matches(record: Record, fields: Fields) -> bool:
    """Return whether a record has the fields of this schema."""
    return fields["instruction"] in record and output_field(record, fields) != ""


def output_field(record: Record, fields: Fields) -> str:
    """Return the name under which a record holds its output; "" if it has none."""
    for name in fields.outputs:
        if name in record:
            return name
    return ""


def to_conversation(record: Record, fields: Fields) -> Conversation:
    """Return the record as turns: the system prompt, the history, then the instruction."""
    turns: list[Turn] = []
    contents: list[str] = []
    if system := optional_text(record, fields["system"]):
        turns.append(SYSTEM)
        contents += system, ""
    for question, answer in _history(record, fields["history"]):
        turns += EXCHANGE
        contents += question, "", answer, ""
    instruction = require_text(record, fields["instruction"])
    extra = optional_text(record, fields["input"])
    name = output_field(record, fields) or fields["output"]
    output = require_text(record, name)
    require_completion(output, name)
    last = EXCHANGE_WITH_INPUT if extra else EXCHANGE
    return Conversation((*turns, *last), (*contents, instruction, extra, output, ""))


def to_chat(record: Record, fields: Fields) -> Chat:
    """Return the record as messages; the input follows the instruction on a new line."""
    return chat_of_conversation(to_conversation(record, fields))


def _history(record: Record, name: str) -> list[list[str]]:
    pairs = record.get(name)
    if pairs is None:
        return []
    if not isinstance(pairs, list):
        raise wrong_type(name, pairs, "a list of [question, answer] pairs")
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            raise wrong_type(f"{name}[{index}]", pair, "a pair of strings")
        require_completion(pair[1], f"{name}[{index}][1]")
    return pairs
