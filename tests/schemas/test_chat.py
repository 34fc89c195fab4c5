"""Records of every schema as chats: messages, tools, and what of them is no chat."""

from typing import Any

import pytest

from sftprep.errors import RecordError
from sftprep.schemas.normalizer import chat_normalizer
from sftprep.schemas.fields import Fields

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
RESULT = {"role": "tool", "content": "r"}


def calling(*ids: str | None) -> dict[str, Any]:
    """A turn that calls a tool once for each of these ids."""
    return {"role": "assistant", "tool_calls": [{**CALL, "id": name} for name in ids]}


def chat(schema: str, record: dict[str, Any], **options: Any) -> Any:
    """A record as a chat."""
    return chat_normalizer(schema, Fields({}), **options)(record)


def test_messages() -> None:
    """Text parts are joined, keys without value left out, reasoning has both of its names."""
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
        {"role": "user", "content": "ab"},
        {**ANSWER, "reasoning": "r", "reasoning_content": "r", "thinking": "r"},
    ]
    assert (made.tools, made.train) == ([TOOL], (None, False))


def test_sharegpt() -> None:
    """Function calls and observations become calls and results of tools."""
    made = chat(
        "sharegpt",
        {
            "system": "s",
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "r"},
                {"from": "gpt", "value": "a"},
            ],
        },
    )
    assert made.messages == [
        {"role": "system", "content": "s"},
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "r"},
        ANSWER,
    ]


def test_other_schemas() -> None:
    """Instructions are a user's turn, with the input on the next line."""
    made = chat("instruction", {"instruction": "q", "input": "i", "output": "a"}, system="s")
    assert made.messages == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q\ni"},
        ANSWER,
    ]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "bad_turn_order"),
        ([USER], "bad_turn_order"),
        ([{"role": "sir", "content": "x"}, ANSWER], "unknown_role"),
        ([{"role": "user", "content": 1}, ANSWER], "wrong_type"),
        ([{"role": "user", "content": [{"type": "image"}]}, ANSWER], "unsupported_content"),
        ([USER, {"role": "assistant"}], "missing_field"),
        ([USER, {"role": "assistant", "content": ""}], "empty_completion"),
        ([USER, {"role": "assistant", "tool_calls": [{"function": {}}]}], "missing_field"),
        ([USER, {"role": "assistant", "tool_calls": {}}], "wrong_type"),
        ([USER, {**ANSWER, "reasoning_content": 1}], "wrong_type"),
        ([{"role": "User", "content": "x"}, ANSWER], "unknown_role"),
        ([{"content": "x"}, ANSWER], "missing_field"),
        ([{"role": None, "content": "x"}, ANSWER], "wrong_type"),
        ([USER, "x"], "wrong_type"),
        ([{"role": "user", "content": {"text": "x"}}, ANSWER], "wrong_type"),
        ([{"role": "user", "content": None}, ANSWER], "missing_field"),
        ([USER, RESULT, ANSWER], "bad_turn_order"),
        ([RESULT, ANSWER], "bad_turn_order"),
        ([USER, calling("1", "1"), RESULT, ANSWER], "bad_tool_call"),
        ([USER, calling("1"), {**RESULT, "tool_call_id": "2"}, ANSWER], "bad_tool_call"),
        ([USER, calling("1"), RESULT, {**RESULT, "tool_call_id": 1}, ANSWER], "bad_tool_call"),
    ],
)
def test_what_is_no_chat(messages: list[dict[str, Any]], reason: str) -> None:
    """Each defect has its own reason."""
    with pytest.raises(RecordError) as caught:
        chat("messages", {"messages": messages})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "messages",
    [
        [USER, calling("1", "2"), *[{**RESULT, "tool_call_id": i} for i in "21"], ANSWER],
        [USER, calling(None, None), {**RESULT, "tool_call_id": "1"}, RESULT, ANSWER],
        [USER, ANSWER, RESULT, ANSWER],  # the call is text, in the answer
        [ANSWER, USER, ANSWER],
        [USER, USER, {"role": "system", "content": "s"}, ANSWER],
    ],
)
def test_order_is_the_templates_to_judge(messages: list[dict[str, Any]]) -> None:
    """Whatever a model's template may take, a tool's result and its call apart, is passed on."""
    assert [m["role"] for m in chat("messages", {"messages": messages}).messages] == [
        m["role"] for m in messages
    ]


@pytest.mark.parametrize(
    ("record", "reason", "problem"),
    [
        (
            {"prompt": "a", "completion": "b"},
            "schema_mismatch",
            "the record's schema is prompt-completion, its file's is messages",
        ),
        ({"text": "a"}, "missing_field", "the record has no field 'messages'; found 'text'"),
        ({"messages": "a"}, "wrong_type", "messages is 'a'; expected a list"),
        (
            {"messages": [USER, ANSWER], "tools": 0},
            "wrong_type",
            "tools is 0; expected a list of objects, or JSON text of one",
        ),
        (
            {"messages": [USER, ANSWER], "tools": '[{"name": "f", "name": "g"}]'},
            "duplicate_key",
            "tools holds JSON text: the key 'name' is there twice in one object",
        ),
        (
            {"messages": [USER, ANSWER], "tools": "[{"},
            "wrong_type",
            "tools is '[{'; expected JSON text",
        ),
    ],
)
def test_what_is_no_record(record: dict[str, Any], reason: str, problem: str) -> None:
    """A record without messages, or with tools that are none, says what it has instead."""
    with pytest.raises(RecordError) as caught:
        chat("messages", record)
    assert (reason, problem) == (caught.value.reason, caught.value.problem)


def test_system_of_a_wrong_type() -> None:
    """A system prompt that is no text is refused, not left out."""
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    with pytest.raises(RecordError) as caught:
        chat("sharegpt", {"system": 1, "conversations": turns})
    assert caught.value.problem == "system is 1; expected a string"
