"""What a record may have beside its turns."""

from typing import Any

import pytest
from dialogues import assistant, chat, conversation, normalize, refused, user

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import chat_normalizer, conversation_normalizer

TALK = [user("q"), assistant("a")]
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
RECORDS: list[tuple[str, Record]] = [
    ("messages", {"messages": TALK}),
    ("sharegpt", {"conversations": SHAREGPT}),
    ("instruction", {"instruction": "q", "output": "a"}),
    ("prompt-completion", {"prompt": "q", "completion": "a"}),
    ("prompt-completion", {"prompt": TALK[:1], "completion": TALK[1:]}),
]  # fmt: skip
each_schema = pytest.mark.parametrize(("schema", "record"), RECORDS)


@each_schema
@pytest.mark.parametrize("name", ["system", "system_prompt", "system_message", "System"])
def test_system(schema: str, record: Record, name: str) -> None:
    """A system prompt beside the turns is the system turn, under all its names."""
    expected = conversation(("system", "s"), ("user", "q"), ("assistant", "a"))
    assert normalize(schema, {name: "s", **record}) == expected
    assert chat(schema, {**record, name: "s"}).messages == [
        {"role": "system", "content": "s"},
        *TALK,
    ]


@each_schema
@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_system_prompt(schema: str, record: Record, value: object) -> None:
    """An empty one says nothing, and ``--system`` then gives one."""
    expected = conversation(("system", "run"), ("user", "q"), ("assistant", "a"))
    assert normalize(schema, {**record, "system": value}, system="run") == expected
    assert chat(schema, {**record, "system": value}).messages == TALK


@pytest.mark.parametrize("as_chat", [False, True])
@pytest.mark.parametrize(
    ("more", "reason", "problem"),
    [
        ({"system": 1}, "wrong_type", "system is 1; expected a string"),
        (
            {"system": "s", "system_prompt": "t"},
            "conflicting_fields",
            "the record has system and system_prompt, which mean the same and have different "
            "values",
        ),
        (
            {"system_prompt": "s", "messages": [{"role": "system", "content": "t"}, *TALK]},
            "conflicting_system",
            "system_prompt and the first message are two different system prompts",
        ),
        (
            {"history": [["x", "y"]]},
            "conflicting_fields",
            "the record has history beside a list of messages",
        ),
        (
            {"tools": [{"name": "f"}], "functions": [{"name": "g"}]},
            "conflicting_fields",
            "the record has tools and functions; expected one of them",
        ),
        (
            {"chat_template_kwargs": [1]},
            "wrong_type",
            "chat_template_kwargs is a list of 1 item; expected an object, or an object as JSON "
            "text",
        ),
        (
            {"chat_template_kwargs": {"tools": []}},
            "wrong_type",
            "chat_template_kwargs has tools, which is no argument; expected a field of the record",
        ),
        (
            {"chat_template_kwargs": {"enable_thinking": True}, "enable_thinking": False},
            "conflicting_fields",
            "enable_thinking and chat_template_kwargs.enable_thinking have different values",
        ),
        (
            {"images": ["x.png"]},
            "unsupported_content",
            "images is a list of 1 item; only text can be tokenized",
        ),
        ({"video": "x"}, "unsupported_content", "video is 'x'; only text can be tokenized"),
        (
            {"label": False},
            "preference_data",
            "label is false: this is preference data, with good and bad answers",
        ),
        (
            {"weight": 0.5},
            "wrong_type",
            "weight is 0.5; expected 1 or 0: a token can be trained or not, but cannot have a "
            "weight",
        ),
        (
            {"train": False, "messages": [user("q"), assistant("a", train=True)]},
            "wrong_type",
            "the record's flag says that it is not trained, the flag of one of its messages that "
            "it is",
        ),
    ],
)
def test_what_is_refused(as_chat: bool, more: Record, reason: str, problem: str) -> None:
    """What contradicts itself, or is no text, is refused in both forms."""
    error = refused("messages", {"messages": TALK, **more}, as_chat=as_chat)
    assert (error.reason, error.problem) == (reason, problem)


@each_schema
@pytest.mark.parametrize("name", ["tools", "functions"])
def test_tools(schema: str, record: Record, name: str) -> None:
    """Tools go to a chat template; built-in templates refuse them, but not an empty list."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert chat(schema, {**record, name: tools}).tools == tools
    error = refused(schema, {**record, name: tools})
    assert (error.reason, error.problem, error.cure) == (
        "unsupported_tools",
        f"the record has {name}, which built-in and YAML templates cannot write",
        f"Remove the field {name}, or pass --template tokenizer",
    )
    assert normalize(schema, {**record, name: []}).roles == ("user", "assistant")
    assert chat(schema, {**record, name: []}).tools == []
    assert chat(schema, {**record, name: None}).tools is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"chat_template_kwargs": {"b": 1, "a": [2], "c": None}}, (("a", [2]), ("b", 1))),
        ({"chat_template_kwargs": '{"a": false}'}, (("a", False),)),
        ({"chat_template_kwargs": None}, ()),
        ({"chat_template_kwargs": ""}, ()),
        ({"enable_thinking": False, "reasoning_effort": "low"},
         (("enable_thinking", False), ("reasoning_effort", "low"))),
        ({"thinking": True}, (("thinking", True),)),
        ({"enable_thinking": None}, ()),
        ({"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": True}},
         (("enable_thinking", True),)),
    ],
)  # fmt: skip
def test_arguments(more: Record, expected: Any) -> None:
    """The record's own arguments go to a chat template; built-in templates take none."""
    record = {"messages": TALK, **more}
    plain = chat("messages", {"messages": TALK})
    made = chat("messages", record)
    assert (made.arguments, made.messages) == (expected, TALK)
    assert (made.size > plain.size) == bool(expected)
    if not expected:
        assert normalize("messages", record).roles == ("user", "assistant")
        return
    error = refused("messages", record)
    names = ", ".join(name for name, _ in expected)
    assert error.reason == "unsupported_arguments"
    for name in names.split(", "):
        assert name in error.problem


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_beside_a_completion(name: str) -> None:
    """It belongs to the answer of a chat, and is left out of a conversation with a word."""
    record = {"prompt": "q", "completion": "a", name: "r"}
    made = chat("prompt-completion", record)
    assert made.messages[1] == assistant("a", reasoning_content="r", thinking="r")
    assert made.size == chat("prompt-completion", {"prompt": "q", "completion": "a"}).size + 2
    assert normalize("prompt-completion", record).omitted == ("reasoning",)
    assert normalize("messages", {"messages": TALK, name: "r"}).omitted == ()  # counted as ignored


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_of_a_message(name: str) -> None:
    """A conversation lists it as omitted; an empty one says nothing."""
    for text, expected in (("r", ("reasoning",)), ("", ())):
        record = {"messages": [user("q"), assistant("a", **{name: text})]}
        assert normalize("messages", record).omitted == expected
    parts = [{"type": "thinking", "thinking": "r"}, {"type": "text", "text": "a"}]
    record = {"messages": [user("q"), {"role": "assistant", "content": parts}]}
    made = normalize("messages", record)
    assert (made.contents[2], made.omitted) == ("a", ("reasoning",))
    assert chat("messages", record).messages[1] == {
        "role": "assistant", "content": parts[1:], "reasoning_content": "r", "thinking": "r",
    }  # fmt: skip


@pytest.mark.parametrize("as_chat", [False, True])
@pytest.mark.parametrize("name", ["train", "trainable", "loss", "loss_weight", "weight", "mask"])
@each_schema
def test_a_records_own_flag(schema: str, record: Record, name: str, as_chat: bool) -> None:
    """A record that is not to be trained gives no row; one that is, is as any other."""
    read: Any = chat if as_chat else normalize
    assert read(schema, {**record, name: 1}).train[-1] is None
    assert read(schema, {**record, name: None}).train[-1] is None
    assert refused(schema, {**record, name: 0}, as_chat=as_chat).reason == "nothing_to_train"


@pytest.mark.parametrize("make", [conversation_normalizer, chat_normalizer])
def test_a_label_is_a_flag_if_field_says_so(make: Any) -> None:
    """``--field train=label`` takes the good answers of labelled preference data."""
    read = make("prompt-completion", Fields({"train": "label"})).read
    record = {"prompt": "q", "completion": "a"}
    assert read({**record, "label": True}).roles == ("user", "assistant")
    with pytest.raises(RecordError) as caught:
        read({**record, "label": False})
    assert caught.value.reason == "nothing_to_train"
    with pytest.raises(RecordError) as caught:
        read({**record, "label": True, "weight": 0})
    assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize("value", [None, [], ""])
def test_empty_fields_for_images(value: object) -> None:
    """A field for images that is empty does not make a record unreadable."""
    assert normalize("messages", {"messages": TALK, "images": value}).roles == ("user", "assistant")


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        ({"tool_calls": [{"function": {"name": "f"}}]}, "messages[1] has tool_calls"),
        ({"function_call": {"name": "f"}}, "messages[1] has function_call"),
        ({"content": [{"type": "tool_use", "name": "f", "input": {}}]},
         "messages[1].content has a tool call"),
        ({"role": "function_call"}, "messages[1] has the role 'function_call'"),
    ],
)  # fmt: skip
def test_calls_beside_content(turn: Record, problem: str) -> None:
    """A built-in template refuses a call, also beside a text; an empty list of calls is none."""
    error = refused("messages", {"messages": [user("q"), {**assistant("a"), **turn}]})
    assert error.reason == "unsupported_tools"
    assert error.problem == f"{problem}, which built-in and YAML templates cannot write"
    empty = [user("q"), assistant("a", tool_calls=[], function_call=None)]
    assert normalize("messages", {"messages": empty}).roles == ("user", "assistant")
    assert chat("messages", {"messages": empty}).messages == TALK
