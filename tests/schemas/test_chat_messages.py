"""Chats of all schemas: order of messages, tool calls and their results, tools."""

from typing import Any

import pytest
from dialogues import assistant, chat, refused, user

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.chat_messages import with_system_message

USER = user("q")
ANSWER = assistant("a")
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
RESULT = {"role": "tool", "content": "r"}


def calling(*ids: str | None) -> dict[str, Any]:
    """Build an assistant message that calls a tool once for each of these ids."""
    return {"role": "assistant", "tool_calls": [{**CALL, "id": call_id} for call_id in ids]}


@pytest.mark.parametrize(
    ("messages", "reason", "problem"),
    [
        ([], "bad_turn_order", "messages is empty; expected a list of messages"),
        (
            [USER],
            "bad_turn_order",
            "messages ends with a user message; expected an assistant message to train on",
        ),
        (
            [USER, {**RESULT, "tool_call_id": None}],
            "bad_turn_order",
            "messages ends with a tool message; expected an assistant message to train on",
        ),
        (
            [USER, assistant("")],
            "empty_completion",
            "messages[1] is empty: there is nothing to train on",
        ),
        (
            [USER, assistant(""), USER, ANSWER],
            "empty_completion",
            "messages[1] is empty: there is nothing to train on",
        ),
        (
            [USER, calling("1", "1"), RESULT, ANSWER],
            "bad_tool_call",
            "messages[1] has two tool calls with the same id",
        ),
        (
            [USER, calling("1"), {**RESULT, "tool_call_id": "2"}, ANSWER],
            "bad_tool_call",
            "messages[2].tool_call_id is '2'; expected the id of a call before it: '1'",
        ),
        (
            [USER, calling("1", "3"), RESULT, {**RESULT, "tool_call_id": 1}, ANSWER],
            "bad_tool_call",
            "messages[3].tool_call_id is 1; expected the id of a call before it: '1' or '3'",
        ),
    ],
)
def test_order(messages: list[Record], reason: str, problem: str) -> None:
    """A chat ends with an answer, and each tool result follows a call that it may belong to."""
    error = refused("messages", {"messages": messages}, as_chat=True)
    assert (error.reason, error.problem) == (reason, problem)


@pytest.mark.parametrize(
    "messages",
    [
        [USER, calling("1", "2"), *[{**RESULT, "tool_call_id": i} for i in "21"], ANSWER],
        [USER, calling(None, None), {**RESULT, "tool_call_id": "1"}, RESULT, ANSWER],
        [USER, ANSWER, RESULT, ANSWER],  # the call may be in the answer's text
        [ANSWER, USER, ANSWER],
        [USER, USER, {"role": "system", "content": "s"}, ANSWER],
        [USER, {**assistant(""), "reasoning_content": "r"}],
        [USER, calling("1")],
        [USER, RESULT, ANSWER],
        [RESULT, ANSWER],
        [USER, ANSWER, ANSWER],
    ],
)
def test_any_other_order_is_left_to_the_template(messages: list[Record]) -> None:
    """Orders that some chat template may accept are passed on."""
    assert [m["role"] for m in chat("messages", {"messages": messages}).messages] == [
        m["role"] for m in messages
    ]


def test_places_do_not_count_an_added_system_message() -> None:
    """A place in an error is the place in the record, also if ``--system`` adds a message."""
    with pytest.raises(RecordError) as caught:
        chat("messages", {"messages": [USER, assistant("")]}, system="s")
    assert caught.value.problem.startswith("messages[1] is empty")


def test_places_use_the_name_of_the_field_in_the_data() -> None:
    """A place in an error has the name that the record uses for the list."""
    with pytest.raises(RecordError) as caught:
        chat("messages", {"turns": [USER]}, messages="turns")
    assert caught.value.problem.startswith("turns ends with a user message")


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (None, None),
        ([], []),
        ({}, None),
        ("", None),
        (" ", None),
        ("[]", []),
        ([{"name": "f"}], [{"name": "f"}]),
        ('[{"name": "f"}]', [{"name": "f"}]),
        ([{"function": {"name": "f"}}], [{"function": {"name": "f"}}]),
        ([{"b": 1, "a": 2}], [{"b": 1, "a": 2}]),
    ],
)
def test_tools(tools: object, expected: list[Any] | None) -> None:
    """Tools may be a list, or a list as JSON text; they are passed on as they are."""
    record = {"messages": [USER, ANSWER], "tools": tools}
    assert chat("messages", record).tools == expected


@pytest.mark.parametrize(
    ("tools", "reason", "problem"),
    [
        (0, "wrong_type", "tools is 0; expected a list of objects, or such a list as JSON text"),
        (
            ["f"],
            "wrong_type",
            "tools is a list of 1 item; expected a list of objects, or such a list as JSON text",
        ),
        (
            '[{"name": "f", "name": "g"}]',
            "duplicate_key",
            "tools holds JSON text: the key 'name' occurs twice in one object",
        ),
        ("[{", "wrong_type", "tools is '[{'; expected JSON text"),
    ],
)
def test_bad_tools(tools: object, reason: str, problem: str) -> None:
    """Tools of another form are refused with what was found."""
    error = refused("messages", {"messages": [USER, ANSWER], "tools": tools}, as_chat=True)
    assert (error.reason, error.problem) == (reason, problem)


def test_size() -> None:
    """The size counts the characters of keys and texts, of messages and tools alike."""
    made = chat("messages", {"messages": [USER, ANSWER], "tools": [{"name": "f", "n": 1}]})
    messages = len("role" + "user" + "content" + "q") + len("role" + "assistant" + "content" + "a")
    tools = len("name" + "f" + "n") + 8  # 8 for a number
    assert made.size == messages + tools
    more = with_system_message(made, "be kind")
    assert more.size == made.size + len("role" + "system" + "content" + "be kind")
