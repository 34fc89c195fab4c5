"""The shapes of records, told from their fields."""

from typing import Any

import pytest
from dialogues import chat, conversation, normalize

from sftprep.data.conversation import Record
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import schema_of
from sftprep.schemas.shapes import (
    EXCHANGES,
    FORMS,
    LESS_COMMON_PAIRS,
    LISTS,
    PAIRS,
    fitting,
    form_of,
    shape_named,
)

EXCHANGE = conversation(("user", "q"), ("assistant", "a"))
BASE = {
    "prompt/completion": "prompt-completion",
    "messages with role/content": "messages",
    "conversations with from/value": "sharegpt",
}


def check(record: Record, name: str) -> None:
    """A record has a shape with this name, and gives one exchange in both forms."""
    name = BASE.get(name, name)
    assert schema_of(record, Fields()) == name
    (fit,) = fitting(record, Fields())
    assert shape_named(name, Fields()) == fit.shape
    assert normalize(name, record) == EXCHANGE
    assert [(m["role"], m["content"]) for m in chat(name, record).messages] == [
        ("user", "q"),
        ("assistant", "a"),
    ]


@pytest.mark.parametrize("pair", PAIRS + LESS_COMMON_PAIRS, ids="/".join)
def test_pairs(pair: tuple[str, str]) -> None:
    """Each pair of fields is a prompt and its completion, also with capital letters."""
    check({pair[0]: "q", pair[1]: "a", "id": 1}, "/".join(pair))
    prompt, completion = map(str.capitalize, pair)
    check({prompt: "q", completion: "a"}, f"{prompt}/{completion}")


@pytest.mark.parametrize("field", LISTS)
@pytest.mark.parametrize("form", FORMS, ids="/".join)
def test_lists_of_messages(field: str, form: tuple[str, str]) -> None:
    """Each field for a list goes with each form of a message."""
    role, text = form
    turns = [{role: "user", text: "q"}, {role: "assistant", text: "a"}]
    check({field: turns}, f"{field or 'list'} with {role}/{text}")


@pytest.mark.parametrize("form", EXCHANGES, ids="/".join)
def test_lists_of_exchanges(form: tuple[str, str]) -> None:
    """An entry may be a question with its answer."""
    check({"turns": [dict(zip(form, "qa", strict=True))]}, f"turns with {'/'.join(form)}")


@pytest.mark.parametrize("field", LISTS)
def test_lists_of_texts(field: str) -> None:
    """An entry may be a text: the user's and the assistant's by turns."""
    check({field: ["q", "a"]}, f"{field or 'list'} of texts")


def test_text_alone() -> None:
    """A text is a shape only if nothing else is there."""
    assert schema_of({"text": "a", "id": 1}, Fields()) == "text"
    assert (
        schema_of({"text": "a", "prompt": "q", "completion": "a"}, Fields()) == "prompt-completion"
    )
    assert schema_of({"text": 5}, Fields()) == ""


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (
            {"messages": [{"role": "user", "content": "q"}], "prompt": "q", "completion": "a"},
            "messages",
        ),
        ({"instruction": "q", "input": "x", "output": "a", "prompt": "p"}, "instruction"),
        ({"problem": "q", "solution": "a", "answer": "4"}, "problem/solution"),
        ({"prompt": "q", "input": "x", "output": "a"}, "prompt/output"),
        ({"question": "q", "context": "c", "answer": "a"}, "question/answer"),
        ({"Instruction": "q", "Response": "a"}, "Instruction"),
        ({"dialogue": "q", "summary": "a"}, "dialogue/summary"),
        ({"data": {"x": 1}, "question": "q", "answer": "a"}, "question/answer"),
        ({"messages": []}, "messages"),
        ({"conversations": "?"}, "sharegpt"),
        ({"turns": []}, ""),
        ({"turns": [1]}, ""),
    ],
)
def test_rules(record: Record, name: str) -> None:
    """A list counts more than a pair, a common pair more than others, a whole more than a part."""
    assert schema_of(record, Fields()) == name


AMBIGUOUS: list[tuple[Record, list[str]]] = [
    (
        {"question": "q", "answer": "a", "prompt": "p", "completion": "c"},
        [
            "--field prompt=prompt --field completion=completion",
            "--field prompt=question --field completion=answer",
        ],
    ),
    (
        {"question": "q", "answer": "a", "input": "i", "output": "o"},
        [
            "--field prompt=question --field completion=answer",
            "--field prompt=input --field completion=output",
        ],
    ),
    (
        {"question": "q", "answer": "a", "response": "r"},
        [
            "--field prompt=question --field completion=answer",
            "--field prompt=question --field completion=response",
        ],
    ),
    (
        {"instruction": "i", "target": "r", "prompt": "p", "completion": "c"},
        [
            "--field instruction=instruction --field output=target",
            "--field prompt=prompt --field completion=completion",
        ],
    ),
    (
        {"messages": ["q", "a"], "conversations": ["q", "a"]},
        ["--field messages=messages", "--field messages=conversations"],
    ),
]


@pytest.mark.parametrize(("record", "flags"), AMBIGUOUS)
def test_two_shapes_fit(record: Record, flags: list[str]) -> None:
    """If a record fits two shapes, each has the flags that choose it, and they do choose it."""
    fits = fitting(record, Fields())
    assert [fit.flags for fit in fits] == flags
    for fit, text in zip(fits, flags, strict=True):
        entries = (entry.split("=") for entry in text.split() if "=" in entry)
        fields = Fields(dict(entries))
        (chosen,) = fitting(record, fields)
        assert chosen.shape.names.items() >= dict(fields.renamed).items()
        assert chosen.read == fit.read


@pytest.mark.parametrize(
    ("renamed", "record", "name"),
    [
        ({"prompt": "task"}, {"task": "q", "answer": "a"}, "question/answer"),
        ({"messages": "log"}, {"log": [{"from": "human", "value": "q"}]}, "log with from/value"),
        ({"role": "by"}, {"messages": [{"by": "user", "content": "q"}]}, "messages"),
        ({"conversations": "log"}, {"log": [{"from": "human", "value": "q"}]}, "sharegpt"),
        ({"output": "reply"}, {"instruction": "q", "reply": "a", "output": "x"}, "instruction"),
        ({"text": "body"}, {"body": "a"}, "text"),
    ],
)
def test_renamed_fields(renamed: dict[str, str], record: Record, name: str) -> None:
    """What ``--field`` names goes together with what is known."""
    fields = Fields(renamed)
    assert schema_of(record, fields) == name
    assert shape_named(name, fields) == fitting(record, fields)[0].shape


@pytest.mark.parametrize("name", ["chat", "turns with a/b", "question-answer", " of texts "])
def test_names_that_are_no_shape(name: str) -> None:
    """A name that no shape has is an error of the caller."""
    with pytest.raises(KeyError):
        shape_named(name, Fields())


@pytest.mark.parametrize("value", [None, "x", {}, [], [1], [[]], [{}], [{"role": "x"}]])
def test_values_without_a_form(value: Any) -> None:
    """What is no list of messages has no form."""
    assert form_of(value, Fields()) is None
