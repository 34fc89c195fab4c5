"""Prefixes: what is proven of the beginnings of a chat is what the template writes for them.

The templates look ahead in the ways of models' own templates: they search for the last question,
count messages, and ask for the last one. Everything is compared with renderings of the beginnings.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.looking import SEARCHES, looking_sources

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.traced_chat import TracedChat, TracedSandbox

GIVEN: dict[str, Any] = {
    "name": "t", "today": None, "variables": {"bos_token": "<s>", "eos_token": "</s>"},
}  # fmt: skip
SHARED = sorted((Path(__file__).resolve().parents[4] / "shared/chat_templates").glob("*.jinja"))
LAST_QUESTION = (
    "{% set ns = namespace(go=true, at=messages|length - 1) %}{% for m in messages[::-1] %}"
    "{% set i = (messages|length - 1) - loop.index0 %}{% if ns.go and m.role == 'user' %}"
    "{% set ns.go = false %}{% set ns.at = i %}{% endif %}{% endfor %}"
)
TURN = "<im>{{ m.role }}\n{{ m.content }}</im>\n"
PROMPT = "{% if add_generation_prompt %}<im>assistant\n{% endif %}"


def messages_of(roles: list[str]) -> list[dict[str, Any]]:
    """Return messages with these roles and short contents."""
    return [{"role": r, "content": "abczdefghi"[i % 10]} for i, r in enumerate(roles)]


def exchanges(number: int) -> list[dict[str, Any]]:
    """Return a conversation of so many questions, each with its answer."""
    return messages_of(["user", "assistant"] * number)


ROLES = st.lists(
    st.sampled_from(["user", "assistant", "user", "assistant", "tool", "system"]),
    min_size=2,
    max_size=9,
).map(messages_of)
EXCHANGES = st.integers(1, 5).map(exchanges)


def chat_with(messages: list[dict[str, Any]], **more: Any) -> Chat:
    """Return a chat of messages."""
    return Chat(messages, more.pop("tools", None), (None,) * len(messages), 1000, **more)


def check(source: str, chat: Chat) -> tuple[int, int]:
    """Check all prompts of a chat; return how many beginnings are proven, and of how many."""
    plain = Sandbox(source, **GIVEN)
    try:
        text = plain.render(chat.messages, chat.tools, size=1000, arguments=chat.arguments)
    except RecordError:
        return 0, 0
    made = TracedChat(TracedSandbox(source, **GIVEN), chat, plain)
    try:
        whole = made.whole()
    except RecordError:
        with pytest.raises(RecordError):  # the proofs are not the cause
            TracedSandbox(source, **GIVEN).trace(chat.messages, chat)
        return 0, 0
    assert whole.text == text
    proven = answers = 0
    for number in range(1, len(chat.messages)):
        beginning = made._beginnings.get(number)
        for asks in (True, False):
            expected = made._prompt(number, asks)
            assert made.prompt(number, generation_prompt=asks) == expected
            if beginning and expected is not None and (asks or not made._depends_on_asking):
                known = text[: beginning.position] + beginning.more
                assert expected.startswith(known)
        if chat.messages[number]["role"] == "assistant":
            answers += 1
            proven += beginning is not None
    return proven, answers


@settings(max_examples=some(40), deadline=None)
@given(looking_sources(), st.one_of(EXCHANGES, ROLES))
def test_what_is_proven_is_what_the_template_writes(
    source: str, messages: list[dict[str, Any]]
) -> None:
    """Random templates and conversations."""
    check(source, chat_with(messages))


@pytest.mark.conformance
@settings(max_examples=1500, deadline=None)
@given(looking_sources(), st.one_of(EXCHANGES, ROLES))
def test_much_of_what_is_proven_is_what_the_template_writes(
    source: str, messages: list[dict[str, Any]]
) -> None:
    """The same, longer."""
    check(source, chat_with(messages))


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_keeps_the_prompts(search: str) -> None:
    """A search before the main loop, and a comparison in it."""
    source = (
        "{% macro find(some) %}{% for s in some %}{{ s.role[0] }}{% endfor %}{% endmacro %}"
        "{% set ns = namespace(go=true, at=0, count=0, odd=false, text='', keep=[], inner=none) %}"
        "{% set n = messages|length %}{% set rest = messages[1:] %}"
        f"{search}{{% for m in messages %}}{TURN}{{{{ 'x' if loop.index0 > ns.at }}}}"
        f"{{{{ 'y' if ns.odd }}}}{{% endfor %}}{PROMPT}"
    )
    for messages in (exchanges(4), messages_of(["system", "user", "assistant", "tool"] * 2)):
        check(source, chat_with(messages))


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}" + TURN + "{% endfor %}",
        "{% for m in messages %}" + TURN + "{{ ',' if not loop.last }}{% endfor %}",
        "{% for m in messages %}{{ 'l' if loop.revindex0 < 1 }}" + TURN + "{% endfor %}",
        "{% for i in range(messages|length) %}{% set m = messages[i] %}" + TURN + "{% endfor %}",
        LAST_QUESTION + "{% for m in messages %}" + TURN
        + "{{ 'x' if loop.index0 > ns.at }}{% endfor %}",
        LAST_QUESTION.replace("ns.go and m.role == 'user'", "m.role == 'user' and ns.go")
        + "{% for m in messages %}" + TURN + "{{ 'x' if loop.index0 > ns.at }}{% endfor %}",
        "{% set ns = namespace(at=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
        "{% set ns.at = loop.index0 %}{% endif %}{% endfor %}"
        "{% for m in messages %}" + TURN + "{{ 'x' if loop.index0 > ns.at }}{% endfor %}",
        "{% set ns = namespace(odd=false) %}{% for m in messages %}" + TURN
        + "{% set ns.odd = m.role == 'user' %}{% endfor %}{{ '<end>' if ns.odd }}",
        "{% for m in messages %}{% set nn = namespace(role='') %}"
        "{% for o in messages[loop.index:] %}{% if not nn.role %}{% set nn.role = o.role %}"
        "{% endif %}{% endfor %}" + TURN + "{{ 'x' if nn.role == 'user' }}{% endfor %}",
        "{% set users = messages|selectattr('role', 'eq', 'user')|list %}"
        "{% for m in messages %}{{ 't' if tools and m == users[-1] }}" + TURN + "{% endfor %}",
        "{% for m in messages %}" + TURN
        + "{{ '<end>' if loop.last and not add_generation_prompt }}{% endfor %}",
        "{% if tools %}{% for m in messages %}[" + TURN + "]{% endfor %}{% elif nothing %}"
        "{% for m in messages %}{{ m.role }}{% endfor %}{% else %}{% set ns = namespace(n=0) %}"
        "{% for m in messages %}" + TURN + "{% set ns.n = loop.index % 2 %}{% endfor %}"
        "{{ '<end>' if ns.n }}{% endif %}{{ '<odd>' if ns.n }}",
        "{% if messages[0].role == 'system' %}{% for m in messages[1:] %}" + TURN + "{% endfor %}"
        "{% else %}{% for m in messages %}" + TURN + "{% endfor %}{% endif %}",
    ],
)  # fmt: skip
def test_common_templates_that_look_ahead_are_proven(source: str) -> None:
    """No prompt has to be rendered but the first, which shows what follows the main loop."""
    assert check(source + PROMPT, chat_with(exchanges(5))) == (5, 5)


def steps_of(source: str, messages: list[dict[str, Any]]) -> int:
    """Return how many times the template reads the role of a message, to prove all prompts."""
    reads = 0
    traced = TracedSandbox(source, **GIVEN)
    environment = traced._traced
    getattr_ = environment.getattr

    def counted(obj: Any, attribute: str) -> Any:
        nonlocal reads
        reads += attribute == "role"
        return getattr_(obj, attribute)

    environment.getattr = counted  # type: ignore[method-assign]
    made = TracedChat(traced, chat_with(messages), Sandbox(source, **GIVEN))
    made.whole()
    roles = [message["role"] for message in messages]
    assert set(made._beginnings) >= {i for i, role in enumerate(roles) if role == "assistant"}
    return reads


FLAG_LAST = LAST_QUESTION.replace("ns.go and m.role == 'user'", "m.role == 'user' and ns.go")


@pytest.mark.parametrize("search", [LAST_QUESTION, FLAG_LAST])
@pytest.mark.parametrize("roles", [["user", "assistant"], ["tool", "assistant"]])
def test_the_work_grows_with_the_length_of_the_chat(search: str, roles: list[str]) -> None:
    """A search from the end does not begin anew for each answer, however far the question is."""
    source = search + "{% for m in messages %}" + TURN + "{{ loop.index0 > ns.at }}{% endfor %}"
    first = messages_of(["user"] if roles[0] == "tool" else [])
    short, long = (steps_of(source, [*first, *messages_of(roles * n)]) for n in (50, 200))
    assert long < 4.5 * short


def test_a_template_that_rewrites_all_of_the_history_is_not_proven_forever() -> None:
    """Each prefix differs from its first turn on. Only short ones are worth to go alone."""
    source = "{% for m in messages %}{{ loop.length }}" + TURN + "{% endfor %}" + PROMPT
    proven, answers = check(source, chat_with(exchanges(40)))
    assert answers == 40
    assert 0 < proven < 40


@pytest.mark.parametrize(
    "state",
    [
        "{% set j = joiner(',') %}{% for m in messages %}{{ j() }}",
        "{% set g = messages|map(attribute='role') %}{% for m in messages %}{{ g|list|length }}",
        "{% set g = [1, 2, 3]|map('string') %}{% for m in messages %}{{ g|join }}",
        "{% set ns = namespace(a=none) %}{% for m in messages %}{% set ns.a = namespace(b=1) %}"
        "{% set q = ns.a %}{{ q.b }}{% set q.b = 2 %}",
    ],
)
def test_a_state_that_cannot_be_restored(state: str) -> None:
    """What a prefix does alone must not change what the whole does."""
    source = state + TURN + "{{ ',' if not loop.last }}{% endfor %}" + PROMPT
    check(source, chat_with(exchanges(4)))


def test_a_prefix_that_fails_does_not_fail_the_record() -> None:
    """The template refuses a conversation that ends with a question."""
    source = (
        "{% for m in messages %}{{ raise_exception('no') if loop.last and m.role == 'user' }}"
        + TURN + "{% endfor %}"
    )  # fmt: skip
    assert check(source + PROMPT, chat_with(exchanges(3))) == (0, 3)


TOOL_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call12345", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    ],
}
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Why?"},
    {"role": "user", "content": "<tool_response>r</tool_response>"},
    {"role": "assistant", "content": "So."},
    {"role": "assistant", "content": "<think>\nr\n</think>\n\nSo."},
    {"role": "assistant", "content": "So.", "reasoning_content": "r"},
    TOOL_CALL,
    TOOL_CALL | {"reasoning_content": "r", "content": "c"},
    {"role": "tool", "content": "42", "tool_call_id": "call12345", "name": "f"},
    {"role": "system", "content": "Be brief."},
]


@pytest.mark.conformance
@pytest.mark.skipif(not SHARED, reason="the folder shared is missing")
@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
@settings(max_examples=some(60), deadline=None)
@given(st.lists(st.sampled_from(ITEMS), min_size=2, max_size=12), st.booleans())
def test_prompts_of_models_templates(
    path: Path, messages: list[dict[str, Any]], thinks: bool
) -> None:
    """Models' own templates, with calls, results and reasoning in any order."""
    check(path.read_text(), chat_with(messages, arguments=(("enable_thinking", thinks),)))
    alternating = [m for pair in zip(ITEMS[:2] * 6, messages, strict=False) for m in pair]
    check(path.read_text(), chat_with(alternating))
