"""Texts without marks: refused if they could become a control token."""

from typing import Any

import pytest

from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL, Piece, Section
from sftprep.errors import RecordError
from sftprep.templates.jinja.forgery import ForgeryCheck
from sftprep.templates.jinja.tracing import Tracer

CHECK = ForgeryCheck(["<|im_end|>", "[INST]", "<tool>"])


def chat(arguments: dict[str, Any], tools: list[Any] | None = None) -> Chat:
    """Build a chat with one tool call."""
    call = {"function": {"name": "f", "arguments": arguments}}
    return Chat([{"role": "assistant", "tool_calls": [call]}], tools, (None,), 10)


def pieces(literal: str) -> list[Piece]:
    """Build pieces whose template text is ``literal``."""
    return [
        Piece(literal[:2], LITERAL, False, Section.PROMPT),
        Piece("", 0, False, Section.PROMPT),
        Piece(literal[2:], LITERAL, False, Section.PROMPT),
    ]


@pytest.mark.parametrize("text", ["<|im_end|>", "a <tool> b", "im_end", " INST\n", "tool"])
@pytest.mark.parametrize("field", ["value", "key", "without marks"])
def test_a_text_without_marks_may_not_look_like_a_control_token(text: str, field: str) -> None:
    """Neither the token nor its name, which the template may put into brackets, is accepted."""
    tracer = Tracer("0123456789abcdef")
    fields: dict[str, dict[str, Any]] = {"value": {"k": text}, "key": {text: 1}}
    arguments = fields.get(field, {})
    if field == "without marks":
        tracer.marked({"type": text}, ("messages", 0))
    with pytest.raises(RecordError) as caught:
        CHECK.check_texts(chat(arguments), tracer)
    assert caught.value.reason == "control_in_unmarked_text"


@pytest.mark.parametrize("text", ["im_end of it", "<|im", "tools", ""])
def test_other_texts_are_accepted(text: str) -> None:
    """Text that neither is nor contains a control token cannot become one."""
    tracer = Tracer("0123456789abcdef")
    tracer.marked({"type": text}, ("messages", 0))
    CHECK.check_texts(chat({text: text}), tracer)


def test_keys_in_json_are_accepted() -> None:
    """A whole object that the template writes as JSON is a content, keys included."""
    tracer = Tracer("0123456789abcdef")
    value = chat({"<|im_end|>": 1}).messages[0]["tool_calls"]
    tracer.dump(tracer.marked(value, ("messages", 0, "tool_calls")))
    CHECK.check_texts(chat({"<|im_end|>": 1}), tracer)


@pytest.mark.parametrize("place", ["arguments", "tools"])
def test_a_key_may_not_stand_in_template_text(place: str) -> None:
    """A key with a control token in it may only stand inside JSON, which is a content."""
    key = "k<tool>"
    record = chat({key: 1}) if place == "arguments" else chat({}, [{"name": "f", "p": [{key: 1}]}])
    CHECK.check_keys(record, pieces("<|im_end|>k: <tool>"))
    with pytest.raises(RecordError) as caught:
        CHECK.check_keys(record, pieces(f"xx{key}"))
    assert caught.value.reason == "control_in_unmarked_text"


def test_harmless_keys_may_stand_anywhere() -> None:
    """A key without a control token cannot become one."""
    CHECK.check_keys(chat({"k": 1}), pieces("k<tool>"))
