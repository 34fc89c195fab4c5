"""Tracer and Rendering: the copy of a record equals it, and its texts are found again."""

import json
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CALLS, CHATML, call, chat_of, tool, turns

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.traced_chat import TracedSandbox
from sftprep.templates.jinja.traced_number import untraced
from sftprep.templates.jinja.traced_text import DERIVED, runs_of, traced_in
from sftprep.templates.jinja.tracing import Rendering, Tracer, Turn, value_at

GIVEN: dict[str, Any] = {"name": "t", "today": date(2026, 2, 3), "variables": {}}
KEYS = st.text("kl\"'漢", max_size=3)
SCALARS = st.one_of(
    st.text("ab\n\"\\<>'&/é漢\u2028", max_size=5), st.integers(-99, 99), st.booleans(), st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OPTIONS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.none() | st.integers(0, 3),
        "separators": st.none() | st.sampled_from([(",", ":"), (", ", ": "), (";", "=")]),
        "sort_keys": st.booleans(),
    }
)


def rendered(source: str, record: dict[str, Any]) -> Rendering:
    """Render a record with provenance."""
    return TracedSandbox(source, **GIVEN).trace(record["messages"], as_chat(record))


def as_chat(record: dict[str, Any]) -> Chat:
    """Return a record as a chat, without the checks of a schema."""
    messages = record["messages"]
    arguments = tuple(record.get("arguments", {}).items())
    return Chat(messages, record.get("tools"), (None,) * len(messages), 9999, arguments=arguments)


@settings(max_examples=some(30), deadline=None)
@given(VALUES)
def test_the_copy_of_a_value_equals_it(value: Any) -> None:
    """All values and their types stay; each text knows where it is in the record."""
    copy = Tracer().traced(value, ("arguments", "a"))
    assert copy == value
    assert json.dumps(untraced(copy)) == json.dumps(value)
    assert repr(copy) == repr(value)
    record = {"arguments": {"a": value}}
    for text in traced_in(copy):
        ((length, origin, start),) = text.runs
        assert (length, start) == (len(text), 0)
        assert origin is not None
        is_key = origin.path[-1] == text and len(origin.path) > 2
        assert is_key or value_at(record, origin.path) == text


def test_only_roles_of_messages_have_no_provenance() -> None:
    """Templates make control tokens of roles; a role in tools or arguments is any text."""
    tracer = Tracer()
    messages = tracer.traced([{"role": "user", "content": "a"}], ("messages",))
    tools = tracer.traced([{"role": "user", "type": "function"}], ("tools",))
    argument = tracer.traced({"role": "user"}, ("arguments", "a"))
    parts = tracer.traced([{"content": [{"role": "user"}]}], ("messages",))
    assert list(traced_in(messages)) == ["a"]
    assert list(traced_in(tools)) == ["role", "user", "type", "function"]
    assert list(traced_in(argument)) == ["role", "user"]
    assert list(traced_in(parts)) == ["role", "user"]


@settings(max_examples=some(50), deadline=None)
@given(VALUES, OPTIONS)
def test_json_of_a_value_of_the_record(value: Any, options: dict[str, Any]) -> None:
    """It is what ``json.dumps`` gives, and all of it comes from that value."""
    tracer = Tracer()
    copy = tracer.traced(value, ("arguments", "a"))
    text = tracer.dump(copy, **options)
    assert text == json.dumps(value, **options)
    if isinstance(value, str | dict | list):
        ((length, origin, start),) = runs_of(text)
        assert (length, start) == (len(text), 0)
        assert origin is not None
        assert (origin.path, origin.options) == (("arguments", "a"), options)
        assert origin.is_text == isinstance(value, str)
        assert tracer.holds(copy)


@settings(max_examples=some(50), deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=3), OPTIONS, st.data())
def test_json_of_what_a_template_puts_together(
    values: list[Any], options: dict[str, Any], data: st.DataObject
) -> None:
    """It is what ``json.dumps`` gives, and no text of the record in it is literal."""
    tracer = Tracer()
    copies = [tracer.traced(value, ("arguments", str(i))) for i, value in enumerate(values)]

    def built(parts: list[Any]) -> Any:
        first, *others = parts
        kinds = {
            "list": [first, "k", others],
            "tuple": (first, 1, None),
            "dict": {"a": first, "b": {"c": others}, "k\"'": 2.5},
            "keys": {f"k{i}": part for i, part in enumerate(parts)},
            "numbers as keys": {1: first, False: others, None: "k"},
            "text": first if not isinstance(first, str) else first[:2] + "x",
        }
        return kinds[kind]

    kind = data.draw(st.sampled_from(["list", "tuple", "dict", "keys", "numbers as keys", "text"]))
    try:
        expected = json.dumps(built(values), **options)
    except TypeError:
        with pytest.raises(TypeError):
            tracer.dump(built(copies), **options)
        return
    text = tracer.dump(built(copies), **options)
    assert text == expected
    position = 0
    for length, origin, start in runs_of(text):
        stretch = str.__str__(text)[position : position + length]
        position += length
        if origin is None:
            assert not set(stretch) & set("漢é\u2028&/<>")
            assert not set(stretch) & set("\\") or kind == "dict"  # the template's own key
        elif start != DERIVED:
            assert origin.options is not None
            record = {"arguments": {str(i): value for i, value in enumerate(values)}}
            whole = [json.dumps(origin.path[-1], **options)]
            if origin.path[-1] == "x" or _is_place(record, origin.path):
                whole.append(json.dumps(value_at(record, origin.path), **options))
            assert stretch in [text[start : start + length] for text in whole]
    assert position == len(text)


def _is_place(record: dict[str, Any], path: tuple[Any, ...]) -> bool:
    try:
        value_at(record, path)
    except (LookupError, TypeError):
        return False
    return True


def test_json_of_a_part_of_a_text_is_derived() -> None:
    """Only the JSON of a whole text can be made again from another record's text."""
    tracer = Tracer()
    text = tracer.traced("abc", ("arguments", "a"))
    for part in (text[1:], text + "x", text.upper(), tracer.dump(text)):
        dumped = tracer.dump(part)
        assert [run.start for run in runs_of(dumped)] == [DERIVED]
    again = tracer.dump(text.strip())
    assert [run.start for run in runs_of(again)] == [0]
    assert tracer.dump({"a": 1}) == '{"a": 1}'
    assert not traced_in_any(tracer.dump({"a": 1}))


def traced_in_any(value: Any) -> bool:
    """Tell whether a value holds a traced text."""
    return next(traced_in(value), None) is not None


@pytest.mark.parametrize("value", [{"a": 1}.keys(), [{"a": 1}.keys()], {1, 2}, b"a", object()])
def test_what_has_no_json_has_none_here(value: Any) -> None:
    """The same error as from ``json.dumps``; also with texts of the record inside."""
    tracer = Tracer()
    text = tracer.traced("abc", ("arguments", "a"))
    for one in (value, [value, text], {"k": {text: 1}.keys(), "l": text}, {text: 1}.items()):
        with pytest.raises(TypeError, match="not JSON serializable"):
            tracer.dump(one)


def test_what_is_written_as_python_is_noted() -> None:
    """Objects and lists of the record, and None: no model expects them in Python's form."""
    tracer = Tracer()
    copy = tracer.traced({"a": {"k": "v"}, "b": [1], "c": {}}, ("arguments", "x"))
    assert tracer.written(copy["a"]) == "{'k': 'v'}"
    assert tracer.written(copy["b"]) == "[1]"
    assert tracer.written(copy["c"]) == "{}"
    assert tracer.written([copy["a"]["k"]]) == "['v']"
    assert tracer.as_python == [
        ("arguments", "x", "a"), ("arguments", "x", "b"), ("arguments", "x", "c"), ()
    ]  # fmt: skip
    assert (tracer.written(None), tracer.written(1.5), tracer.written(True)) == (
        "None", "1.5", "True"
    )  # fmt: skip
    assert tracer.nones == 1
    assert len(tracer.as_python) == 4


CONVERSATION = turns("a", "b", "c", call(x="é"), tool("r"), "f")
LOOPS = {
    "one loop": (CALLS, True),
    "the others first": ("{{ messages[-1].content }}{{ messages[0].content }}\n" + CALLS, True),
    "a loop within the loop": (
        CALLS.replace("<im>", "{% for n in messages if n.content == 'z' %}{{ n.content }}"
                              "{% endfor %}<im>", 1),
        True,
    ),
    "a set block": (
        "{% set all %}" + CALLS + "{% endset %}{{ all }}", False
    ),
    "a macro with the loop": (
        "{% macro all() %}" + CALLS + "{% endmacro %}{{ all() }}", False
    ),
    "a macro in the loop": (
        "{% macro one(m) %}<im>{{ m.role }}\n{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}</im>\n"
        "{% endmacro %}{% for m in messages %}{{ one(m) }}{% endfor %}",
        True,
    ),
    "numbers": (
        CALLS.replace("for m in messages %}", "for i in range(messages | length) %}"
                                              "{% set m = messages[i] %}"),
        False,
    ),
    "a loop that is left": (
        CALLS.replace("</im>\n", "</im>\n{% for n in messages %}{% break %}{% endfor %}"), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_each_message_has_its_turn(name: str) -> None:
    """From its first text to its last; with a loop over messages also what the loop writes."""
    source, has_loop = LOOPS[name]
    rendering = rendered(source, CONVERSATION)
    text = rendering.text
    assert text == Sandbox(source, **GIVEN).render(CONVERSATION["messages"], None, size=999)
    dumped = '{"name": "f", "arguments": {"x": "é"}}'
    found = []
    for message, body in enumerate(["a", "b", "c", dumped, "r", "f"]):
        turn = rendering.turn(message)
        assert turn is not None
        assert text[turn.start : turn.end].endswith(body)
        assert rendering.has_loop(message) == has_loop
        if has_loop:
            assert text[turn.begin : turn.finish].startswith("<im>") or name.startswith("a loop w")
            assert "</im>\n" in text[turn.end : turn.finish]
        found.append(turn)
    if has_loop:
        for one, other in pairwise(found):
            assert one.finish <= other.begin
        assert found[-1].finish == len(text)
    else:
        assert all((turn.begin, turn.finish) == (turn.start, turn.end) for turn in found)


def test_what_stands_around_a_turn() -> None:
    """The next text of the record, and the template's text before it."""
    rendering = rendered(CHATML, turns("a", "b", "c", "d"))
    turn = rendering.turn(1)
    assert turn == Turn(16, 30, 31, 37)
    assert rendering.text[turn.begin : turn.finish] == "<im>assistant\nb</im>\n"
    assert rendering.tail(turn) == "</im>\n<im>user\n"
    assert rendering.next_content(turn) == 46
    last = rendering.turn(3)
    assert last is not None
    assert rendering.tail(last) == "</im>\n"
    assert rendering.next_content(last) is None
    assert rendering.positions(1) == [30, 31]
    assert rendering.turn(9) is None
    assert rendering.positions(9) == []


def test_a_message_that_is_left_out_has_no_turn() -> None:
    """It has none either if the template writes its role only."""
    source = CHATML.replace("m.content", "(m.content if m.role == 'user' else '')")
    assert rendered(source, turns("a", "b")).turn(1) is None
    with_empty = rendered(CHATML, {"messages": [{"role": "user", "content": ""}]})
    turn = with_empty.turn(0)
    assert turn is not None
    assert (turn.start, turn.end) == (9, 9)


MARKERS = {
    "plain": ("{% generation %}x{{ messages[0].content }}{% endgeneration %}y", ["xa"]),
    "two": ("{% generation %}x{% endgeneration %}{% generation %}y{% endgeneration %}", ["x", "y"]),
    "empty": ("{% generation %}{% endgeneration %}x{% generation %}{% endgeneration %}", ["", ""]),
    "in a trimmed block": (
        "{% set s %} {% generation %}x{% endgeneration %} {% endset %}<{{ s | trim }}>",
        ["x"],
    ),
    "in a macro": (
        "{% macro f() %}({% generation %}x{% endgeneration %}){% endmacro %}{{ f() }}{{ f() }}",
        ["x", "x"],
    ),
    "written twice": (
        "{% set s %}{% generation %}x{% endgeneration %}{% endset %}{{ s }}-{{ s ~ s }}",
        ["x", "x", "x"],
    ),
}


@pytest.mark.parametrize("name", MARKERS)
def test_the_bodies_of_generation_markers_are_found(name: str) -> None:
    """Wherever they stand, and if they are empty."""
    source, expected = MARKERS[name]
    rendering = rendered(source, turns("a", "b"))
    assert [rendering.text[start:end] for start, end in rendering.generations] == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% set s %}{% generation %}x{% endgeneration %}{% endset %}{{ s[1:] }}",
        "{% set s %}-{% generation %}x{% endgeneration %}{% endset %}{{ s.split('-')[1] }}",
        "{% set s %}{% generation %}xy{% endgeneration %}{% endset %}{{ s[:1] }}",
        "{% set s %}{% generation %}x {% endgeneration %}{% endset %}{{ s | trim }}!",
        "{% set s %}{% generation %}x{% endgeneration %}{% endset %}{{ s[::-1] }}",
        "{% set s %}{% generation %}x{% endgeneration %}{% endset %}{{ s[:0] | tojson }}",
        "{% set s %}{% generation %}x{% endgeneration %}{% endset %}{{ s | upper | tojson }}",
        "{% set s %}{% generation %}{% endgeneration %}{% endset %}{{ s | tojson }}{{ [s] }}",
        "{% set s %}{% generation %}{% endgeneration %}{% endset %}{{ s[:0] ~ s | list }}",
    ],
)
def test_markers_that_are_cut_are_no_crash(source: str) -> None:
    """A template that takes them apart gives a rendering, or a refused record."""
    try:
        rendering = rendered(source, turns("a", "b"))
    except RecordError as error:
        assert error.reason == "span_not_derivable"  # noqa: PT017 - either is right
    else:
        for start, end in rendering.generations:
            assert 0 <= start <= end <= len(rendering.text)
        assert all(content.message in (None, 0, 1) for content in rendering.contents)


@pytest.mark.parametrize(
    "source",
    [
        "{% generation %}{% generation %}x{% endgeneration %}y{% endgeneration %}",
        "{% set s %}{% generation %}x {% endgeneration %}{% endset %}{{ s | trim }}",
    ],
)
def test_markers_of_which_one_is_lost_are_refused(source: str) -> None:
    """It is not known then what the template trains."""
    with pytest.raises(RecordError) as caught:
        rendered(source, turns("a", "b"))
    assert caught.value.problem == (
        "it is not certain what the chat template trains: it cuts the text between "
        "{% generation %} and {% endgeneration %}, or has such a block in another"
    )


def test_chats_of_the_schema_are_traced_like_their_records() -> None:
    """A path leads to the same text in the chat's messages."""
    record = turns("a", call(x="é"), tool("r"), "b") | {
        "tools": [{"type": "function", "function": {"name": "f", "description": "d"}}]
    }
    chat = chat_of(record)
    source = "{% for t in tools %}{{ t.function.description }}{% endfor %}" + CALLS
    rendering = TracedSandbox(source, **GIVEN).trace(chat.messages, chat)
    values = {"messages": chat.messages, "tools": chat.tools}
    for content in rendering.contents:
        value = value_at(values, content.origin.path)
        if content.origin.options is None:
            assert rendering.text[content.start : content.end] == value
        else:
            dumped = json.dumps(value, **content.origin.options)
            assert rendering.text[content.start : content.end] == dumped
    assert [content.message for content in rendering.contents] == [None, 0, 1, 2, 3]
