"""What is counted of records: ignored fields, names that were understood, loss flags."""

from typing import Any

import pytest
from dialogues import assistant, user

from sftprep.data.conversation import Record
from sftprep.schemas.fields import Fields
from sftprep.schemas.ignored import reader_of
from sftprep.schemas.normalizer import chat_normalizer, conversation_normalizer

TALK = [user("q"), assistant("a")]


def understood(name: str, *records: Record, **renamed: str) -> Any:
    """Return what is counted of records for a built-in template."""
    return conversation_normalizer(name, Fields(renamed)).understood(records)


def test_fields_of_records() -> None:
    """Fields without a meaning are counted, by records; fields that are read are not."""
    first = {"prompt": "q", "completion": "a", "id": 1, "source": "s"}
    other = {"completion": "a", "prompt": "q", "id": None, "context": "c", "history": None}
    found = understood("prompt-completion", first, first, other, {**first, "images": []})
    assert found.ignored == {"id": 4, "source": 3}
    assert found.fields == {"context as input": 1}
    assert found.roles == found.flags == {}
    assert found.holders == {
        "ignored_field:id": {0, 1, 2, 3},
        "ignored_field:source": {0, 1, 3},
        "field:context as input": {2},
    }
    assert understood("prompt-completion", first, first).holders == {
        "ignored_field:id": {0, 1}, "ignored_field:source": {0, 1},
    }  # fmt: skip


def test_keys_of_messages() -> None:
    """Keys without a meaning are counted, by messages, with the name of the list."""
    turns = [{**user("q"), "id": 1}, {**assistant("a"), "weight": 1, "id": 2, "train": None}]
    found = understood("messages", {"messages": turns, "prompt": "q"}, {"messages": TALK})
    assert found.ignored == {"messages[].id": 2, "prompt": 1}
    assert found.flags == {"weight": 1}
    assert found.holders == {
        "ignored_field:messages[].id": {0}, "loss_flag:weight": {0}, "ignored_field:prompt": {0},
    }  # fmt: skip


def test_roles() -> None:
    """Names that are not the roles' own are counted; ``human`` and ``gpt`` are too common."""
    turns = [
        {"from": "Human", "value": "q"},
        {"from": "gpt", "value": "a"},
        {"from": "human", "value": "q"},
        {"from": "chatgpt", "value": "a"},
    ]
    found = understood("sharegpt", {"conversations": turns[1:3]}, {"conversations": turns})
    assert found.roles == {"Human as user": 1, "chatgpt as assistant": 1}
    assert found.holders == {"role:Human as user": {1}, "role:chatgpt as assistant": {1}}
    developer = {"messages": [{"role": "developer", "content": "d"}, *TALK]}
    assert understood("messages", developer).roles == {"developer as system": 1}
    assert chat_normalizer("messages", Fields()).understood([developer]).roles == {}


def test_flags_of_records() -> None:
    """Flags of records are counted where they say something."""
    record = {"prompt": "q", "completion": "a"}
    found = understood("prompt-completion", {**record, "loss": True}, {**record, "loss": None})
    assert (found.flags, found.ignored) == ({"loss": 1}, {})
    assert found.holders == {"loss_flag:loss": {0}}


def test_thinking_beside_messages() -> None:
    """True or false is an argument for the template; a text belongs to no answer for certain."""
    for value, ignored in ((True, {}), (None, {}), ("hm", {"thinking": 1})):
        record = {"messages": TALK, "thinking": value}
        found = chat_normalizer("messages", Fields()).understood([record])
        assert found.ignored == ignored
        assert found.holders == {f"ignored_field:{name}": {0} for name in ignored}


def test_an_instruction_has_one_output() -> None:
    """A further field that could be the output is ignored, and counted."""
    record = {"instruction": "q", "output": "a", "response": "b", "input": "", "answer": "c"}
    assert understood("instruction", record).ignored == {"response": 1, "answer": 1}


def test_lists_in_prompts_are_looked_into() -> None:
    """Messages in a prompt and a completion are counted as those of a list."""
    record = {"prompt": [{**user("q"), "id": 1}], "completion": [{"role": "bot", "content": "a"}]}
    found = understood("prompt-completion", record, {"prompt": "q", "completion": "a"})
    assert (found.ignored, found.roles) == ({"prompt[].id": 1}, {"bot as assistant": 1})


def test_what_a_chat_template_may_read() -> None:
    """Keys and arguments that are words of the template's text are passed on without a count."""
    source = "{% for m in messages %}{{ m.role }}{{ m['name'] }}{{ m.content }}{% endfor %}"
    turns = [{**user("q"), "name": "n", "id": 1}, assistant("a", reasoning_content="r")]
    record = {"messages": turns, "chat_template_kwargs": {"effort": 1, "name": 2, "x": None},
              "enable_thinking": False, "id": 3}  # fmt: skip
    found = chat_normalizer("messages", Fields(), None, reader_of(source)).understood([record])
    assert found.ignored == {
        "messages[].id": 1,
        "chat_template_kwargs.effort": 1,
        "enable_thinking": 1,
        "id": 1,
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ message.id }}", True),
        ("{{ idea }}", False),
        ("{{ message | tojson }}", True),
        ("{% for k, v in message.items() %}", True),
    ],
)
def test_reader_of(source: str, expected: bool) -> None:
    """A template reads the names in its text; one that writes whole messages reads all."""
    assert reader_of(source)("id") is expected


@pytest.mark.parametrize("name", ["", "ambiguous"])
def test_a_file_without_a_shape(name: str) -> None:
    """Where no record is used, nothing is counted."""
    assert not any(understood(name, {"a": 1}))
