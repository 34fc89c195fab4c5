"""What a template leaves out: each kind, and what only looks as if it were left out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CALLS, CHATML, call, chat_of, renderer, tool, turns

from sftprep.data.conversation import Chat
from sftprep.templates.jinja.omissions import omissions
from sftprep.templates.jinja.traced_chat import TracedSandbox
from sftprep.templates.jinja.tracing import Tracer

GIVEN: dict[str, Any] = {"name": "t", "today": None, "variables": {}}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in "fg"
]
SYSTEM = {"role": "system", "content": "s"}
ALL_TOOLS = "{{ tools | tojson }}"
REASONING = CHATML.replace(
    "m.content",
    "('<think>' + m.reasoning_content + '</think>' if m.reasoning_content else '') + m.content",
)
LAST_REASONING = REASONING.replace(
    "if m.reasoning_content else", "if m.reasoning_content and loop.last else"
)
SPLIT = CHATML.replace(
    "m.content",
    "(m.content if loop.last else m.content.split('</think>')[-1].lstrip())",
)


def left_out(source: str, record: dict[str, Any]) -> set[str]:
    """Return what a template leaves out of a record."""
    return left_out_of(source, chat_of(record))


def left_out_of(source: str, chat: Chat) -> set[str]:
    """Return what a template leaves out of a chat."""
    return set(omissions(chat, TracedSandbox(source, **GIVEN).trace(chat.messages, chat)))


def reasoning(content: str, thought: str, name: str = "reasoning_content") -> dict[str, Any]:
    """Build an answer with reasoning."""
    return {"role": "assistant", "content": content, name: thought}


def with_tools(*contents: Any) -> dict[str, Any]:
    """Build a record with two tools."""
    return turns(*contents) | {"tools": TOOLS}


CASES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "nothing": (CHATML, turns("a", "b"), set()),
    "white space is trimmed": (
        CHATML.replace("m.content", "m.content | trim"), turns("\n a ", " b\n"), set(),
    ),
    "tools": (CHATML, with_tools("a", "b"), {"tools"}),
    "tools as JSON": (ALL_TOOLS + CHATML, with_tools("a", "b"), set()),
    "one of the tools": ("{{ tools[0] | tojson }}" + CHATML, with_tools("a", "b"), {"tools"}),
    "tools one by one": (
        "{% for t in tools %}{{ t | tojson }}{% endfor %}" + CHATML, with_tools("a", "b"), set(),
    ),
    "tools by their names": (
        "{% for t in tools %}{{ t.function.name }}{% endfor %}" + CHATML,
        with_tools("a", "b"), set(),
    ),
    "tools that a filter joins": (
        "{{ tools | map(attribute='function') | map(attribute='name') | join(', ') }}" + CHATML,
        with_tools("a", "b"), set(),
    ),
    "tools in capitals": (
        "{{ tools | map(attribute='function') | map(attribute='name') | join(', ') | upper }}"
        + CHATML, with_tools("a", "b"), set(),
    ),
    "tools only if the system prompt stands first": (
        "{% if messages[0].role == 'system' %}{{ tools | tojson }}{% endif %}" + CHATML,
        with_tools("a", "b"), {"tools"},
    ),
    "the number of tools": ("{{ tools | length }}" + CHATML, with_tools("a", "b"), {"tools"}),
    "calls": (CALLS, turns("a", call(x=1), tool("r"), "b"), set()),
    "no calls": (
        CHATML.replace("m.content", "(m.content or '')"), turns("a", call(x=1), tool("r"), "b"),
        {"tool_calls"},
    ),
    "calls without arguments": (
        CALLS.replace("c.function | tojson", "c.function.name"), turns("a", call(x=1)),
        {"tool_calls"},
    ),
    "calls without a name": (
        CALLS.replace("c.function", "c.function.arguments"), turns("a", call(x=1)), {"tool_calls"},
    ),
    "empty arguments": (
        CALLS.replace("c.function | tojson", "c.function.name"), turns("a", call()), set(),
    ),
    "arguments one by one": (
        CALLS.replace("c.function | tojson", "c.function.name }}{% for k, v in "
                      "c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}{{ ''"),
        turns("a", call(x=1, y="z")), set(),
    ),
    "only the first call": (
        CALLS.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]"),
        turns("a", call(x=1) | {"tool_calls": [
            {"type": "function", "id": i, "function": {"name": "f", "arguments": {"x": 1}}}
            for i in "12"
        ]}), {"tool_calls"},
    ),
    "content beside calls": (
        CALLS.replace("{{ m.content or '' }}", "{{ m.content if not m.tool_calls else '' }}"),
        turns("a", call(x=1) | {"content": "c"}, tool("r"), "b"), {"content"},
    ),
    "reasoning": (CHATML, turns("a", reasoning("b", "r")), {"reasoning"}),
    "reasoning that is written": (REASONING, turns("a", reasoning("b", "r")), set()),
    "a part of the reasoning": (
        REASONING.replace("m.reasoning_content +", "m.reasoning_content[1:] +"),
        turns("a", reasoning("b", "rs")), {"reasoning"},
    ),
    "reasoning that is trimmed": (
        REASONING.replace("m.reasoning_content +", "m.reasoning_content.strip() +"),
        turns("a", reasoning("b", "\nr\n")), set(),
    ),
    "an empty part of the reasoning": (
        REASONING.replace("m.reasoning_content +", "m.reasoning_content[:0] +"),
        turns("a", reasoning("b", "rs")), {"reasoning"},
    ),
    "an empty part of the tools' names": (
        "{% for t in tools %}{{ t.function.name[:0] }}{% endfor %}" + CHATML,
        with_tools("a", "b"), {"tools"},
    ),
    "reasoning of earlier answers": (
        LAST_REASONING, turns("a", reasoning("b", "r"), "c", reasoning("d", "t")),
        {"earlier_reasoning"},
    ),
    "all reasoning": (
        CHATML, turns("a", reasoning("b", "r"), "c", reasoning("d", "t")),
        {"earlier_reasoning", "reasoning"},
    ),
    "empty reasoning": (CHATML, turns("a", reasoning("b", "")), set()),
    "reasoning in the content": (SPLIT, turns("a", "<think>r</think>b"), set()),
    "earlier reasoning in the content": (
        SPLIT, turns("a", "<think>r</think>b", "c", "<think>t</think>\n\nd"), {"earlier_reasoning"},
    ),
    "think tags that the template writes": (
        CHATML.replace("m.content", "m.content.replace('<think>', '').split('</think>') | join"),
        turns("a", "<think>r</think>b"), set(),
    ),
    "reasoning that is cut from the last answer": (
        CHATML.replace("m.content", "m.content.split('</think>')[-1]"),
        turns("a", "<think>r</think>b"), {"reasoning"},
    ),
    "reasoning without its first tag": (
        CHATML.replace("m.content", "m.content.split('</think>')[-1]"),
        turns("a", "r</think>b"), {"reasoning"},
    ),
    "all behind a tag": (
        CHATML.replace("m.content", "m.content.split('<think>')[0]"),
        turns("a", "<think>r</think>b"), {"reasoning", "content"},
    ),
    "reasoning between calls": (
        CALLS, turns("a", call(x=1) | {"reasoning_content": "r", "content": ""}, tool("t"), "b"),
        {"reasoning"},
    ),
    "system": (
        CHATML.replace("in messages", "in messages if m.role != 'system'"),
        turns(SYSTEM, *turns("a", "b")["messages"]), {"system"},
    ),
    "the second system prompt": (
        CHATML.replace("in messages", "in messages if m.content != 't'"),
        turns(SYSTEM, SYSTEM | {"content": "t"}, *turns("a", "b")["messages"]), {"system"},
    ),
    "developer": (
        CHATML.replace("in messages", "in messages if m.role != 'developer'"),
        turns({"role": "developer", "content": "s"}, *turns("a", "b")["messages"]), {"system"},
    ),
    "system in a user's turn": (
        "{% for m in messages if m.role != 'system' %}"
        "{{ messages[0].content ~ m.content if loop.first else m.content }}{% endfor %}",
        turns(SYSTEM, *turns("a", "b")["messages"]), set(),
    ),
    "an empty system prompt": (
        CHATML.replace("in messages", "in messages if m.role != 'system'"),
        turns(SYSTEM | {"content": ""}, *turns("a", "b")["messages"]), set(),
    ),
    "a question": (
        CHATML.replace("in messages", "in messages[-2:]"), turns("a", "b", "c", "d"), {"content"},
    ),
    "a tool's result": (
        CALLS.replace("in messages", "in messages if m.role != 'tool'", 1),
        turns("a", call(x=1), tool("r"), "b"), {"content"},
    ),
    "the end of a text": (CHATML.replace("m.content", "m.content[:2]"), turns("abc",
    "d"), {"content"}),
    "the start of a text": (CHATML.replace("m.content", "m.content[1:]"), turns("a",
    "bc"), {"content"}),
    "an empty part of a text": (
        CHATML.replace("m.content", "(m.content if m.role == 'user' else m.content[:0])"),
        turns("a", "bc"), {"content"},
    ),
    "white space at the ends": (CHATML.replace("m.content", "m.content[:1]"), turns("a\n",
    "b "), set()),
    "a text in capitals": (CHATML.replace("m.content", "m.content | upper"), turns("a",
    "b"), set()),
    "only its length": (
        CHATML.replace("m.content", "(m.content if m.role != 'user' else m.content|length|string)"),
        turns("a", "b"), {"content"},
    ),
    "only a decision on it": (
        CHATML.replace("m.content", "('yes' if m.content else 'no')"), turns("a", "b"), {"content"},
    ),
    "a text in another place": (
        CHATML + "{{ messages[0].content }}", turns("a", "b"), set(),
    ),
    "the same text elsewhere": (
        CHATML.replace("in messages", "in messages[1:]"), turns("same", "same"), {"content"},
    ),
    "a text put together again": (
        CHATML.replace("m.content", "m.content[2:] + m.content[:2]"), turns("abcd", "efgh"), set(),
    ),
    "name": (CHATML, turns({"role": "user", "content": "a", "name": "n"}, "b"), {"name"}),
    "name that is written": (
        CHATML.replace("m.content", "(m.name or '') + m.content"),
        turns({"role": "user", "content": "a", "name": "n"}, "b"), set(),
    ),
    "a part": (
        CHATML.replace("m.content", "(m.content if m.content is string else m.content[0].text)"),
        turns([{"type": "text", "text": "a"}, {"type": "text", "text": "x"}], "b"), {"content"},
    ),
    "all parts": (
        CHATML.replace("m.content", "(m.content if m.content is string else "
                                    "m.content | map(attribute='text') | join)"),
        turns([{"type": "text", "text": "a"}, {"type": "text", "text": "x"}], "b"), set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out(name: str) -> None:
    """Each kind of what a record holds is found if the template does not write it."""
    source, record, expected = CASES[name]
    assert left_out(source, record) == expected


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_each_name_of_reasoning_counts(field: str) -> None:
    """The template writes the field that it knows, and leaves out the other."""
    chat = Chat(
        [{"role": "user", "content": "a"}, reasoning("b", "r", field)], None, (None,) * 2, 9
    )
    assert left_out_of(CHATML, chat) == {"reasoning"}
    source = REASONING.replace("reasoning_content", field)
    assert left_out_of(source, chat) == set()


def test_reasoning_in_two_fields_is_written_once() -> None:
    """A template that knows one of two fields with the reasoning writes it."""
    message = {**reasoning("b", "r"), "reasoning": "r"}
    chat = Chat([{"role": "user", "content": "a"}, message], None, (None,) * 2, 9)
    assert left_out_of(REASONING, chat) == set()


def test_a_renderer_says_what_its_rows_leave_out() -> None:
    """For the records that share a skeleton as for the first."""
    made = renderer(CHATML)
    for texts in (("a", "b"), ("c", "d")):
        rendered = made.render(chat_of(with_tools(*texts)))
        assert made.omitted(rendered.shape) == {"tools"}
    assert made.omitted(made.render(chat_of(turns("a", "b"))).shape) == frozenset()


PARTS = st.lists(
    st.sampled_from(["m.content", "m.content[:2]", "m.content[2:]", "m.content[1:3]", "'x'",
                     "m.content | trim", "m.content | upper", "m.content[:0]", "''"]),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=some(30), deadline=None)
@given(PARTS, st.text("ab \n", max_size=5), st.text("ab \n", max_size=5).filter(str.strip))
def test_a_text_is_left_out_if_some_of_its_characters_are(
    parts: list[str], question: str, answer: str
) -> None:
    """Every character but white space must be written, whichever parts a template writes."""
    source = (
        "{% for m in messages %}{{ " + " ~ ".join(f"({part})" for part in parts) + " }}{% endfor %}"
    )
    ranges = {"m.content": (0, 9), "m.content | trim": (0, 9), "m.content | upper": (0, 9),
              "m.content[:2]": (0, 2), "m.content[2:]": (2, 9),
              "m.content[1:3]": (1, 3)}  # fmt: skip
    covered = {i for part in parts if part in ranges for i in range(*ranges[part])}
    missing = any(
        not character.isspace() and place not in covered
        for text in (question, answer)
        for place, character in enumerate(text)
    )
    assert left_out(source, turns(question, answer)) == ({"content"} if missing else set())


def test_it_looks_for_places_and_never_for_texts() -> None:
    """A record whose texts all are equal gives the same as one whose texts all differ."""
    for source in (CHATML, SPLIT, REASONING, CALLS):
        same = turns("x", reasoning("x", "x"), "x", "x") | {"tools": [{"name": "x"}]}
        other = turns("a", reasoning("b", "r"), "c", "d") | {"tools": [{"name": "f"}]}
        assert left_out(source, same) == left_out(source, other)


def test_the_tracer_gives_each_key_and_value_a_place() -> None:
    """So a tool of which the template writes a key only is not left out."""
    copy = Tracer().traced([{"name": "f", "x": {"y": 1}}], ("tools",))
    assert copy == [{"name": "f", "x": {"y": 1}}]
    source = "{% for t in tools %}{% for k in t %}{{ k }}{% endfor %}{% endfor %}" + CHATML
    assert left_out(source, with_tools("a", "b")) == set()
