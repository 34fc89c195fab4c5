"""A prompt and its completion, with input and history, as texts and as lists of messages."""

from typing import Any

import pytest
from dialogues import assistant, chat, conversation, normalize, refused, user

from sftprep.data.conversation import Record

LAST = [("user", "q"), ("assistant", "a")]
BEFORE = [("user", "x"), ("assistant", "y")]


@pytest.mark.parametrize(
    "history",
    [
        [["x", "y"]],
        [{"user": "x", "assistant": "y"}],
        [{"question": "x", "answer": "y"}],
        [user("x"), assistant("y")],
        [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}],
        ["x", "y"],
    ],
)
@pytest.mark.parametrize("schema", ["instruction", "prompt-completion"])
def test_history(schema: str, history: list[Any]) -> None:
    """The history comes first, in whatever form it has."""
    names = ("instruction", "output") if schema == "instruction" else ("prompt", "completion")
    record = {**dict(zip(names, "qa", strict=True)), "history": history}
    assert normalize(schema, record) == conversation(*BEFORE, *LAST)
    made = chat(schema, record)
    assert [(m["role"], m["content"]) for m in made.messages] == [*BEFORE, *LAST]


def test_input_beside_a_history() -> None:
    """The input belongs to the last question."""
    record = {"prompt": "q", "context": "c", "completion": "a", "history": [["x", "y"]]}
    expected = conversation(*BEFORE, ("user", "q", "c"), ("assistant", "a"))
    assert normalize("prompt-completion", record) == expected
    assert chat("prompt-completion", record).messages[2] == user("q\nc")


PROMPT = [{"role": "system", "content": "s"}, user("x"), assistant("y"), user("q")]


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        ([user("q")], [assistant("a")], LAST),
        ("q", [assistant("a")], LAST),
        ([user("q")], "a", LAST),
        ([user("q")], assistant("a"), LAST),
        (
            PROMPT,
            [assistant("a"), user("r"), assistant("b")],
            [
                ("system", "s"),
                ("user", "x"),
                ("assistant", "y", "", False),
                *LAST,
                ("user", "r"),
                ("assistant", "b"),
            ],
        ),
        (
            [user("x"), assistant("y", train=True), user("q")],
            [assistant("a")],
            [("user", "x"), ("assistant", "y", "", True), *LAST],
        ),
    ],
)
def test_lists_of_messages(prompt: Any, completion: Any, expected: list[tuple[Any, ...]]) -> None:
    """Prompt and completion may be messages; answers in the prompt are not trained."""
    record = {"prompt": prompt, "completion": completion}
    assert normalize("prompt-completion", record) == conversation(*expected)
    made = chat("prompt-completion", record)
    assert [m["content"] for m in made.messages] == [turn[1] for turn in expected]
    assert made.train == conversation(*expected).train
    assert all("train" not in message for message in made.messages)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            {"history": {"x": 1}},
            "history is an object with 1 field; expected a list of [question, answer] pairs",
        ),
        ({"history": [["x", 1]]}, "history[0] is a list of 2 items; expected a pair of strings"),
        ({"history": [["x", ""]]}, "history[0][1] is empty: there is nothing to train on"),
        ({"history": ["x"]}, "prompt is a user message; expected an assistant message"),
        ({"history": [{"a": 1}]}, "history[0] has no field 'role'; found 'a'"),
        ({"input": 5}, "input is 5; expected a string"),
        (
            {"input": "x", "context": "y"},
            "the record has input and context, which mean the same and have different values",
        ),
        (
            {"prompt": [user("q")], "input": "x"},
            "prompt is a list of 1 item; expected a string, as input is given beside it",
        ),
        ({"prompt": ["q"]}, "prompt is a list of 1 item; expected a string, or a list of messages"),
        (
            {"completion": [user("q")]},
            "completion[0] is a user message; expected an assistant message",
        ),
        ({"completion": {"role": "assistant"}}, "completion has no field 'content'; found 'role'"),
    ],
)
def test_records_that_are_refused(more: Record, problem: str) -> None:
    """A defect is refused with its place."""
    record = {"prompt": "q", "completion": "a", **more}
    assert refused("prompt-completion", record).problem == problem
