"""Records of every schema as chats: messages, tools, and what of them is no chat."""

from typing import Any

import pytest

from sftprep.chat_normalize import chat_normalizer
from sftprep.errors import RecordError
from sftprep.normalize import Fields

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}


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
    ],
)
def test_what_is_no_chat(messages: list[dict[str, Any]], reason: str) -> None:
    """Each defect has its own reason."""
    with pytest.raises(RecordError) as caught:
        chat("messages", {"messages": messages})
    assert caught.value.reason == reason
