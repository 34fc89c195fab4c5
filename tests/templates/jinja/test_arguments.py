"""The arguments of tool calls: listed, and converted between objects and JSON text."""

from copy import deepcopy
from typing import Any

import pytest

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.arguments import (
    arguments,
    arguments_as_object,
    arguments_as_text,
    map_arguments,
)


def chat(*calls: dict[str, Any]) -> Chat:
    """Build a chat whose answer makes these tool calls."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": list(calls)},
        {"role": "assistant", "content": "a"},
    ]
    return Chat(messages, None, (None, None, None), 10)


NESTED = {"type": "function", "id": "1", "function": {"name": "f", "arguments": {"x": 1}}}
FLAT = {"name": "g", "arguments": '{"y": 2}'}
WITHOUT = {"type": "function", "function": {"name": "h"}}


def test_arguments_are_listed_in_order() -> None:
    """A call may have its function in a field of its own or not; no arguments count as {}."""
    assert arguments(chat(NESTED, FLAT, WITHOUT)) == [{"x": 1}, '{"y": 2}', {}]


def test_a_chat_without_calls_has_no_arguments() -> None:
    """Messages without tool calls give nothing."""
    assert arguments(chat()) == []


def test_arguments_are_converted_in_a_copy() -> None:
    """Every call keeps its other fields, and the chat that was given is not changed."""
    before = chat(NESTED, FLAT, WITHOUT)
    expected = deepcopy(before)
    after = map_arguments(before, repr)
    assert before == expected
    assert after.messages[1]["tool_calls"] == [
        {"type": "function", "id": "1", "function": {"name": "f", "arguments": "{'x': 1}"}},
        {"name": "g", "arguments": "'{\"y\": 2}'"},
        WITHOUT,
    ]
    assert after.messages[::2] == before.messages[::2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"k": "é", "n": [1, None]}, '{"k": "é", "n": [1, null]}'),
        ({}, "{}"),
        ('{"a":1}', '{"a":1}'),
    ],
)
def test_arguments_as_text(value: Any, text: str) -> None:
    """Objects become JSON text without escapes; text is not changed."""
    assert arguments_as_text(value) == text


@pytest.mark.parametrize(
    ("value", "parsed"), [('{"k": "é"}', {"k": "é"}), ("[1]", [1]), ({"a": 1}, {"a": 1})]
)
def test_arguments_as_object(value: Any, parsed: Any) -> None:
    """JSON text is parsed; objects are not changed."""
    assert arguments_as_object(value) == parsed


def test_arguments_that_are_not_json_are_refused() -> None:
    """The error names the field and shows its text."""
    with pytest.raises(RecordError) as caught:
        arguments_as_object("x = 1")
    assert (caught.value.reason, caught.value.problem) == (
        "wrong_type",
        "a tool call's arguments field is 'x = 1'; expected JSON text",
    )
