"""Computed fields become fields of the record."""

import pytest
from dialogues import chat, conversation, normalize

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.computed import with_computed
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import conversation_normalizer, schema_of

NESTED = {"data": {"question": "Q", "answers": {"text": ["A", "B"]}}, "title": "T", "id": 1}


def test_paths_and_texts_become_keys() -> None:
    """The copy has a key for each beside its own keys, and the record is not changed."""
    names = ("data.question", r"{title}:\n{data.question}")
    made = with_computed(NESTED, names)
    assert made == {**NESTED, "data.question": "Q", names[1]: "T:\nQ"}
    assert "data.question" not in NESTED


def test_a_path_that_leads_to_nothing_adds_nothing() -> None:
    """The schema then says what is missing."""
    assert with_computed({"a": 1}, ["b.c"]) == {"a": 1}


@pytest.mark.parametrize(
    ("record", "reason", "problem"),
    [
        ({"a": "x"}, "missing_field", "the record has no field 'b'; found 'a'"),
        ({}, "missing_field", "the record has no field 'a'; found nothing"),
        ({"a": "x", "b": None}, "wrong_type", "b is null; expected a string"),
        ({"a": "x", "b": 5}, "wrong_type", "b is 5; expected a string"),
    ],
)
def test_texts_need_all_their_fields(record: Record, reason: str, problem: str) -> None:
    """A field that is to be joined must be a string."""
    with pytest.raises(RecordError) as caught:
        with_computed(record, ["{a}-{b}"])
    assert (caught.value.reason, caught.value.problem) == (reason, problem)


def test_records_are_read_by_paths_and_texts() -> None:
    """``--field`` with paths and texts gives shape, turns and messages; the rest is ignored."""
    renamed = {"prompt": r"{title}\n{data.question}", "completion": "data.answers.text.0"}
    fields = Fields(renamed)
    assert schema_of(NESTED, fields) == "prompt-completion"
    expected = conversation(("user", "T\nQ"), ("assistant", "A"))
    assert normalize("prompt-completion", NESTED, **renamed) == expected
    assert [m["content"] for m in chat("prompt-completion", NESTED, **renamed).messages] == [
        "T\nQ",
        "A",
    ]
    understood = conversation_normalizer("prompt-completion", fields).understood([NESTED])
    assert understood.ignored == {"id": 1}


def test_a_missing_path_is_named() -> None:
    """An error names the path as the user gave it."""
    with pytest.raises(RecordError) as caught:
        normalize("prompt-completion", {"a": {}}, prompt="a.b", completion="a.c")
    assert caught.value.problem == "the record has no field 'a.b'; found 'a'"
