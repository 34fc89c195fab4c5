"""Records with a list of conversations, in ShareGPT's form."""

import pytest
from dialogues import assistant, chat, conversation, normalize, refused, user

from sftprep.data.conversation import Conversation, Record


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
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
            {
                "system": "outside",
                "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
            },
            conversation(("system", "outside"), ("user", "a"), ("assistant", "b")),
            id="sharegpt-system-field",
        ),
        pytest.param(
            {
                "system": "s",
                "conversations": [
                    {"from": "system", "value": "s"},
                    {"from": "human", "value": "a"},
                    {"from": "gpt", "value": "b"},
                ],
            },
            conversation(("system", "s"), ("user", "a"), ("assistant", "b")),
            id="sharegpt-the-same-system-prompt-twice",
        ),
    ],
)
def test_conversation(record: Record, expected: Conversation) -> None:
    """A good record becomes its turns, with every text exactly as it is."""
    assert normalize("sharegpt", record) == expected


FAULTS: list[tuple[Record, str, str]] = [
    (
        {
            "system": "outside",
            "conversations": [
                {"from": "system", "value": "inside"},
                {"from": "human", "value": "a"},
                {"from": "gpt", "value": "b"},
            ],
        },
        "conflicting_system",
        "system and the first message are two different system prompts",
    ),
    (
        {"conversations": [{"from": "tool", "value": "a"}]},
        "unsupported_tools",
        "conversations[0] has the role 'tool', which built-in and YAML templates cannot write",
    ),
    (
        {"conversations": [{"from": "gpt", "value": "a"}]},
        "bad_turn_order",
        "conversations[0] is an assistant message; expected a user message",
    ),
    (
        {"conversations": [{"from": "human", "said": "a"}]},
        "missing_field",
        "conversations[0] has no field 'value'; found 'from', 'said'",
    ),
    (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": ""}]},
        "empty_completion",
        "conversations[1] is empty: there is nothing to train on",
    ),
]
"""Each record with the reason for which it is refused, and the whole problem."""


@pytest.mark.parametrize(
    ("record", "reason", "problem"), [pytest.param(*fault, id=fault[2]) for fault in FAULTS]
)
def test_fault(record: Record, reason: str, problem: str) -> None:
    """A record that cannot be used is refused with a reason, its place and what was found."""
    error = refused("sharegpt", record)
    assert (error.reason, error.problem) == (reason, problem)


# --- for chat templates -------------------------------------------------------------------------

CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def test_chat() -> None:
    """Function calls become tool calls, and observations become tool messages."""
    made = chat(
        "sharegpt",
        {
            "system": "s",
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "r"},
                {"from": "gpt", "value": "a", "weight": 0},
            ],
            "tools": '[{"name": "f"}]',
        },
    )
    assert made.messages == [
        {"role": "system", "content": "s"},
        user("q"),
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "r"},
        assistant("a"),
    ]
    assert made.train == (None, None, None, None, False)
    assert made.tools == [{"name": "f"}]


def test_several_calls_in_one_turn() -> None:
    """A ``function_call`` turn may hold a list of calls."""
    calls = '[{"name": "f", "arguments": {"x": 1}}, {"name": "g"}]'
    turns = [{"from": "human", "value": "q"}, {"from": "function_call", "value": calls}]
    made = chat("sharegpt", {"conversations": turns})
    assert made.messages[1]["tool_calls"] == [CALL, {"type": "function", "function": {"name": "g"}}]


@pytest.mark.parametrize(
    ("value", "reason", "problem"),
    [
        ("f(1)", "wrong_type", "conversations[1].value is 'f(1)'; expected JSON text"),
        (
            '{"name": "f", "name": "g"}',
            "duplicate_key",
            "conversations[1].value holds JSON text: the key 'name' occurs twice in one object",
        ),
        ("{}", "missing_field", "conversations[1].value[0] has no function name"),
    ],
)
def test_bad_call(value: str, reason: str, problem: str) -> None:
    """A call that is not JSON, or has no name, is refused with its place."""
    turns = [{"from": "human", "value": "q"}, {"from": "function_call", "value": value}]
    error = refused("sharegpt", {"conversations": turns}, as_chat=True)
    assert (error.reason, error.problem) == (reason, problem)


@pytest.mark.parametrize("as_chat", [False, True])
def test_system_of_a_wrong_type(as_chat: bool) -> None:
    """A system prompt that is not a string is refused, not left out."""
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    error = refused("sharegpt", {"system": 1, "conversations": turns}, as_chat=as_chat)
    assert error.problem == "system is 1; expected a string"


def test_places_in_a_chat_do_not_count_the_system_field() -> None:
    """A place in an error is the place in the record's list."""
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": ""}]
    error = refused("sharegpt", {"system": "s", "conversations": turns}, as_chat=True)
    assert error.problem == "conversations[1] is empty: there is nothing to train on"
