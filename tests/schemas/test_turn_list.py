"""The list of turns that a field holds."""

from typing import Any

import pytest

from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList, turns_of_field

MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 1}]


def read(value: Any) -> TurnList:
    """Read the turns of a field ``log``."""
    return turns_of_field({"log": value}, "log", "role", "content", Fields())


def test_messages_stay_as_they_are() -> None:
    """The list's own objects are the turns."""
    found = read(MESSAGES)
    assert found == TurnList(MESSAGES, "log", "role", "content")
    assert found.place(1) == "log[1]"


def test_json_text() -> None:
    """A list may be JSON text, as tables hold it."""
    assert read(' [{"role": "user", "content": "q"}]').turns == MESSAGES[:1]


def test_another_form_has_its_own_keys() -> None:
    """A list whose messages have other keys is read by them."""
    found = read([{"from": "human", "value": "q"}])
    assert (found.role, found.text) == ("from", "value")


def test_exchanges() -> None:
    """An entry with question and answer gives two turns; what else it has belongs to the answer."""
    found = read([{"input": "q", "output": "a", "weight": 0}, {"input": "r", "output": "b"}])
    assert found.turns == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "weight": 0},
        {"role": "user", "content": "r"},
        {"role": "assistant", "content": "b"},
    ]
    assert [found.place(i) for i in range(4)] == [
        "log[0].input", "log[0].output", "log[1].input", "log[1].output"
    ]  # fmt: skip


def test_texts() -> None:
    """Texts are the user's and the assistant's by turns."""
    assert [(t["role"], t["content"]) for t in read(["a", "b", "c"]).turns] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "log is null; expected a list"),
        ("user: hi", "log is 'user: hi'; expected a list"),
        ("[{", "log is '[{'; expected JSON text"),
        (["a", 1], "log[1] is 1; expected a string, as the list's other entries"),
        ([{"input": "a", "output": "b"}, "c"], "log[1] is 'c'; expected an object"),
        (
            [{"input": "a", "output": "b"}, {"input": "c"}],
            "log[1] has no field 'output'; found 'input'",
        ),
    ],
)
def test_lists_that_are_refused(value: Any, problem: str) -> None:
    """What is no list, or mixes forms, is refused with its place."""
    with pytest.raises(RecordError) as caught:
        read(value)
    assert caught.value.problem == problem
