"""Records with a list of messages, for built-in templates and for chat templates."""

from collections.abc import Callable
from typing import Any

import pytest
from dialogues import assistant, chat, conversation, normalize, refused, user

from sftprep.data.conversation import Conversation, Message, Record
from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import chat_normalizer, conversation_normalizer


def of(*turns: Any) -> Record:
    """Build a record with these messages."""
    return {"messages": list(turns)}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            {"messages": [user("a"), assistant("b"), user("c"), assistant("d")], "tools": []},
            conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")),
            id="messages",
        ),
        pytest.param(
            {"messages": [{"role": "system", "content": "s"}, user(""), assistant("b")]},
            conversation(("system", "s"), ("user", ""), ("assistant", "b")),
            id="messages-system-and-empty-user",
        ),
    ],
)
def test_conversation(record: Record, expected: Conversation) -> None:
    """A good record becomes its turns, with every text exactly as it is."""
    assert normalize("messages", record) == expected


FAULTS: list[tuple[Record, str, str]] = [
    (
        {"prompt": "a", "completion": "b"},
        "schema_mismatch",
        "the record's schema is prompt-completion; expected messages, the schema of its file",
    ),
    ({"body": "a"}, "missing_field", "the record has no field 'messages'; found 'body'"),
    ({"messages": "user: a"}, "wrong_type", "messages is 'user: a'; expected a list"),
    ({"messages": {}}, "wrong_type", "messages is an object with 0 fields; expected a list"),
    (of(), "bad_turn_order", "messages is empty; expected a list of messages"),
    (of(user("a"), "b"), "wrong_type", "messages[1] is 'b'; expected an object"),
    (
        of("a", user("b")),
        "wrong_type",
        "messages[1] is an object with 2 fields; expected a string, as the list's other entries",
    ),
    (
        of(user("a"), {"role": "assistant"}),
        "missing_field",
        "messages[1] has no field 'content'; found 'role'",
    ),
    (of({"content": "a"}), "missing_field", "messages[0] has no field 'role'; found 'content'"),
    (
        of(user("a"), {"role": "assistant", "content": None}),
        "wrong_type",
        "messages[1].content is null; expected a string",
    ),
    (of({"role": 1, "content": "a"}), "wrong_type", "messages[0].role is 1; expected a string"),
    (
        of(user("a"), {"role": "function", "content": "5"}),
        "unsupported_tools",
        "messages[1] has the role 'function', which built-in and YAML templates cannot write",
    ),
    (
        of({"role": "narrator", "content": "a"}),
        "unknown_role",
        "messages[0].role is 'narrator'; expected system, developer, user, assistant or tool",
    ),
    (
        of(user("a"), user("b"), assistant("c")),
        "bad_turn_order",
        "messages[1] is a user message; expected an assistant message",
    ),
    (
        of(assistant("a")),
        "bad_turn_order",
        "messages[0] is an assistant message; expected a user message",
    ),
    (
        of(user("a"), {"role": "system", "content": "s"}),
        "bad_turn_order",
        "messages[1] is a system message; expected an assistant message",
    ),
    (
        of(user("a"), assistant("b"), user("c")),
        "bad_turn_order",
        "messages ends with a user message; expected an assistant message to train on",
    ),
    (
        of({"role": "system", "content": "s"}),
        "bad_turn_order",
        "messages ends with a system message; expected an assistant message to train on",
    ),
    (
        of(user("a"), assistant("")),
        "empty_completion",
        "messages[1] is empty: there is nothing to train on",
    ),
    (
        of(user("a"), assistant(""), user("b"), assistant("c")),
        "empty_completion",
        "messages[1] is empty: there is nothing to train on",
    ),
    (
        of(user("a"), assistant("b", train="no")),
        "wrong_type",
        "messages[1].train is 'no'; expected true, false, 1 or 0",
    ),
    (
        of(user("a"), assistant("b", weight=0.5)),
        "wrong_type",
        "messages[1].weight is 0.5; expected 1 or 0: a token can be trained or not, but cannot "
        "have a weight",
    ),
    (
        of(user("a"), assistant("b", weight=[1])),
        "wrong_type",
        "messages[1].weight is a list of 1 item; expected true, false, 1 or 0",
    ),
    (
        of(user("a"), assistant("b", weight={})),
        "wrong_type",
        "messages[1].weight is an object with 0 fields; expected true, false, 1 or 0",
    ),
    (
        of(user("a"), assistant("b", train=True, weight=0)),
        "wrong_type",
        "messages[1] has train true and weight 0, which contradict each other",
    ),
    (
        {"messages": [user("a"), assistant("b")], "tools": [{"name": "f"}]},
        "unsupported_tools",
        "the record has tools, which built-in and YAML templates cannot write",
    ),
]
"""Each record with the reason for which it is refused, and the whole problem."""


@pytest.mark.parametrize(
    ("record", "reason", "problem"), [pytest.param(*fault, id=fault[2]) for fault in FAULTS]
)
def test_fault(record: Record, reason: str, problem: str) -> None:
    """A record that cannot be used is refused with a reason, its place and what was found."""
    error = refused("messages", record)
    assert (error.reason, error.problem) == (reason, problem)


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
    """A message's ``train`` or ``weight`` says whether it is trained, in both forms."""
    record = of(user("a"), assistant("b", **turn))
    assert normalize("messages", record).messages[1] == Message("assistant", "b", "", train)
    assert chat("messages", record).train == (None, train)


def test_a_long_value_is_shortened() -> None:
    """A message shows only the start of a long value."""
    error = refused("messages", {"messages": "x" * 1000})
    assert error.problem == "messages is '" + "x" * 78 + "…; expected a list"


# --- for chat templates -------------------------------------------------------------------------

USER = user("q")
ANSWER = assistant("a")
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
FUNCTION = {"name": "f", "parameters": {"type": "object"}}


def test_chat() -> None:
    """Text parts stay parts, keys without value are left out, reasoning gets both its names."""
    made = chat(
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]},
                {**ANSWER, "reasoning": "r", "name": None, "weight": 0},
            ],
            "tools": '[{"name": "f", "parameters": {"type": "object"}}]',
        },
    )
    assert made.messages == [
        {"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]},
        {**ANSWER, "reasoning": "r", "reasoning_content": "r", "thinking": "r"},
    ]
    assert (made.tools, made.train) == ([FUNCTION], (None, False))


def test_a_call_needs_no_content() -> None:
    """A message that only calls tools has no key ``content``."""
    message = {"role": "assistant", "tool_calls": [{**CALL, "id": None}]}
    made = chat("messages", of(USER, message))
    assert made.messages[1] == {"role": "assistant", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("turn", "reason", "problem"),
    [
        (
            {"role": "sir", "content": "x"},
            "unknown_role",
            "messages[0].role is 'sir'; expected system, developer, user, assistant or tool",
        ),
        ({"content": "x"}, "missing_field", "messages[0] has no field 'role'; found 'content'"),
        (
            {"role": None, "content": "x"},
            "wrong_type",
            "messages[0].role is null; expected a string",
        ),
        (5, "wrong_type", "messages[0] is 5; expected an object"),
        (
            {"role": "user", "content": 1},
            "wrong_type",
            "messages[0].content is 1; expected a string or a list of text parts",
        ),
        (
            {"role": "user", "content": {"text": "x"}},
            "wrong_type",
            "messages[0].content is an object with 1 field; expected a string or a list of text "
            "parts",
        ),
        (
            {"role": "user", "content": [{"type": "image"}]},
            "unsupported_content",
            "messages[0].content[0] is a part of type 'image'; only text can be tokenized",
        ),
        (
            {"role": "user", "content": None},
            "missing_field",
            "messages[0] has neither content nor tool_calls",
        ),
        (
            {"role": "assistant"},
            "missing_field",
            "messages[0] has neither content nor tool_calls",
        ),
        (
            {**ANSWER, "reasoning_content": 1},
            "wrong_type",
            "messages[0].reasoning_content is 1; expected a string",
        ),
        (
            {"role": "assistant", "tool_calls": {}},
            "wrong_type",
            "messages[0].tool_calls is an object with 0 fields; expected a list",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {}}]},
            "missing_field",
            "messages[0].tool_calls[0] has no function name",
        ),
        (
            {"role": "assistant", "tool_calls": ["f"]},
            "wrong_type",
            "messages[0].tool_calls[0] is 'f'; expected an object",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]},
            "wrong_type",
            "messages[0].tool_calls[0].arguments is 1; expected an object or JSON text",
        ),
    ],
)
def test_chat_fault(turn: Any, reason: str, problem: str) -> None:
    """Each defect of a message has its reason, and the message names the place."""
    error = refused("messages", of(turn, ANSWER), as_chat=True)
    assert (error.reason, error.problem) == (reason, problem)


def test_chat_without_messages() -> None:
    """A record of another kind is refused by its fields, a list of another type by its value."""
    missing = refused("messages", {"body": "a"}, as_chat=True)
    assert missing.reason == "missing_field"
    assert missing.problem == "the record has no field 'messages'; found 'body'"
    wrong = refused("messages", {"messages": "a"}, as_chat=True)
    assert (wrong.reason, wrong.problem) == ("wrong_type", "messages is 'a'; expected a list")


@pytest.mark.parametrize("make", [chat_normalizer, conversation_normalizer])
def test_a_trained_role_may_come_last(make: Callable[..., Any]) -> None:
    """If users are trained, a conversation may end with a user message as with an answer."""
    read = make("messages", Fields(last_roles=frozenset({"assistant", "user"})))
    longer = of(user("a"), assistant("b"), user("c"))
    assert read(longer).roles == ("user", "assistant", "user")
    assert read(of(user("a"), assistant("b"))).roles == ("user", "assistant")
    with pytest.raises(RecordError) as caught:
        read(of(user("a"), assistant("b"), {"role": "system", "content": "c"}))
    assert caught.value.problem in (
        "messages ends with a system message; expected an assistant or user message to train on",
        "messages[2] is a system message; expected a user message",
    )
