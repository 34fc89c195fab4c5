"""Which schema a record has, and the system prompt of records without one."""

from typing import Any

import pytest
from dialogues import assistant, chat, conversation, normalize, refused, user

from sftprep.data.conversation import Record
from sftprep.errors import RecordError, UsageError
from sftprep.schemas.fields import SCHEMA_NAMES, Fields
from sftprep.schemas.normalizer import chat_normalizer, conversation_normalizer, detect_schema


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], ""),
        ([{"a": 1}, {"body": "b"}], ""),
        ([{"instruction": "a"}], ""),
        ([{"prompt": "a"}, {"prompt": "a", "completion": "b"}], "prompt-completion"),
        ([{"x": 1}, {"messages": []}, {"conversations": []}], "messages"),
        ([{"conversations": [], "messages": []}], "ambiguous"),
        ([{"conversations": [], "instruction": "", "output": ""}], "sharegpt"),
        ([{"instruction": "", "output": "", "prompt": "", "completion": ""}], "ambiguous"),
    ],
)
def test_detect(records: list[Record], expected: str) -> None:
    """The first record that fits a schema decides; if it fits several, the file is not read."""
    assert detect_schema(records, Fields()) == expected


RENAMED: list[tuple[str, dict[str, str], Record]] = [
    (
        "prompt-completion",
        {"prompt": "question", "completion": "output"},
        {"question": "a", "output": "b", "prompt": 1},
    ),
    (
        "instruction",
        {"instruction": "task", "output": "solution"},
        {"task": "a", "solution": "b", "output": 1, "response": 2},
    ),
    (
        "messages",
        {"messages": "dialogue", "role": "who", "content": "text"},
        {"dialogue": [{"who": "user", "text": "a"}, {"who": "assistant", "text": "b"}]},
    ),
    (
        "sharegpt",
        {"conversations": "turns", "from": "by", "value": "said"},
        {"turns": [{"by": "human", "said": "a"}, {"by": "gpt", "said": "b"}]},
    ),
]


@pytest.mark.parametrize(("schema", "renamed", "record"), RENAMED)
def test_renamed_fields(schema: str, renamed: dict[str, str], record: Record) -> None:
    """``--field`` names fields for detecting the schema and for reading, in both forms."""
    assert detect_schema([record], Fields(renamed)) == schema
    expected = conversation(("user", "a"), ("assistant", "b"))
    assert normalize(schema, record, **renamed) == expected
    made = chat(schema, record, **renamed)
    assert [(m["role"], m["content"]) for m in made.messages] == [("user", "a"), ("assistant", "b")]


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        ("prompt-completion", {"prompt": "a", "completion": "b"}),
        ("instruction", {"instruction": "a", "output": "b"}),
        ("instruction", {"instruction": "a", "output": "b", "system": ""}),
        ("messages", {"messages": [user("a"), assistant("b")]}),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        ),
    ],
)
def test_system_of_the_run(schema: str, record: Record) -> None:
    """``--system`` gives a system prompt to records without one, in both forms."""
    expected = conversation(("system", "run"), ("user", "a"), ("assistant", "b"))
    assert normalize(schema, record, system="run") == expected
    made = chat(schema, record, system="run")
    assert made.messages == [{"role": "system", "content": "run"}, user("a"), assistant("b")]
    assert made.train == (None, None, None)


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        ("instruction", {"instruction": "a", "output": "b", "system": "own"}),
        (
            "messages",
            {"messages": [{"role": "system", "content": "own"}, user("a"), assistant("b")]},
        ),
        (
            "sharegpt",
            {
                "system": "own",
                "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
            },
        ),
    ],
)
def test_own_system_wins(schema: str, record: Record) -> None:
    """A record's own system prompt is not replaced by ``--system``, in either form."""
    expected = conversation(("system", "own"), ("user", "a"), ("assistant", "b"))
    assert normalize(schema, record, system="run") == expected
    made = chat(schema, record, system="run")
    assert made.messages == [{"role": "system", "content": "own"}, user("a"), assistant("b")]


def test_a_developer_message_is_a_system_prompt() -> None:
    """A chat that begins with a developer message gets no system message from ``--system``."""
    messages = [{"role": "developer", "content": "d"}, user("a"), assistant("b")]
    assert chat("messages", {"messages": messages}, system="run").messages == messages


@pytest.mark.parametrize("as_chat", [False, True])
def test_no_messages_and_a_system_prompt(as_chat: bool) -> None:
    """An empty list of messages is refused, even if ``--system`` would add one."""
    with pytest.raises(RecordError) as caught:
        (chat if as_chat else normalize)("messages", {"messages": []}, system="run")
    assert caught.value.reason == "bad_turn_order"


@pytest.mark.parametrize("as_chat", [False, True])
@pytest.mark.parametrize(
    ("schema", "record", "found"),
    [
        ("prompt-completion", {"messages": [user("a"), assistant("b")]}, "messages"),
        ("instruction", {"conversations": []}, "sharegpt"),
        ("messages", {"prompt": "a", "completion": "b"}, "prompt-completion"),
        ("sharegpt", {"instruction": "a", "output": "b"}, "instruction"),
    ],
)
def test_record_of_another_schema(schema: str, record: Record, found: str, as_chat: bool) -> None:
    """A record that lacks a field and fits another schema is refused as one of that schema."""
    error = refused(schema, record, as_chat=as_chat)
    expected = f"the record's schema is {found}; expected {schema}, the schema of its file"
    assert (error.reason, error.problem) == ("schema_mismatch", expected)


@pytest.mark.parametrize("as_chat", [False, True])
@pytest.mark.parametrize(
    ("record", "found"),
    [({"body": "a", "\x1b[31m": 1}, "'body', '\\x1b[31m'"), ({}, "no fields")],
)
def test_no_known_schema(record: Record, found: str, as_chat: bool) -> None:
    """In a file without a known schema every record is refused, and its fields are listed."""
    error = refused("", record, as_chat=as_chat)
    expected = ("unknown_schema", f"no known schema has these fields: {found}")
    assert (error.reason, error.problem) == expected


@pytest.mark.parametrize(
    ("schema", "record", "cure"),
    [
        ("prompt-completion", {}, "Fix the record"),
        ("prompt-completion", {"messages": []}, "Put records of one schema into each file"),
        (
            "",
            {"question": "a"},
            "Map them with --field, e.g. --field prompt=question --field completion=answer",
        ),
        (
            "messages",
            {"messages": [user("a"), assistant("b")], "tools": [{"name": "f"}]},
            "Remove the field tools, or pass --template tokenizer",
        ),
    ],
)
def test_cure(schema: str, record: Record, cure: str) -> None:
    """An error says what to do."""
    assert refused(schema, record).cure == cure


@pytest.mark.parametrize("make", [conversation_normalizer, chat_normalizer])
def test_unknown_schema_name(make: Any) -> None:
    """A schema that does not exist is an error of the caller."""
    with pytest.raises(UsageError) as caught:
        make("chat", Fields())
    known = ", ".join(SCHEMA_NAMES)
    assert str(caught.value) == f"unknown schema 'chat'. Choose {known} or auto."
