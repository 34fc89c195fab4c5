"""Record schemas -> Conversation.

In     a dict as it was parsed.
Out    a ``Conversation``: at most one system turn, first; then user and assistant in turn; the last
       turn is the assistant's and not empty.
Keeps  every text exactly as it stands: nothing is trimmed, nothing is repaired.
Raises RecordError: another file's schema, a field that is missing or of the wrong type, an unknown
       role, a bad order of turns, an empty completion.

Schemas (``--schema``), each told by the fields it must have:
    prompt-completion  prompt, completion
    instruction        instruction, output (or response, answer, target); input, system, history
    messages           messages: a list of {role, content, train?, weight?}; tools are refused
    sharegpt           conversations: a list of {from, value}; system
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from sftprep.data.conversation import Conversation, Record, Turn
from sftprep.errors import RecordError, UsageError
from sftprep.schemas.fields import Fields
from sftprep.text import choices, shown

Normalizer = Callable[[Record], Conversation]

ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
SHAREGPT_ROLES = {"system": "system", "human": "user", "gpt": "assistant"} | ROLES
TURNS = {
    (role, train): Turn(role, train=train)
    for role in ROLES.values()
    for train in (None, True, False)
}
SYSTEM = TURNS["system", None]
EXCHANGE = (TURNS["user", None], TURNS["assistant", None])
EXCHANGE_WITH_INPUT = (Turn("user", has_input=True), EXCHANGE[1])


def detect_schema(records: Iterable[Record], fields: Fields) -> str:
    """The schema of a file, by the first of its records that has one; "" where none has."""
    for record in records:
        if schema := schema_of(record, fields):
            return schema
    return ""


def schema_of(record: Record, fields: Fields) -> str:
    """The schema whose fields a record has.

    >>> schema_of({"instruction": "a", "response": "b"}, Fields())
    'instruction'
    """
    if fields["messages"] in record:
        return "messages"
    if fields["conversations"] in record:
        return "sharegpt"
    if fields["instruction"] in record and output_field(record, fields):
        return "instruction"
    if fields["prompt"] in record and fields["completion"] in record:
        return "prompt-completion"
    return ""


def output_field(record: Record, fields: Fields) -> str:
    """What an instruction record calls its output; "" where it has none."""
    for name in fields.outputs:
        if name in record:
            return name
    return ""


def normalizer(schema: str, fields: Fields, system: str | None = None) -> Normalizer:
    """The function that turns this schema's records into conversations.

    Args:
        schema: one of ``SCHEMAS``, or "" where none could be told: then every record is refused.
        fields: the records' names for the canonical fields.
        system: the system prompt of records that have none of their own.
    """
    read = SCHEMAS.get(schema)
    if read is None and schema:
        raise UsageError(f"unknown schema {shown(schema)}. Choose {', '.join(SCHEMAS)} or auto.")

    def normalize(record: Record) -> Conversation:
        if read is None:
            raise _no_schema(record)
        try:
            conversation = read(record, fields)
        except RecordError as error:
            raise other_schema(error, record, schema, fields) from None
        if system is not None and conversation.turns[0].role != "system":
            return _with_system(conversation, system)
        return conversation

    return normalize


def _with_system(conversation: Conversation, system: str) -> Conversation:
    """The conversation with a system turn in front."""
    return Conversation((SYSTEM, *conversation.turns), (system, "", *conversation.contents))


def other_schema(error: RecordError, record: Record, schema: str, fields: Fields) -> RecordError:
    """What is said of a record that lacks a field: that it is of another schema, if so."""
    other = schema_of(record, fields)
    if error.reason != "missing_field" or other in {"", schema}:
        return error
    return RecordError(
        "schema_mismatch",
        f"the record's schema is {other}, its file's is {schema}",
        "Keep one schema in a file",
    )


def _no_schema(record: Record) -> RecordError:
    found = ", ".join(map(shown, list(record)[:8])) or "no fields"
    return RecordError(
        "unknown_schema",
        f"no known schema has these fields: {found}",
        "Map them with --field, e.g. --field prompt=question --field completion=answer",
    )


def _prompt_completion(record: Record, fields: Fields) -> Conversation:
    prompt = record.get(fields["prompt"])
    completion = record.get(fields["completion"])
    if type(prompt) is not str or type(completion) is not str or not completion:
        require_text(record, fields["prompt"])
        _check_completion(require_text(record, fields["completion"]), fields["completion"])
    return Conversation(EXCHANGE, (prompt, "", completion, ""))  # type: ignore[arg-type]


def _instruction(record: Record, fields: Fields) -> Conversation:
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
    _check_completion(output, name)
    last = EXCHANGE_WITH_INPUT if extra else EXCHANGE
    return Conversation((*turns, *last), (*contents, instruction, extra, output, ""))


def _history(record: Record, name: str) -> list[list[str]]:
    pairs = record.get(name)
    if pairs is None:
        return []
    if not isinstance(pairs, list):
        raise wrong_type(name, pairs, "a list of [question, answer] pairs")
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list) or [type(x) for x in pair] != [str, str]:
            raise wrong_type(f"{name}[{index}]", pair, "a pair of strings")
        _check_completion(pair[1], f"{name}[{index}][1]")
    return pairs


def _messages(record: Record, fields: Fields) -> Conversation:
    return _of_turns(record, fields["messages"], fields["role"], fields["content"], ROLES)


def _sharegpt(record: Record, fields: Fields) -> Conversation:
    found = _of_turns(
        record, fields["conversations"], fields["from"], fields["value"], SHAREGPT_ROLES
    )
    system = optional_text(record, fields["system"])
    return _with_system(found, system) if system and found.turns[0].role != "system" else found


def _of_turns(
    record: Record, name: str, role_field: str, field: str, roles: Mapping[str, str]
) -> Conversation:
    """A record that holds a list of turns."""
    _refuse_tools(record)
    turns: list[Turn] = []
    contents: list[str] = []
    for index, turn in enumerate(require_list(record, name)):
        where = f"{name}[{index}]"
        role = require_role(turn, where, role_field, roles)
        contents += require_text(turn, field, where), ""
        turns.append(TURNS[roles[role], train_flag(turn, where)])
    _check_turns(turns, contents, name)
    return Conversation(tuple(turns), tuple(contents))


SCHEMAS: dict[str, Callable[[Record, Fields], Conversation]] = {
    "prompt-completion": _prompt_completion,
    "instruction": _instruction,
    "messages": _messages,
    "sharegpt": _sharegpt,
}


def require_role(turn: object, where: str, field: str, roles: Collection[str]) -> str:
    """The role of a turn, which must be an object and its role one of these."""
    if not isinstance(turn, dict):
        raise wrong_type(where, turn, "an object")
    role = require_text(turn, field, where)
    if role not in roles:
        raise RecordError(
            "unknown_role", f"{where}.{field} is {shown(role)}; expected {choices(roles)}"
        )
    return role


def train_flag(turn: Record, where: str) -> bool | None:
    """The record's own word on whether a turn is trained: ``train`` or ``weight``."""
    train = turn.get("train")
    if train is not None and not isinstance(train, bool):
        raise wrong_type(f"{where}.train", train, "true or false")
    weight = turn.get("weight")
    if weight is None:
        return train
    if not isinstance(weight, int | float) or isinstance(weight, bool) or weight not in {0, 1}:
        raise wrong_type(f"{where}.weight", weight, "0 or 1")
    if train is not None and train != bool(weight):
        raise RecordError(
            "wrong_type", f"{where} has train {shown(train)} and weight {shown(weight)}"
        )
    return bool(weight)


def _check_turns(turns: list[Turn], contents: list[str], name: str) -> None:
    """An optional system turn first, then user and assistant in turn, the assistant last."""
    if not turns:
        raise RecordError("bad_turn_order", f"{name} is empty")
    first = 1 if turns[0].role == "system" else 0
    for index, turn in enumerate(turns[first:], first):
        expected = "user" if (index - first) % 2 == 0 else "assistant"
        if turn.role != expected:
            raise RecordError(
                "bad_turn_order",
                f"{name}[{index}] is a turn of the {turn.role}; expected the {expected}'s",
            )
        if turn.role == "assistant":
            _check_completion(contents[2 * index], f"{name}[{index}]")
    if turns[-1].role != "assistant":
        raise RecordError(
            "bad_turn_order",
            f"{name} ends with a turn of the {turns[-1].role}; there is no answer to train on",
        )


def _refuse_tools(record: Record) -> None:
    if record.get("tools"):
        raise RecordError(
            "unsupported_tools",
            "the record offers tools, and no built-in template has a place for them",
            "Remove the field tools",
        )


def _check_completion(text: str, where: str) -> None:
    if not text:
        raise RecordError("empty_completion", f"{where} is empty: there is nothing to train on")


def require_list(record: Record, name: str) -> list[Any]:
    """A field that must be a list."""
    value = _present(record, name, "")
    if not isinstance(value, list):
        raise wrong_type(name, value, "a list")
    return value


def require_text(record: Record, name: str, where: str = "") -> str:
    """A field that must be a string; ``where`` says what the record is, if it is a part."""
    value = record.get(name)
    if type(value) is str:
        return value
    value = _present(record, name, where)
    raise wrong_type(f"{where}.{name}" if where else name, value, "a string")


def optional_text(record: Record, name: str) -> str:
    """A field that may be left out or null, and must be a string otherwise."""
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong_type(name, value, "a string")
    return value


def _present(record: Record, name: str, where: str) -> object:
    if name not in record:
        place = f"{where} has" if where else "the record has"
        found = ", ".join(map(shown, list(record)[:8])) or "nothing"
        raise RecordError("missing_field", f"{place} no field {shown(name)}; found {found}")
    return record[name]


def wrong_type(where: str, value: object, expected: str) -> RecordError:
    """The error for a value of another type than expected."""
    return RecordError("wrong_type", f"{where} is {shown(value)}; expected {expected}")
