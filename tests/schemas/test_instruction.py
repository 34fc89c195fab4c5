"""Records with instruction, input, output, system and history."""

import pytest
from dialogues import chat, conversation, normalize, refused

from sftprep.data.conversation import Conversation, Record
from sftprep.schemas.fields import Fields
from sftprep.schemas.instruction import output_field
from sftprep.schemas.normalizer import schema_of


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            {"instruction": "a", "input": "", "output": "b"},
            conversation(("user", "a"), ("assistant", "b")),
            id="instruction-empty-input",
        ),
        pytest.param(
            {"instruction": "a", "input": None, "output": "b", "system": None, "history": None},
            conversation(("user", "a"), ("assistant", "b")),
            id="instruction-nulls",
        ),
        pytest.param(
            {
                "instruction": "a",
                "input": " x ",
                "output": "b",
                "system": "s",
                "history": [["q1", "a1"], ["q2", "a2"]],
            },
            conversation(
                ("system", "s"),
                ("user", "q1"),
                ("assistant", "a1"),
                ("user", "q2"),
                ("assistant", "a2"),
                ("user", "a", " x "),
                ("assistant", "b"),
            ),
            id="instruction-everything",
        ),
        pytest.param(
            {"instruction": "a", "output": "b", "history": [], "system": ""},
            conversation(("user", "a"), ("assistant", "b")),
            id="instruction-empty-system-and-history",
        ),
    ],
)
def test_conversation(record: Record, expected: Conversation) -> None:
    """A good record becomes its turns, with every text exactly as it is."""
    assert normalize("instruction", record) == expected


FAULTS: list[tuple[Record, str, str]] = [
    (
        {"instruction": "a"},
        "missing_field",
        "the record has no field 'output'; found 'instruction'",
    ),
    ({"output": "a"}, "missing_field", "the record has no field 'instruction'; found 'output'"),
    (
        {"instruction": "a", "response": ""},
        "empty_completion",
        "response is empty: there is nothing to train on",
    ),
    ({"instruction": "a", "answer": 5}, "wrong_type", "answer is 5; expected a string"),
    (
        {"instruction": "a", "input": {"x": 1}, "output": "b"},
        "wrong_type",
        "input is an object with 1 field; expected a string",
    ),
    (
        {"instruction": "a", "output": "b", "system": False},
        "wrong_type",
        "system is false; expected a string",
    ),
    (
        {"instruction": "a", "output": "b", "history": "q"},
        "wrong_type",
        "history is 'q'; expected a list of [question, answer] pairs",
    ),
    (
        {"instruction": "a", "output": "b", "history": [["q", "a"], ["q"]]},
        "wrong_type",
        "history[1] is a list of 1 item; expected a pair of strings",
    ),
    (
        {"instruction": "a", "output": "b", "history": [["q", None]]},
        "wrong_type",
        "history[0] is a list of 2 items; expected a pair of strings",
    ),
    (
        {"instruction": "a", "output": "b", "history": [["q", ""]]},
        "empty_completion",
        "history[0][1] is empty: there is nothing to train on",
    ),
    (
        {"conversations": []},
        "schema_mismatch",
        "the record's schema is sharegpt; expected instruction, the schema of its file",
    ),
]
"""Each record with the reason for which it is refused, and the whole problem."""


@pytest.mark.parametrize(
    ("record", "reason", "problem"), [pytest.param(*fault, id=fault[2]) for fault in FAULTS]
)
def test_fault(record: Record, reason: str, problem: str) -> None:
    """A record that cannot be used is refused with a reason, its place and what was found."""
    error = refused("instruction", record)
    assert (error.reason, error.problem) == (reason, problem)


@pytest.mark.parametrize("name", ["output", "response", "answer", "target"])
def test_the_output_may_have_a_common_name(name: str) -> None:
    """The names that real data sets give to the output are known."""
    record = {"instruction": "a", name: "b"}
    assert schema_of(record, Fields()) == "instruction"
    assert output_field(record, Fields()) == name
    assert normalize("instruction", record) == conversation(("user", "a"), ("assistant", "b"))


def test_output_wins_over_its_synonyms() -> None:
    """If a record has several of the names, ``output`` is read."""
    record = {"instruction": "a", "target": "x", "answer": "y", "output": "b"}
    assert normalize("instruction", record).messages[-1].content == "b"


def test_a_renamed_output_has_no_synonyms() -> None:
    """If ``--field`` names the output, no other name is read."""
    fields = Fields({"output": "solution"})
    assert output_field({"instruction": "a", "response": "b"}, fields) == ""
    assert output_field({"instruction": "a", "solution": "b"}, fields) == "solution"


def test_chat() -> None:
    """In the chat form the input follows the instruction on a new line."""
    record = {"instruction": "q", "input": "i", "output": "a", "history": [["x", "y"]]}
    made = chat("instruction", record, system="s")
    assert made.messages == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y"},
        {"role": "user", "content": "q\ni"},
        {"role": "assistant", "content": "a"},
    ]
    assert made.train == (None,) * 5
