"""What a record may have beside its turns: a system prompt, tools, arguments, flags, and the like.

In     a record, its ``Conversation`` or ``Chat``, and which of its fields are of this kind.
Out    the dialogue with all of them; what a kind of template cannot take is refused, or listed in
       ``Dialogue.omitted``.
Never  leaves out a field that has a meaning. Fields without a meaning are counted: see ``ignored``.
Raises RecordError: ``conflicting_system``, ``conflicting_fields``, ``unsupported_tools``,
       ``unsupported_arguments``, ``unsupported_content``, ``preference_data``, ``wrong_type``,
       ``nothing_to_train`` for a record whose own flag says that it is not trained, and what
       ``flags`` and ``tool_calls`` raise.
"""

from collections.abc import Collection
from typing import Any

from sftprep.data.batch import DropReason
from sftprep.data.conversation import Chat, Conversation, Dialogue, Record
from sftprep.errors import RecordError
from sftprep.schemas.chat_messages import size_of, with_reasoning, with_system_message
from sftprep.schemas.checks import wrong_type
from sftprep.schemas.fields import Fields
from sftprep.schemas.flags import train_flag
from sftprep.schemas.one_of import is_empty, one_of
from sftprep.schemas.tool_calls import read_tools
from sftprep.schemas.turns import own_system, unsupported_tools, with_system
from sftprep.strict_json import parse_json_text
from sftprep.text import shown

ARGUMENTS = "chat_template_kwargs"
"""The field that holds arguments for the chat template."""
SINGLE_ARGUMENTS = ("enable_thinking", "reasoning_effort", "thinking_budget")
"""Fields that hold one argument for the chat template each."""
SWITCH = "thinking"
"""The same if it is true or false; a text in this field is reasoning."""
SET_FOR_EACH_RECORD = ("messages", "tools", "add_generation_prompt")
MEDIA = (
    "images",
    "image",
    "image_url",
    "image_path",
    "videos",
    "video",
    "audios",
    "audio",
)
"""Fields that hold pictures and sound."""
LABELS = ("label", "kto_tag")
"""Fields that say of preference data whether an answer is a good one, if their value is a bool."""

CANONICAL = ("system", "tools", "reasoning_content", "train")
FIXED = frozenset((ARGUMENTS, *SINGLE_ARGUMENTS, SWITCH, *MEDIA, *LABELS))


def extra_fields(fields: Fields) -> frozenset[str]:
    """Return the names of all fields that this module reads."""
    return FIXED.union(*(fields.names(name) for name in CANONICAL))


def refuse_unreadable(record: Record, fields: Fields, special: Collection[str]) -> None:
    """Refuse a record that is not plain instruction data.

    Args:
        record: the record.
        fields: the names that the data uses.
        special: which of ``extra_fields`` the record has.
    """
    for name in special:
        if name in MEDIA and not is_empty(record[name]):
            raise RecordError(
                "unsupported_content",
                f"{name} is {shown(record[name])}; only text can be tokenized",
                "Remove records with images, video or sound",
            )
        if name in LABELS and isinstance(record[name], bool) and name != fields["train"]:
            raise RecordError(
                "preference_data",
                f"{name} is {shown(record[name])}: this is preference data, with good and bad "
                "answers",
                f"Pass --field train={name} to train on the good ones only",
            )


def refuse_untrained(
    dialogue: Dialogue, record: Record, fields: Fields, special: Collection[str]
) -> None:
    """Refuse a record whose own flag says that it is not trained."""
    names = [name for name in fields.names("train") if name in special]
    if train_flag(record, "", names) is not False:
        return
    if True in dialogue.train:
        raise RecordError(
            "wrong_type",
            "the record's flag says that it is not trained, the flag of one of its messages that "
            "it is",
        )
    raise RecordError(DropReason.NOTHING_TO_TRAIN.value, "the record's flag says: not trained")


def conversation_with(
    conversation: Conversation, record: Record, fields: Fields, reasoning: Collection[str]
) -> Conversation:
    """Return a conversation with what the record has beside its turns.

    Args:
        conversation: the turns.
        record: the record.
        fields: the names that the data uses.
        reasoning: the fields of the record that may hold the reasoning of the last answer.
    """
    tools = _tools(record, fields)
    if tools is not None and tools[1]:
        raise unsupported_tools(
            f"the record has {tools[0]}",
            f"Remove the field {tools[0]}, or pass --template tokenizer",
        )
    if arguments := _arguments(record):
        raise RecordError(
            "unsupported_arguments",
            f"the record sets {', '.join(arguments)} for a chat template; built-in and YAML "
            "templates take no arguments",
            "Remove the field, or pass --template tokenizer",
        )
    if _reasoning(record, names=reasoning):
        conversation = conversation._replace(omitted=("reasoning",))
    if system := _system(record, fields, own_system(conversation)):
        return with_system(conversation, system)
    return conversation


def chat_with(chat: Chat, record: Record, fields: Fields, reasoning: Collection[str]) -> Chat:
    """Return a chat with what the record has beside its messages.

    The arguments are those of ``conversation_with``.
    """
    if (tools := _tools(record, fields)) is not None:
        chat = chat._replace(tools=tools[1], size=chat.size + size_of(tools[1]))
    if arguments := _arguments(record):
        chat = chat._replace(arguments=tuple(sorted(arguments.items())))
        chat = chat._replace(size=chat.size + size_of(arguments))
    if text := _reasoning(record, names=reasoning):
        last = with_reasoning(chat.messages[-1], text)
        chat = chat._replace(messages=[*chat.messages[:-1], last], size=chat.size + 2 * len(text))
    first = chat.messages[0]
    own = first["content"] if first["role"] == "system" else None
    system = _system(record, fields, own)
    return with_system_message(chat, system) if system and own is None else chat


def _system(record: Record, fields: Fields, own: Any) -> str:
    """Return the system prompt that a field of the record holds; "" if there is none.

    Args:
        record: the record.
        fields: the names that the data uses.
        own: the content of the system message among the record's messages; None if it has none.
    """
    found = one_of(record, fields.names("system"))
    if found is None:
        return ""
    if not isinstance(found.value, str):
        raise wrong_type(found.name, found.value, "a string")
    if own not in (None, found.value):
        raise RecordError(
            "conflicting_system",
            f"{found.name} and the first message are two different system prompts",
            "Remove one of them",
        )
    return found.value


def _tools(record: Record, fields: Fields) -> tuple[str, list[Any]] | None:
    """Return the name of the field that holds tools, and the tools; None if there is none."""
    given = [(name, read_tools(record.get(name), name)) for name in fields.names("tools")]
    found = [(name, tools) for name, tools in given if tools is not None]
    full = [(name, tools) for name, tools in found if tools]
    if len(full) > 1:
        raise RecordError(
            "conflicting_fields",
            f"the record has {full[0][0]} and {full[1][0]}; expected one of them",
            "Remove one of them",
        )
    return next(iter(full or found), None)


def _arguments(record: Record) -> dict[str, Any]:
    """Return the arguments that a record gives to the chat template, without null ones."""
    value = record.get(ARGUMENTS)
    if isinstance(value, str):
        value = parse_json_text(value, ARGUMENTS) if value.strip() else None
    if value is not None and not isinstance(value, dict):
        raise wrong_type(ARGUMENTS, value, "an object, or an object as JSON text")
    arguments = {name: entry for name, entry in (value or {}).items() if entry is not None}
    for name in SET_FOR_EACH_RECORD:
        if name in arguments:
            raise RecordError(
                "wrong_type",
                f"{ARGUMENTS} has {name}, which is no argument; expected a field of the record",
            )
    for name in (*SINGLE_ARGUMENTS, SWITCH):
        given = record.get(name)
        if given is None or (name == SWITCH and not isinstance(given, bool)):
            continue
        if arguments.get(name, given) != given:
            raise RecordError(
                "conflicting_fields", f"{name} and {ARGUMENTS}.{name} have different values"
            )
        arguments[name] = given
    return arguments


def _reasoning(record: Record, names: Collection[str]) -> str:
    """Return the reasoning that stands beside a prompt and a completion; "" if there is none."""
    found = one_of(record, [name for name in names if not isinstance(record[name], bool)])
    if found is None:
        return ""
    if not isinstance(found.value, str):
        raise wrong_type(found.name, found.value, "a string")
    return found.value
