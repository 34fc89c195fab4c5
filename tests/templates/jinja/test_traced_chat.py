"""TracedChat: it renders a chat, its beginnings and its prompts as the sandbox renders them.

Prompts are not always rendered: where the rendering of the whole chat proves what a prompt is, the
text is taken from there. These tests compare each prompt with what the sandbox gives.
"""

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CALLS, CHATML, call, chat_of, tool, turns

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.traced_chat import TracedChat, TracedSandbox

GIVEN: dict[str, Any] = {"name": "t", "today": None, "variables": {"bos_token": "<s>"}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
TALK = turns("a", "b", "c", "d", "e", "f")


@lru_cache(maxsize=4)
def sandbox(source: str) -> Sandbox:
    """Return a compiled template."""
    return Sandbox(source, **GIVEN)


def traced(source: str, chat: Chat) -> TracedChat:
    """Return a chat of a template, of which the whole was rendered."""
    made = TracedChat(TracedSandbox(source, **GIVEN), chat, sandbox(source))
    made.whole()
    return made


def rendered(source: str, chat: Chat, messages: list[dict[str, Any]], *, prompt: bool) -> Any:
    """Return what the sandbox makes of messages; None if the template does not accept them."""
    try:
        return sandbox(source).render(
            messages, chat.tools, size=chat.size, add_generation_prompt=prompt
        )
    except RecordError:
        return None


def check_prompts(source: str, record: dict[str, Any]) -> None:
    """Check all prompts of a record against the sandbox, in several orders."""
    chat = chat_of(record)
    if rendered(source, chat, chat.messages, prompt=False) is None:
        return
    expected = {
        (number, prompt): rendered(source, chat, chat.messages[:number], prompt=prompt)
        for number in range(1, len(chat.messages))
        for prompt in (True, False)
    }
    for order in (sorted(expected), sorted(expected, reverse=True)):
        made = traced(source, chat)
        for number, prompt in order:
            text = made.prompt(number, generation_prompt=prompt)
            assert text == expected[number, prompt], (number, prompt)


LOOKING = [
    "{{ 'x' if loop.last }}", "{{ loop.index }}", "{{ loop.length }}", "{{ loop.revindex }}",
    "{{ loop.nextitem.role if loop.nextitem is defined }}", "{{ 'x' if not loop.nextitem }}",
    "{{ loop.previtem.content if loop.previtem }}", "{{ messages|length }}", "{{ messages|count }}",
    "{{ messages[-1].role }}", "{{ (messages|last).content }}", "{{ messages[loop.index] }}",
    "{{ messages[loop.index].role if loop.index < messages|length }}", "{{ loop.first }}",
    "{{ messages[loop.index:]|length }}", "{{ messages[loop.index0:][0].role }}",
    "{{ 'x' if messages[loop.index:] }}", "{{ messages[1:]|length }}", "{{ messages[:2]|length }}",
    "{{ messages[::-1][0].content }}", "{{ messages[-2:]|length }}", "{{ (messages|first).role }}",
    "{{ 'x' if messages[2] is defined }}", "{{ 'x' if messages[loop.index] is defined }}",
    "{{ messages|selectattr('role', 'eq', 'user')|list|length }}", "{{ [messages]|tojson }}",
    "{{ messages|map(attribute='content')|join(',') }}", "{{ {'k': messages}|tojson }}",
    "{{ messages|tojson }}", "{{ messages }}", "{{ messages ~ '' }}", "{{ [messages] ~ '' }}",
    "{{ m in messages[3:] }}", "{{ m is in messages[2:] }}", "{{ messages == messages[:2] }}",
    "{{ 'e' in messages|map(attribute='content') }}", "{{ messages|string }}",
    "{% for n in messages %}{{ n.role[0] }}{% endfor %}", "{{ '%s' % [messages] }}",
    "{% for n in messages[loop.index:] %}{{ n.role[0] }}{% endfor %}", "{{ dict(k=messages).k }}",
    "{% for n in messages|reverse %}{{ n.role[0] }}{% endfor %}",
    "{{ [messages]|map('length')|sum }}",
    "{% for n in messages if n.role == 'user' %}{{ loop.length }}{% endfor %}",
    "{% for a, b in messages|groupby('role') %}{{ b|length }}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for n in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
    "{{ ns.n }}",
    "{% set all = messages %}{{ all|length }}", "{% set all = [messages, 1] %}{{ all[0]|length }}",
    "{{ show(messages) }}", "{{ show(messages[loop.index:]) }}", "{{ last() }}",
    "{{ messages.__len__ }}",
    "{{ namespace(k=messages).k|length }}", "{{ (messages, 1)[0]|length }}",
    "{{ 'x' if messages }}",
    "{{ (messages if true else [])|length }}", "{{ (messages or [])|length }}",
    "{{ messages|batch(2)|list|length }}", "{{ messages|slice(2)|list|length }}",
    "{{ messages[1:][1:]|length }}", "{{ messages[1:][0].role }}",
    "{{ messages[loop.index0].role }}",
    "{{ (messages + [1])|length }}", "{{ (messages * 2)|length }}", "{{ messages.index(m) }}",
    "{{ messages.count(m) }}", "{{ messages|unique(attribute='role')|list|length }}",
    "{{ messages is sameas messages }}", "{{ messages|default([])|length }}",
    "{{ messages is eq [] }}",
    "{{ messages[loop.index0:loop.index]|length }}", "{{ messages[5:6]|length }}", "{{ seen }}",
    "{{ raise_exception('') if messages|length > 4 }}", "{{ messages|min(attribute='role') }}",
    "{{ loop.cycle('a', 'b') }}", "{{ loop.changed(m.role) }}", "{{ loop.depth }}",
    "{% if loop.last %}{% set x = 1 %}{% endif %}{{ x }}",
    "{{ loop['last'] }}",
    "{{ loop|attr('last') }}", "{{ [loop][0].last }}",
    "{{ [m, messages][1]|length }}", "{{ {m.role: messages}[m.role]|length }}", "{{ joined }}",
    "{{ (loop.nextitem or {}).role }}", "{{ messages[loop.index0 + 1].content if not loop.last }}",
]  # fmt: skip
BEFORE = [
    "", "{{ messages|length }}", "{{ messages[0].role }}", "{{ messages[-1].content }}",
    "{% set seen = messages|length %}", "{% set messages = messages[1:] %}",
    "{% set all = messages %}", "{% set joined = messages|map(attribute='content')|join %}",
    "{% if messages[0].role == 'user' %}u{% endif %}",
    "{{ (messages|selectattr('role')|list)[-1] }}",
    "{% if messages[2] is defined %}!{% endif %}", "{% if messages[1] %}!{% endif %}",
]  # fmt: skip
LOOPS = [
    "messages", "messages", "messages[1:]", "messages|list", "messages if m.content != 'c'",
    "messages[:-1]", "messages|selectattr('role')", "messages[0:]", "messages|reverse",
    "(messages if true else [])", "messages[:3]",
]  # fmt: skip
AFTER = ["", "", "{{ messages|length }}", "{{ messages[-1].role }}", "</s>", "{{ seen }}"]


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Generate templates that look ahead in the conversation in many ways."""
    start = draw(st.sampled_from(BEFORE))
    body = draw(st.lists(st.sampled_from(LOOKING), max_size=2))
    place = draw(st.integers(0, len(body)))
    inside = "".join([*body[:place], "{{ m.content }}</im>", *body[place:]])
    test = draw(st.sampled_from(["true", "true", "m.role == 'user'", "loop.last", "loop.first"]))
    prompt = draw(st.sampled_from(["<im>assistant\n", "{{ messages[-1].content }}<im>", ""]))
    return (
        "{% macro show(some) %}{{ some|length }}{% endmacro %}"
        "{% macro last() %}{{ messages[-1].content }}{% endmacro %}"
        f"{start}{{% for m in {draw(st.sampled_from(LOOPS))} %}}<im>{{{{ m.role }}}}\n"
        f"{{% if {test} %}}{inside}{{% else %}}{{{{ m.content }}}}{{% endif %}}{{% endfor %}}"
        f"{draw(st.sampled_from(AFTER))}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )


@pytest.mark.parametrize("looking", LOOKING)
def test_a_template_that_looks_ahead_gets_its_true_prompts(looking: str) -> None:
    """Whatever it looks at: a prompt is what the template writes for the messages before."""
    macros = (
        "{% macro show(some) %}{{ some|length }}{% endmacro %}"
        "{% macro last() %}{{ messages[-1].content }}{% endmacro %}"
    )
    check_prompts(macros + CHATML.replace("{{ '<im>'", looking + "{{ '<im>'"), TALK)


@settings(max_examples=some(25), deadline=None)
@given(sources())
def test_prompts_are_what_the_template_gives(source: str) -> None:
    """Random templates that look ahead."""
    check_prompts(source, TALK)


@pytest.mark.conformance
@settings(max_examples=600, deadline=None)
@given(sources())
def test_many_prompts_are_what_the_template_gives(source: str) -> None:
    """The same, longer."""
    check_prompts(source, TALK)


def test_renderings_of_a_beginning() -> None:
    """``until`` renders the messages up to one; ``when_followed`` adds a made-up message."""
    record = turns("a", call(x=1), tool("r"), "b")
    made = traced(CALLS, chat_of(record))
    assert made.until(0).text == "<im>user\na</im>\n"
    after_calls, after_answer = made.when_followed(1), made.when_followed(3)
    assert after_calls is not None
    assert after_answer is not None
    assert after_calls.text == made.until(1).text + "<im>tool\n-</im>\n"
    assert after_answer.text == made.until(3).text + "<im>user\n-</im>\n"


def test_a_template_that_accepts_no_message_after_a_turn() -> None:
    """Then there is no such rendering; a tool's result is tried as well."""
    refuses_user = "{% if messages[-1].content == '-' %}{{ raise_exception('no') }}{% endif %}"
    assert traced(refuses_user + CHATML, chat_of(TALK)).when_followed(1) is None
    only_tools = refuses_user.replace("== '-'", "== '-' and messages[-1].role == 'user'")
    followed = traced(only_tools + CHATML, chat_of(TALK)).when_followed(1)
    assert followed is not None
    assert followed.text.endswith("<im>tool\n-</im>\n")
    leaves_out = CHATML.replace("{% for", "{% for m in messages if m.content != '-' %}{% for", 0)
    skips = leaves_out.replace("for m in messages", "for m in messages if m.content != '-'")
    assert traced(skips, chat_of(TALK)).when_followed(1) is None


def test_a_prompt_that_the_template_refuses_is_none() -> None:
    """Some templates need a user message, or an answer at the end."""
    source = "{{ raise_exception('short') if messages|length == 1 }}" + CHATML
    made = traced(source, chat_of(TALK))
    assert made.prompt(1, generation_prompt=True) is None
    assert made.prompt(2, generation_prompt=False) == ("<im>user\na</im>\n<im>assistant\nb</im>\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("", ""), "<im>assistant\n"),
        (("<im>assistant\n' }}{% endif", "<im>assistant\n<think>' }}{% endif"),
         "<im>assistant\n<think>"),
        (("{% if add", "{{ 'x' if not add_generation_prompt }}{% if add"), ""),
        (("{% if add", "{{ raise_exception('') if messages|length < 2 }}{% if add"), ""),
        (("{% if add_generation_prompt %}", "{% if false %}"), ""),
    ],
)  # fmt: skip
def test_the_generation_prompt(change: tuple[str, str], expected: str) -> None:
    """It is what ``add_generation_prompt`` adds after a user message; "" if that is unknown."""
    assert traced(CHATML.replace(*change), chat_of(TALK)).generation_prompt() == expected


def test_arguments_and_tools_of_the_record_reach_the_template() -> None:
    """In traced renderings as in prompts; the record's arguments win over the run's."""
    source = "{{ bos_token }}{{ word }}{{ tools|length }}" + CHATML
    chat = chat_of(TALK | {"tools": TOOLS})._replace(arguments=(("bos_token", "B"), ("word", "W")))
    made = traced(source, chat)
    assert made.until(0).text == "BW1<im>user\na</im>\n"
    assert made.prompt(1, generation_prompt=True) == "BW1<im>user\na</im>\n<im>assistant\n"
    paths = [content.origin.path for content in made.until(0).contents]
    assert paths[:2] == [("arguments", "bos_token"), ("arguments", "word")]
