"""The content of messages, as text and as parts."""

from typing import Any

import pytest

from sftprep.errors import RecordError
from sftprep.schemas.content import Content, read_content

A, B = {"type": "text", "text": "a"}, {"type": "text", "text": "b"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


@pytest.mark.parametrize(
    ("value", "expected", "text"),
    [
        ("a", Content("a"), "a"),
        (None, Content(None), ""),
        ([], Content([]), ""),
        ([A, B], Content([A, B]), "ab"),
        ([A | {"cache_control": {}}], Content([A | {"cache_control": {}}]), "a"),
        ([{"text": "a"}, {"type": "input_text", "text": "b"}], Content([A, B]), "ab"),
        ([{"type": "text", "value": "a"}], Content([A]), "a"),
        ([{"type": "refusal", "refusal": "a"}], Content([A]), "a"),
        ([{"type": "thinking", "thinking": "r"}, A], Content([A], "r"), "a"),
        ([{"type": "reasoning", "text": "r"}], Content("", "r"), ""),
        (
            [{"type": "reasoning", "value": "r"}, {"type": "text", "value": "a"}],
            Content([A], "r"),
            "a",
        ),
        (
            [{"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'}],
            Content("", "", (CALL,)),
            "",
        ),
        (
            [{"type": "tool_call", "value": {"name": "f", "arguments": {"x": 1}}}],
            Content("", "", (CALL,)),
            "",
        ),
        (
            [{"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}],
            Content("", "", ({"id": "1", **CALL},)),
            "",
        ),
        (
            [A, {"type": "tool_call", "tool_call": {"function": CALL["function"]}}],
            Content([A], "", (CALL,)),
            "a",
        ),
        (
            [{"type": "function_call", "name": "f", "arguments": {"x": 1}}],
            Content("", "", (CALL,)),
            "",
        ),
    ],
)
def test_contents(value: object, expected: Content, text: str) -> None:
    """Text parts stay as they are; reasoning and calls are taken out."""
    found = read_content(value, "messages[0].content")
    assert found == expected
    assert found.text == text


@pytest.mark.parametrize(
    ("value", "reason", "problem"),
    [
        (1, "wrong_type", "m is 1; expected a string or a list of text parts"),
        (
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "train": False}],
            "unsupported_content",
            "m[1].train is false; a part of a content has no loss flag of its own",
        ),
        (
            [{"text": "a", "weight": 0}],
            "unsupported_content",
            "m[0].weight is 0; a part of a content has no loss flag of its own",
        ),
        (
            [{"text": "a", "masked": 1}],
            "unsupported_content",
            "m[0].masked is 1; a part of a content has no loss flag of its own",
        ),
        (["a"], "wrong_type", "m[0] is 'a'; expected an object with type and text"),
        (
            [A, {"type": "image_url", "image_url": {}}],
            "unsupported_content",
            "m[1] is a part of type 'image_url'; only text can be tokenized",
        ),
        (
            [{"type": "input_audio"}],
            "unsupported_content",
            "m[0] is a part of type 'input_audio'; only text can be tokenized",
        ),
        ([{"type": "text"}], "wrong_type", "m[0].text is null; expected a string"),
        (
            [{"type": "thinking", "thinking": 1}],
            "wrong_type",
            "m[0].thinking is 1; expected a string",
        ),
        ([{"type": "tool_call"}], "missing_field", "m[0] has no function name"),
        (
            [{"type": "tool_call", "value": "[1]"}],
            "wrong_type",
            "m[0].value is a list of 1 item; expected an object with name and arguments",
        ),
        ([{"type": "reasoning", "value": 7}], "wrong_type", "m[0].value is 7; expected a string"),
    ],
)
def test_contents_that_are_refused(value: Any, reason: str, problem: str) -> None:
    """What is not text is refused by its type."""
    with pytest.raises(RecordError) as caught:
        read_content(value, "m")
    assert (caught.value.reason, caught.value.problem) == (reason, problem)
