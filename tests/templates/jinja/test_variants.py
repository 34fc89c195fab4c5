"""The forms in which a chat is given to a template, and which one a template writes well."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CALLS, call, chat_of, renderer, shown, tool, turns

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.traced_chat import TracedSandbox
from sftprep.templates.jinja.variants import badly_written, variants

GIVEN: dict[str, Any] = {"name": "t", "today": None, "variables": {}}


def called(arguments: Any, **message: Any) -> dict[str, Any]:
    """Build a record with a call that has these arguments."""
    record = turns("a", call() | message, tool("r"), "b")
    record["messages"][1]["tool_calls"][0]["function"]["arguments"] = arguments
    return record


def chat(record: dict[str, Any]) -> Chat:
    """Return a record as a chat, without the checks of a schema."""
    messages = record["messages"]
    return Chat(messages, record.get("tools"), (None,) * len(messages), 999)


def forms(record: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the content and the arguments of the message with the call, in each form."""
    found = []
    for variant in variants(chat(record)):
        message = variant.messages[1]
        found.append((message.get("content"), message["tool_calls"][0]["function"]["arguments"]))
    return found


@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x": 1}', ' {"x": 1}\n'])
def test_objects_come_first_and_then_json_text(arguments: Any) -> None:
    """As servers parse arguments before they give them to the template."""
    text = arguments if isinstance(arguments, str) else '{"x": 1}'
    found = forms(called(arguments))
    assert found[0] == (None, {"x": 1})
    assert ("", {"x": 1}) in found
    assert ("", text) in found
    kinds = [isinstance(one[1], str) for one in found]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        ("", {}, ""),
        (" ", {}, " "),
        ({}, {}, "{}"),
        ("x = 1", "x = 1", None),
        ("[1]", "[1]", None),
        ('"x"', '"x"', None),
        ('{"x": 1, "x": 2}', '{"x": 1, "x": 2}', None),
        ("{x: 1}", "{x: 1}", None),
        ({"é": "漢"}, {"é": "漢"}, '{"é": "漢"}'),
    ],
)
def test_what_is_no_object_stays_text(arguments: Any, first: Any, second: Any) -> None:
    """Text that is not the JSON of an object is given as it is; there is no other form of it."""
    found: list[Any] = []
    for _, form in forms(called(arguments)):
        if form not in found:
            found.append(form)
    assert found == ([first] if second is None else [first, second])


def test_a_chat_without_calls_and_parts_is_given_as_it_is_first() -> None:
    """Nothing is copied for the one form that nearly every template takes."""
    record = chat(turns("a", "b"))
    assert next(iter(variants(record))) is record


@settings(max_examples=some(40), deadline=None)
@given(
    st.one_of(
        st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2),
        st.text(max_size=6),
    ),
    st.sampled_from([None, "", "c", [{"type": "text", "text": "c"}]]),
)
def test_forms_say_the_same(arguments: Any, content: Any) -> None:
    """Only arguments and contents change, to another form of the same; the chat stays."""
    record = called(arguments, content=content)
    before = json.dumps(record)
    seen = []
    for variant in variants(chat(record)):
        assert variant not in seen
        seen.append(variant)
        assert variant.train == (None,) * 4
        for message, original in zip(variant.messages, record["messages"], strict=True):
            assert {k: v for k, v in message.items() if k not in ("content", "tool_calls")} == {
                k: v for k, v in original.items() if k not in ("content", "tool_calls")
            }
            texts = [as_text(one.get("content")) for one in (message, original)]
            assert texts[0] == texts[1]
        function = variant.messages[1]["tool_calls"][0]["function"]
        assert function["name"] == "f"
        if isinstance(arguments, dict):
            same = function["arguments"] in (arguments, json.dumps(arguments, ensure_ascii=False))
            assert same
        elif isinstance(function["arguments"], dict):
            assert json.loads(arguments.strip() or "{}") == function["arguments"]
        else:
            assert function["arguments"] == arguments
    assert json.dumps(record) == before


def as_text(content: Any) -> str:
    """Return the text of a content, whatever its form."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


def test_calls_without_a_wrapper_keep_their_form() -> None:
    """A call may hold its name and arguments itself."""
    record = turns("a", {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{}"}]})
    calls = [variant.messages[1]["tool_calls"] for variant in variants(chat(record))]
    assert calls[0] == [{"name": "f", "arguments": {}}]
    assert calls[-1] == [{"name": "f", "arguments": "{}"}]


WELL: dict[str, tuple[str, Any, bool]] = {
    "object as JSON": ("c.function.arguments | tojson", {"x": 1}, True),
    "function as JSON": ("c.function | tojson", {"x": 1}, True),
    "call as JSON": ("c | tojson", {"x": 1}, True),
    "text as text": ("c.function.arguments", '{"x": 1}', True),
    "text as JSON": ("c.function.arguments | tojson", '{"x": 1}', False),
    "text in an object of the template": (
        "{'name': c.function.name, 'arguments': c.function.arguments} | tojson", '{"x": 1}', False,
    ),
    "object in an object of the template": (
        "{'name': c.function.name, 'arguments': c.function.arguments} | tojson", {"x": 1}, True,
    ),
    "object as text": ("c.function.arguments", {"x": 1}, False),
    "object joined": ("'' ~ c.function.arguments", {"x": 1}, False),
    "object as a string": ("c.function.arguments | string", {"x": 1}, False),
    "object formatted": ("'%s' | format(c.function.arguments)", {"x": 1}, False),
    "object formatted with braces": ("'{}'.format(c.function.arguments)", {"x": 1}, False),
    "object formatted with percent": ("'%s' % c.function.arguments", {"x": 1}, False),
    "object of which a format takes a value": ("'{0[x]}'.format(c.function.arguments)",
    {"x": 1}, True),
    "object of which percent takes a value": ("'%(x)s' % c.function.arguments", {"x": 1}, True),
    "None formatted": ("'%s' | format(c.function.arguments.x)", {"x": None}, False),
    "None in a tuple formatted": ("'%s' % (c.function.arguments.x,)", {"x": None}, False),
    "empty object as text": ("c.function.arguments", {}, False),
    "keys one by one": ("c.function.arguments | join(',')", {"x": 1}, True),
    "missing text": ("c.function.arguments.y", {"x": 1}, True),
    "None": ("c.function.arguments.x", {"x": None}, False),
    "None joined": ("'' ~ c.function.arguments.x", {"x": None}, False),
    "None as JSON": ("c.function.arguments.x | tojson", {"x": None}, False),
    "None as a string": ("c.function.arguments.x | string", {"x": None}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", WELL)
def test_what_is_written_well(name: str) -> None:
    """JSON of objects and text of texts are; Python's form of an object or of None is not."""
    written, arguments, expected = WELL[name]
    sandbox = TracedSandbox(CALLS.replace("c.function | tojson", written), **GIVEN)
    record = chat(called(arguments))
    rendering = sandbox.trace(record.messages, record)
    assert (badly_written(record, sandbox.tracer, rendering) == "") == expected


@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x": 1}'])
@pytest.mark.parametrize(
    "written",
    [
        "c.function | tojson", "c | tojson", "c.function.arguments | tojson",
        "c.function.arguments", "'' ~ c.function.arguments", "c.function.arguments | string",
        "{'n': c.function.name, 'a': c.function.arguments} | tojson",
        "(c.function.arguments if c.function.arguments is string else "
        "c.function.arguments | tojson)",
        "(c.function.arguments | tojson if c.function.arguments is mapping else "
        "raise_exception('no object'))",
        "(c.function.arguments if c.function.arguments is string else raise_exception('no text'))",
    ],
)  # fmt: skip
def test_the_row_does_not_depend_on_the_form_of_the_record(written: str, arguments: Any) -> None:
    """JSON text and the object give the row of the object, written as JSON without quotes."""
    source = CALLS.replace("c.function | tojson", written)
    text = shown(renderer(source), called(arguments))
    assert '{"x": 1}' in text
    assert "'x'" not in text
    assert '\\"' not in text
    assert text == shown(renderer(source), called({"x": 1}))


def test_arguments_that_stand_elsewhere_too() -> None:
    """What a text elsewhere in the record says does not change how arguments are written."""
    record = called('{"x": 1}')
    record["messages"][0]["content"] = 'Call f with {"x": 1}.'
    text = shown(renderer(CALLS), record)
    assert '<call>{"name": "f", "arguments": {"x": 1}}</call>' in text
    assert text.startswith('<im>user\nCall f with {"x": 1}.</im>')


def test_a_missing_content_that_the_template_needs_is_empty() -> None:
    """A template that writes the content of a call gets an empty text instead of None."""
    source = CALLS.replace("m.content or ''", "m.content")
    assert "<im>assistant\n⟦<call>" in shown(renderer(source), called({"x": 1}))
    fails = CALLS.replace("m.content or ''", "m.content.strip()")
    assert "<im>assistant\n⟦<call>" in shown(renderer(fails), called({"x": 1}))


def test_a_template_that_takes_no_form_is_refused_for_the_first() -> None:
    """The refusal is about the record as it is, with arguments as an object."""
    source = CALLS.replace(
        "c.function | tojson",
        "raise_exception('an object' if c.function.arguments is mapping else 'a text')",
    )
    with pytest.raises(RecordError) as caught:
        shown(renderer(source), called('{"x": 1}'))
    assert caught.value.reason == "template_refused"
    assert caught.value.problem == "chat template t.jinja refuses the record: an object"


def test_arguments_that_no_form_writes_well_are_written_as_at_inference() -> None:
    """A template that writes an object as Python does writes it so at inference too."""
    source = CALLS.replace("c.function | tojson", "{'a': c.function.arguments}")
    made = renderer(source)
    for arguments in ({"x": 1}, '{"x": 1}'):
        assert "<call>{'a': {'x': 1}}</call>" in shown(made, called(arguments))


def test_a_record_of_the_schema_with_arguments_as_text_has_both_forms() -> None:
    """The schema leaves arguments as the record has them."""
    made = chat_of(called('{"x": 1}'))
    arguments = [v.messages[1]["tool_calls"][0]["function"]["arguments"] for v in variants(made)]
    assert (arguments[0], arguments[-1]) == ({"x": 1}, '{"x": 1}')
