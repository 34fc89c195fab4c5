"""normalize: every record schema becomes the same Conversation, and every fault is named."""

from typing import Any

import pytest

from sftprep.data.conversation import Conversation, Message, Record
from sftprep.errors import RecordError, UsageError
from sftprep.schemas.fields import Fields
from sftprep.schemas.plain import detect_schema, normalizer


def conversation(*messages: tuple[Any, ...]) -> Conversation:
    """A conversation of messages given as tuples."""
    return Conversation.of(*(Message(*message) for message in messages))


def user(content: str) -> Record:
    """A user's turn."""
    return {"role": "user", "content": content}


def assistant(content: str, **more: Any) -> Record:
    """An assistant's turn."""
    return {"role": "assistant", "content": content, **more}


def normalize(
    schema: str, record: Record, *, system: str | None = None, **renamed: str
) -> Conversation:
    """A record read with a schema."""
    return normalizer(schema, Fields(renamed), system)(record)


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "record", "expected"),
    [
        pytest.param(
            "prompt-completion",
            {"prompt": " <|USER|> a\n", "completion": " b ", "id": 7},
            conversation(("user", " <|USER|> a\n"), ("assistant", " b ")),
            id="prompt-completion",
        ),
        pytest.param(
            "prompt-completion",
            {"prompt": "", "completion": "b"},
            conversation(("user", ""), ("assistant", "b")),
            id="empty-prompt",
        ),
        pytest.param(
            "instruction",
            {"instruction": "a", "input": "", "output": "b"},
            conversation(("user", "a"), ("assistant", "b")),
            id="instruction-empty-input",
        ),
        pytest.param(
            "instruction",
            {"instruction": "a", "input": None, "output": "b", "system": None, "history": None},
            conversation(("user", "a"), ("assistant", "b")),
            id="instruction-nulls",
        ),
        pytest.param(
            "instruction",
            {
                "instruction": "a",
                "input": " x ",
                "output": "b",
                "system": "s",
                "history": [["q1", "a1"], ["q2", "a2"]],
            },
            conversation(
                ("system", "s"),
                ("user", "q1"),
                ("assistant", "a1"),
                ("user", "q2"),
                ("assistant", "a2"),
                ("user", "a", " x "),
                ("assistant", "b"),
            ),
            id="instruction-everything",
        ),
        pytest.param(
            "instruction",
            {"instruction": "a", "output": "b", "history": [], "system": ""},
            conversation(("user", "a"), ("assistant", "b")),
            id="instruction-empty-system-and-history",
        ),
        pytest.param(
            "messages",
            {"messages": [user("a"), assistant("b"), user("c"), assistant("d")], "tools": []},
            conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")),
            id="messages",
        ),
        pytest.param(
            "messages",
            {"messages": [{"role": "system", "content": "s"}, user(""), assistant("b")]},
            conversation(("system", "s"), ("user", ""), ("assistant", "b")),
            id="messages-system-and-empty-user",
        ),
        pytest.param(
            "sharegpt",
            {
                "conversations": [
                    {"from": "system", "value": "s"},
                    {"from": "human", "value": "a"},
                    {"from": "gpt", "value": "b"},
                    {"from": "user", "value": "c"},
                    {"from": "assistant", "value": "d"},
                ]
            },
            conversation(
                ("system", "s"),
                ("user", "a"),
                ("assistant", "b"),
                ("user", "c"),
                ("assistant", "d"),
            ),
            id="sharegpt",
        ),
        pytest.param(
            "sharegpt",
            {
                "system": "outside",
                "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
            },
            conversation(("system", "outside"), ("user", "a"), ("assistant", "b")),
            id="sharegpt-system-field",
        ),
        pytest.param(
            "sharegpt",
            {
                "system": "outside",
                "conversations": [
                    {"from": "system", "value": "inside"},
                    {"from": "human", "value": "a"},
                    {"from": "gpt", "value": "b"},
                ],
            },
            conversation(("system", "inside"), ("user", "a"), ("assistant", "b")),
            id="sharegpt-own-system-wins",
        ),
    ],
)
def test_schema(schema: str, record: Record, expected: Conversation) -> None:
    """A good record becomes its turns, with every text exactly as it stands."""
    assert expected == normalize(schema, record)
    assert schema == detect_schema([record], Fields())


@pytest.mark.parametrize("name", ["output", "response", "answer", "target"])
def test_output_synonyms(name: str) -> None:
    """The names that real sets give to the output are known."""
    record = {"instruction": "a", name: "b"}
    assert detect_schema([record], Fields()) == "instruction"
    assert conversation(("user", "a"), ("assistant", "b")) == normalize("instruction", record)


def test_output_wins_over_its_synonyms() -> None:
    """Where a record has two of the names, ``output`` is meant."""
    record = {"instruction": "a", "target": "x", "answer": "y", "output": "b"}
    assert normalize("instruction", record).messages[-1].content == "b"


@pytest.mark.parametrize(
    ("turn", "train"),
    [
        ({}, None),
        ({"train": None, "weight": None}, None),
        ({"train": True}, True),
        ({"train": False}, False),
        ({"weight": 0}, False),
        ({"weight": 1}, True),
        ({"weight": 1.0}, True),
        ({"train": False, "weight": 0}, False),
    ],
)
def test_train_and_weight(turn: Record, train: bool | None) -> None:
    """A message's own word on being trained is kept, in either form."""
    record = {"messages": [user("a"), assistant("b", **turn)]}
    assert Message("assistant", "b", "", train) == normalize("messages", record).messages[1]


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        ("prompt-completion", {"prompt": "a", "completion": "b"}),
        ("instruction", {"instruction": "a", "output": "b"}),
        ("instruction", {"instruction": "a", "output": "b", "system": ""}),
        ("messages", {"messages": [user("a"), assistant("b")]}),
    ],
)
def test_system_of_the_run(schema: str, record: Record) -> None:
    """The run's system prompt stands where a record has none."""
    expected = conversation(("system", "run"), ("user", "a"), ("assistant", "b"))
    assert expected == normalize(schema, record, system="run")


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        ("instruction", {"instruction": "a", "output": "b", "system": "own"}),
        (
            "messages",
            {"messages": [{"role": "system", "content": "own"}, user("a"), assistant("b")]},
        ),
    ],
)
def test_own_system_wins(schema: str, record: Record) -> None:
    """A record's own system prompt is not replaced by the run's."""
    expected = conversation(("system", "own"), ("user", "a"), ("assistant", "b"))
    assert expected == normalize(schema, record, system="run")


@pytest.mark.parametrize(
    ("schema", "renamed", "record"),
    [
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
    ],
)
def test_renamed_fields(schema: str, renamed: dict[str, str], record: Record) -> None:
    """``--field`` says what the data calls a field, for telling the schema and for reading."""
    expected = conversation(("user", "a"), ("assistant", "b"))
    assert schema == detect_schema([record], Fields(renamed))
    assert expected == normalize(schema, record, **renamed)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], ""),
        ([{"a": 1}, {"text": "b"}], ""),
        ([{"instruction": "a"}], ""),
        ([{"prompt": "a"}, {"prompt": "a", "completion": "b"}], "prompt-completion"),
        ([{"x": 1}, {"messages": []}, {"conversations": []}], "messages"),
        ([{"instruction": "", "output": "", "prompt": "", "completion": ""}], "instruction"),
    ],
)
def test_detect(records: list[Record], expected: str) -> None:
    """A file's schema is told by the first record that has one."""
    assert expected == detect_schema(records, Fields())


def test_unknown_schema_name() -> None:
    """A schema that does not exist is a fault of the caller."""
    with pytest.raises(UsageError) as caught:
        normalizer("chat", Fields())
    assert str(caught.value) == (
        "unknown schema 'chat'. Choose prompt-completion, instruction, messages, sharegpt or auto."
    )


# --- what is refused ----------------------------------------------------------------------------


def chat(*turns: Any) -> Record:
    """A record of messages."""
    return {"messages": list(turns)}


FAULTS: list[tuple[str, Record, str, str]] = [
    (
        "prompt-completion",
        {"prompt": "a"},
        "missing_field",
        "the record has no field 'completion'; found 'prompt'",
    ),
    ("prompt-completion", {}, "missing_field", "the record has no field 'prompt'; found nothing"),
    (
        "prompt-completion",
        {str(n): n for n in range(9)},
        "missing_field",
        "the record has no field 'prompt'; found '0', '1', '2', '3', '4', '5', '6', '7'",
    ),
    (
        "prompt-completion",
        {"prompt": None, "completion": "b"},
        "wrong_type",
        "prompt is null; expected a string",
    ),
    (
        "prompt-completion",
        {"prompt": "a", "completion": ["b"]},
        "wrong_type",
        "completion is a list of 1; expected a string",
    ),
    (
        "prompt-completion",
        {"prompt": "a", "completion": ""},
        "empty_completion",
        "completion is empty: there is nothing to train on",
    ),
    (
        "prompt-completion",
        chat(user("a"), assistant("b")),
        "schema_mismatch",
        "the record's schema is messages, its file's is prompt-completion",
    ),
    (
        "instruction",
        {"instruction": "a"},
        "missing_field",
        "the record has no field 'output'; found 'instruction'",
    ),
    (
        "instruction",
        {"output": "a"},
        "missing_field",
        "the record has no field 'instruction'; found 'output'",
    ),
    (
        "instruction",
        {"instruction": "a", "response": ""},
        "empty_completion",
        "response is empty: there is nothing to train on",
    ),
    (
        "instruction",
        {"instruction": "a", "answer": 5},
        "wrong_type",
        "answer is 5; expected a string",
    ),
    (
        "instruction",
        {"instruction": "a", "input": {"x": 1}, "output": "b"},
        "wrong_type",
        "input is an object of 1; expected a string",
    ),
    (
        "instruction",
        {"instruction": "a", "output": "b", "system": False},
        "wrong_type",
        "system is false; expected a string",
    ),
    (
        "instruction",
        {"instruction": "a", "output": "b", "history": "q"},
        "wrong_type",
        "history is 'q'; expected a list of [question, answer] pairs",
    ),
    (
        "instruction",
        {"instruction": "a", "output": "b", "history": [["q", "a"], ["q"]]},
        "wrong_type",
        "history[1] is a list of 1; expected a pair of strings",
    ),
    (
        "instruction",
        {"instruction": "a", "output": "b", "history": [["q", None]]},
        "wrong_type",
        "history[0] is a list of 2; expected a pair of strings",
    ),
    (
        "instruction",
        {"instruction": "a", "output": "b", "history": [["q", ""]]},
        "empty_completion",
        "history[0][1] is empty: there is nothing to train on",
    ),
    (
        "instruction",
        {"conversations": []},
        "schema_mismatch",
        "the record's schema is sharegpt, its file's is instruction",
    ),
    (
        "messages",
        {"prompt": "a", "completion": "b"},
        "schema_mismatch",
        "the record's schema is prompt-completion, its file's is messages",
    ),
    (
        "messages",
        {"text": "a"},
        "missing_field",
        "the record has no field 'messages'; found 'text'",
    ),
    (
        "messages",
        {"messages": "user: a"},
        "wrong_type",
        "messages is 'user: a'; expected a list",
    ),
    ("messages", {"messages": {}}, "wrong_type", "messages is an object of 0; expected a list"),
    ("messages", chat(), "bad_turn_order", "messages is empty"),
    ("messages", chat("a"), "wrong_type", "messages[0] is 'a'; expected an object"),
    (
        "messages",
        chat(user("a"), {"role": "assistant"}),
        "missing_field",
        "messages[1] has no field 'content'; found 'role'",
    ),
    (
        "messages",
        chat({"content": "a"}),
        "missing_field",
        "messages[0] has no field 'role'; found 'content'",
    ),
    (
        "messages",
        chat(user("a"), {"role": "assistant", "content": None}),
        "wrong_type",
        "messages[1].content is null; expected a string",
    ),
    (
        "messages",
        chat({"role": 1, "content": "a"}),
        "wrong_type",
        "messages[0].role is 1; expected a string",
    ),
    (
        "messages",
        chat(user("a"), {"role": "function", "content": "5"}),
        "unknown_role",
        "messages[1].role is 'function'; expected system, user or assistant",
    ),
    (
        "messages",
        chat({"role": "human", "content": "a"}),
        "unknown_role",
        "messages[0].role is 'human'; expected system, user or assistant",
    ),
    (
        "messages",
        chat(user("a"), user("b"), assistant("c")),
        "bad_turn_order",
        "messages[1] is a turn of the user; expected the assistant's",
    ),
    (
        "messages",
        chat(assistant("a")),
        "bad_turn_order",
        "messages[0] is a turn of the assistant; expected the user's",
    ),
    (
        "messages",
        chat(user("a"), {"role": "system", "content": "s"}),
        "bad_turn_order",
        "messages[1] is a turn of the system; expected the assistant's",
    ),
    (
        "messages",
        chat(user("a"), assistant("b"), user("c")),
        "bad_turn_order",
        "messages ends with a turn of the user; there is no answer to train on",
    ),
    (
        "messages",
        chat({"role": "system", "content": "s"}),
        "bad_turn_order",
        "messages ends with a turn of the system; there is no answer to train on",
    ),
    (
        "messages",
        chat(user("a"), assistant("")),
        "empty_completion",
        "messages[1] is empty: there is nothing to train on",
    ),
    (
        "messages",
        chat(user("a"), assistant(""), user("b"), assistant("c")),
        "empty_completion",
        "messages[1] is empty: there is nothing to train on",
    ),
    (
        "messages",
        chat(user("a"), assistant("b", train="no")),
        "wrong_type",
        "messages[1].train is 'no'; expected true or false",
    ),
    (
        "messages",
        chat(user("a"), assistant("b", weight=0.5)),
        "wrong_type",
        "messages[1].weight is 0.5; expected 0 or 1",
    ),
    (
        "messages",
        chat(user("a"), assistant("b", weight=True)),
        "wrong_type",
        "messages[1].weight is true; expected 0 or 1",
    ),
    (
        "messages",
        chat(user("a"), assistant("b", weight=[1])),
        "wrong_type",
        "messages[1].weight is a list of 1; expected 0 or 1",
    ),
    (
        "messages",
        chat(user("a"), assistant("b", weight={})),
        "wrong_type",
        "messages[1].weight is an object of 0; expected 0 or 1",
    ),
    (
        "messages",
        chat(user("a"), assistant("b", train=True, weight=0)),
        "wrong_type",
        "messages[1] has train true and weight 0",
    ),
    (
        "messages",
        {"messages": [user("a"), assistant("b")], "tools": [{"name": "f"}]},
        "unsupported_tools",
        "the record offers tools, and no built-in template has a place for them",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "tool", "value": "a"}]},
        "unknown_role",
        "conversations[0].from is 'tool'; expected system, human, gpt, user or assistant",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "gpt", "value": "a"}]},
        "bad_turn_order",
        "conversations[0] is a turn of the assistant; expected the user's",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "text": "a"}]},
        "missing_field",
        "conversations[0] has no field 'value'; found 'from', 'text'",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": ""}]},
        "empty_completion",
        "conversations[1] is empty: there is nothing to train on",
    ),
    (
        "",
        {"text": "a", "\x1b[31m": 1},
        "unknown_schema",
        "no known schema has these fields: 'text', '\\x1b[31m'",
    ),
    ("", {}, "unknown_schema", "no known schema has these fields: no fields"),
]
"""Schema, record, reason, and the whole of what is said."""


@pytest.mark.parametrize(
    ("schema", "record", "reason", "problem"),
    [pytest.param(*fault, id=f"{fault[0]}: {fault[3]}") for fault in FAULTS],
)
def test_fault(schema: str, record: Record, reason: str, problem: str) -> None:
    """A record that cannot be used is refused with its reason and all of what was found."""
    with pytest.raises(RecordError) as caught:
        normalize(schema, record)
    assert (reason, problem) == (caught.value.reason, caught.value.problem)


@pytest.mark.parametrize(
    ("schema", "record", "cure"),
    [
        ("prompt-completion", {}, "Fix the record"),
        ("prompt-completion", {"messages": []}, "Keep one schema in a file"),
        (
            "",
            {"question": "a"},
            "Map them with --field, e.g. --field prompt=question --field completion=answer",
        ),
        ("messages", {"messages": [], "tools": [1]}, "Remove the field tools"),
    ],
)
def test_cure(schema: str, record: Record, cure: str) -> None:
    """An error says what to do."""
    with pytest.raises(RecordError) as caught:
        normalize(schema, record)
    assert cure == caught.value.cure


def test_a_long_value_is_shown_short() -> None:
    """What was found is shown, but not a page of it."""
    with pytest.raises(RecordError) as caught:
        normalize("messages", {"messages": "x" * 1000})
    assert caught.value.problem == "messages is '" + "x" * 78 + "…; expected a list"
