"""Records with prompt and completion."""

import pytest
from dialogues import chat, conversation, normalize, refused

from sftprep.data.conversation import Conversation, Record
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import schema_of


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            {"prompt": " <|USER|> a\n", "completion": " b ", "id": 7},
            conversation(("user", " <|USER|> a\n"), ("assistant", " b ")),
            id="prompt-completion",
        ),
        pytest.param(
            {"prompt": "", "completion": "b"},
            conversation(("user", ""), ("assistant", "b")),
            id="empty-prompt",
        ),
    ],
)
def test_conversation(record: Record, expected: Conversation) -> None:
    """A good record becomes its turns, with every text exactly as it is."""
    assert normalize("prompt-completion", record) == expected


FAULTS: list[tuple[Record, str, str]] = [
    ({"prompt": "a"}, "missing_field", "the record has no field 'completion'; found 'prompt'"),
    ({}, "missing_field", "the record has no field 'prompt'; found nothing"),
    (
        {str(n): n for n in range(9)},
        "missing_field",
        "the record has no field 'prompt'; found '0', '1', '2', '3', '4', '5', '6', '7'",
    ),
    ({"prompt": None, "completion": "b"}, "wrong_type", "prompt is null; expected a string"),
    (
        {"prompt": "a", "completion": ["b"]},
        "wrong_type",
        "completion is a list of 1 item; expected a string, or a list of messages",
    ),
    (
        {"prompt": "a", "completion": ""},
        "empty_completion",
        "completion is empty: there is nothing to train on",
    ),
    (
        {"messages": [{"role": "user", "content": "a"}]},
        "schema_mismatch",
        "the record's schema is messages; expected prompt-completion, the schema of its file",
    ),
]
"""Each record with the reason for which it is refused, and the whole problem."""


@pytest.mark.parametrize(
    ("record", "reason", "problem"), [pytest.param(*fault, id=fault[2]) for fault in FAULTS]
)
def test_fault(record: Record, reason: str, problem: str) -> None:
    """A record that cannot be used is refused with a reason, its place and what was found."""
    error = refused("prompt-completion", record)
    assert (error.reason, error.problem) == (reason, problem)


def test_matches() -> None:
    """A record has this schema if it has both fields, under their renamed names if renamed."""
    fields = Fields({"completion": "answer"})
    assert schema_of({"prompt": "a", "answer": "b"}, fields) == "prompt-completion"
    assert schema_of({"prompt": "a", "completion": "b"}, fields) == ""


def test_chat() -> None:
    """The chat form is one user message and one assistant message, without tools."""
    made = chat("prompt-completion", {"prompt": " a", "completion": "b\n"})
    assert made.messages == [
        {"role": "user", "content": " a"},
        {"role": "assistant", "content": "b\n"},
    ]
    assert (made.tools, made.train) == (None, (None, None))
