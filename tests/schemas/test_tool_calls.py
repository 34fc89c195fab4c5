"""Tools and calls in the form that chat templates take."""

from typing import Any

import pytest

from sftprep.errors import RecordError
from sftprep.schemas.tool_calls import read_call_text, read_calls, read_function_call, read_tools

BARE = {"name": "f", "parameters": {"type": "object"}}
WRAPPED = {"type": "function", "function": BARE}


@pytest.mark.parametrize(
    ("value", "where", "expected"),
    [
        ([BARE, WRAPPED], "tools", [BARE, WRAPPED]),
        ([BARE, WRAPPED], "functions", [BARE, WRAPPED]),
        ([], "tools", []),
        ('[{"name": "f"}]', "tools", [{"name": "f"}]),
        ('[{"name": "f"}]', "functions", [{"name": "f"}]),
        (None, "functions", None),
    ],
)
def test_tools(value: object, where: str, expected: list[Any] | None) -> None:
    """Tools stay as they are, with or without a wrapper; so do functions, their predecessor."""
    assert read_tools(value, where) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"function": {"name": "f"}, "id": None}], [{"function": {"name": "f"}}]),
        ([{"name": "f", "arguments": "{}"}], [{"name": "f", "arguments": "{}"}]),
        (
            [{"id": "1", "function": {"name": "f", "arguments": None}}],
            [{"id": "1", "function": {"name": "f"}}],
        ),
        (
            '[{"name": "f", "arguments": {"b": 1, "a": 2}}]',
            [{"name": "f", "arguments": {"b": 1, "a": 2}}],
        ),
    ],
)
def test_calls(value: object, expected: list[Any]) -> None:
    """Arguments stay as they are, as object or text, in their order; null says nothing."""
    assert read_calls(value, "m") == expected
    assert str(read_calls(value, "m")) == str(expected)


def test_a_function_call() -> None:
    """The older form becomes one call."""
    expected = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert read_function_call({"name": "f", "arguments": "{}"}, "m") == expected
    assert read_function_call('{"name": "f", "arguments": "{}"}', "m") == expected


@pytest.mark.parametrize(
    "text", ['{"name": "f"}', '[{"name": "f"}]', '{"function": {"name": "f"}}']
)
def test_the_text_of_a_call(text: str) -> None:
    """The text of a turn is a call or a list of calls, with or without a wrapper."""
    (call,) = read_call_text(text, "m")
    assert call["function"] == {"name": "f"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "m is an object with 0 fields; expected a list"),
        ([1], "m[0] is 1; expected an object"),
        ([{"function": 1}], "m[0] is 1; expected an object"),
        ([{"function": {}}], "m[0] has no function name"),
        (
            [{"name": "f", "arguments": [1]}],
            "m[0].arguments is a list of 1 item; expected an object or JSON text",
        ),
    ],
)
def test_calls_that_are_refused(value: object, problem: str) -> None:
    """A call without a name, or with arguments of another type, is refused."""
    with pytest.raises(RecordError) as caught:
        read_calls(value, "m")
    assert caught.value.problem == problem
