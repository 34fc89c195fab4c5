"""Chat templates with every peculiarity met in the wild: what is trained of each, as text.

A rendering is shown with the trained part between ⟦ and ⟧. The templates are small and our own;
each does one thing that a model's template does.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from sftprep.data.control_tokens import AddedToken
from sftprep.errors import RecordError
from sftprep.schemas.chat import chat_normalizer
from sftprep.schemas.fields import Fields
from sftprep.templates.jinja.renderer import ChatRenderer
from sftprep.templates.template import ChatTemplate

TOKENS = (
    "<s>", "</s>", "<im>", "</im>", "<user>", "<bot>", "<end>", "<call>", "</call>", "<calls>",
    "</calls>", "<think>", "</think>", "<final>",
)  # fmt: skip
CONTROLS = {
    token: AddedToken(token, 1000 + i, True, False, False, False, False)
    for i, token in enumerate(TOKENS)
}

CHATML = (
    "{% for m in messages %}{{ '<im>' + m.role + '\n' + m.content + '</im>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% endif %}"
)
CALLS = (
    "{% for m in messages %}<im>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}"
    "</im>\n{% endfor %}{% if add_generation_prompt %}<im>assistant\n{% endif %}"
)


def renderer(source: str, **options: Any) -> ChatRenderer:
    """A renderer for a template written here."""
    arguments = options.pop("arguments", {})
    return ChatRenderer(
        ChatTemplate("t.jinja", source, "", arguments, options.pop("today", None)),
        variables={"bos_token": "<s>", "eos_token": options.pop("eos", "</s>")},
        controls=CONTROLS,
        bos="<s>",
        train_on=options.pop("train_on", "completion"),
        **options,
    )


def shown(made: ChatRenderer, record: dict[str, Any]) -> str:
    """A record's text with its trained parts in brackets."""
    normalize = chat_normalizer("messages", Fields({}))
    rendered = made.render(normalize(record))
    assert isinstance(rendered.shape, int)
    text = "".join(
        f"⟦{part}⟧" if piece.trained else part
        for piece in made.pieces(rendered.shape)
        for part in [rendered.contents[piece.slot] if piece.slot >= 0 else piece.text]
    )
    return text.replace("⟧⟦", "")


def turns(*contents: Any) -> dict[str, Any]:
    """A conversation: user and assistant in turn; a dict is a message of its own."""
    roles = ("user", "assistant")
    return {
        "messages": [
            c if isinstance(c, dict) else {"role": roles[i % 2], "content": c}
            for i, c in enumerate(contents)
        ]
    }


def call(**arguments: Any) -> dict[str, Any]:
    """An assistant's turn that calls a function."""
    function = {"name": "f", "arguments": arguments}
    calls = [{"type": "function", "id": "c1", "function": function}]
    return {"role": "assistant", "tool_calls": calls}


def tool(content: str) -> dict[str, Any]:
    """A tool's result."""
    return {"role": "tool", "content": content}


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "plain": (CHATML, turns("a", "b"), "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n"),
    "outer white space is kept": (
        CHATML,
        turns(" a\n", "\n b "),
        "<im>user\n a\n</im>\n<im>assistant\n⟦\n b </im>⟧\n",
    ),
    "trim": (
        CHATML.replace("m.content", "m.content | trim"),
        turns(" a\n", "\n b "),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n",
    ),
    "identical contents": (
        CHATML,
        turns("x", "x", "x", "x"),
        "<im>user\nx</im>\n<im>assistant\n⟦x</im>⟧\n" * 2,
    ),
    "contents like Jinja and like markers": (
        CHATML,
        turns("{{ 7 * 7 }}{% raw %}", "{% generation %}</im>⟦<im>assistant\n"),
        "<im>user\n{{ 7 * 7 }}{% raw %}</im>\n"
        "<im>assistant\n⟦{% generation %}</im>⟦<im>assistant\n</im>⟧\n",
    ),
    "content written twice": (
        CHATML.replace("m.content", "m.content + m.content"),
        turns("a", "b"),
        "<im>user\naa</im>\n<im>assistant\n⟦bb</im>⟧\n",
    ),
    "content that holds the generation prompt": (
        CHATML,
        turns("<im>assistant\n", "b"),
        "<im>user\n<im>assistant\n</im>\n<im>assistant\n⟦b</im>⟧\n",
    ),
    "empty user turn": (
        CHATML,
        turns("", "b", "", "d"),
        "<im>user\n</im>\n<im>assistant\n⟦b</im>⟧\n<im>user\n</im>\n<im>assistant\n⟦d</im>⟧\n",
    ),
    "list contents": (
        CHATML,
        turns([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "c"),
        "<im>user\nab</im>\n<im>assistant\n⟦c</im>⟧\n",
    ),
    "loop with set blocks and macros": (
        "{% macro turn(r, c) %}<im>{{ r }}\n{{ c }}</im>\n{% endmacro %}{% for m in messages %}"
        "{% set body %}{{ m.content }}{% endset %}{{ turn(m.role, body) }}{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% endif %}",
        turns("a", "b"),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n",
    ),
    "roles renamed, system in the first user turn": (
        "{% set ns = namespace(s='') %}{% for m in messages %}"
        "{% if m.role == 'system' %}{% set ns.s = m.content + '\n\n' %}"
        "{% elif m.role == 'user' %}<user>{{ ns.s }}{{ m.content }}<end>{% set ns.s = '' %}"
        "{% else %}<bot>{{ m.content }}<end>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<bot>{% endif %}",
        turns(
            {"role": "system", "content": "s"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
        ),
        "<user>s\n\na<end><bot>⟦b<end>⟧",
    ),
    "a terminator of several tokens": (
        CHATML.replace("</im>\n", "<end></im>\n"),
        turns("a", "b"),
        "<im>user\na<end></im>\n<im>assistant\n⟦b<end></im>⟧\n",
    ),
    "text-only terminators": (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n###\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}",
        turns("a", "b", "c", "d"),
        "user: a\n###\nassistant: ⟦b\n###⟧\nuser: c\n###\nassistant: ⟦d\n###⟧\n",
    ),
    "an EOS at the very end besides": (
        CHATML.replace("{% endif %}", "{% else %}{{ eos_token }}{% endif %}"),
        turns("a", "b", "c", "d"),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n</s>",
    ),
    "another terminator at the end": (
        "{% for m in messages %}<im>{{ m.role }}<final>{{ m.content }}"
        "{{ '</s>' if loop.last and m.role == 'assistant' else '<end>' }}{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant{% endif %}",
        turns("a", "b", "c", "d"),
        "<im>user<final>a<end><im>assistant⟦<final>b<end>⟧"
        "<im>user<final>c<end><im>assistant⟦<final>d</s>⟧",
    ),
    "EOS only at the end of a single exchange": (
        "{% for m in messages %}<{{ 'user' if m.role == 'user' else 'bot' }}>{{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<bot>{% else %}</s>{% endif %}",
        turns("a", "b"),
        "<user>a<bot>⟦b</s>⟧",
    ),
    "extra text in the generation prompt": (
        CHATML.replace("<im>assistant\n' }}", "<im>assistant\n<think>\n' }}"),
        turns("a", "b"),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n",
    ),
    "thinking taken out of history": (
        CHATML.replace(
            "m.content", "(m.content if loop.last else m.content.split('</think>')[-1])"
        ),
        turns("a", "<think>h</think>b", "c", "<think>i</think>d"),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n"
        "<im>user\nc</im>\n<im>assistant\n⟦<think>i</think>d</im>⟧\n",
    ),
    "thinking split and wrapped": (
        "{% for m in messages %}<im>{{ m.role }}\n{% if '</think>' in m.content %}"
        "{% set parts = m.content.split('</think>') %}"
        "<think>\n{{ parts[0].split('<think>')[-1].strip() }}\n</think>\n\n{{ parts[-1].strip() }}"
        "{% else %}{{ m.content }}{% endif %}</im>\n{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% endif %}",
        turns("a", "<think> h </think> b"),
        "<im>user\na</im>\n<im>assistant\n⟦<think>\nh\n</think>\n\nb</im>⟧\n",
    ),
    "reasoning field": (
        "{% for m in messages %}<im>{{ m.role }}\n"
        "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
        "{{ m.content }}</im>\n{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% endif %}",
        turns("a", {"role": "assistant", "content": "b", "reasoning_content": "h"}),
        "<im>user\na</im>\n<im>assistant\n⟦<think>h</think>b</im>⟧\n",
    ),
    "tool calls closed by control tokens": (
        CALLS,
        turns("a", call(x=1), tool("r"), "b"),
        "<im>user\na</im>\n"
        '<im>assistant\n⟦<call>{"name": "f", "arguments": {"x": 1}}</call></im>⟧\n'
        "<im>tool\nr</im>\n<im>assistant\n⟦b</im>⟧\n",
    ),
    "a tool call at the end": (
        CALLS,
        turns("a", call(x="é")),
        "<im>user\na</im>\n"
        '<im>assistant\n⟦<call>{"name": "f", "arguments": {"x": "é"}}</call></im>⟧\n',
    ),
    "arguments indented and sorted": (
        CALLS.replace(
            "c.function | tojson", "c.function.arguments | tojson(indent=2, sort_keys=true)"
        ),
        turns("a", call(z=1, y=[{"k": "v"}])),
        "<im>user\na</im>\n<im>assistant\n⟦<call>"
        '{\n  "y": [\n    {\n      "k": "v"\n    }\n  ],\n  "z": 1\n}</call></im>⟧\n',
    ),
    "a call goes on otherwise than the generation prompt": (
        CALLS.replace("<im>assistant\n{% endif %}", "<im>assistant\n<think>\n{% endif %}"),
        turns("a", call(x=1), tool("r"), call(x=2)),
        "<im>user\na</im>\n"
        '<im>assistant\n⟦<call>{"name": "f", "arguments": {"x": 1}}</call></im>⟧\n'
        "<im>tool\nr</im>\n"
        '<im>assistant\n⟦<call>{"name": "f", "arguments": {"x": 2}}</call></im>⟧\n',
    ),
    "generation markers of its own": (
        "{% for m in messages %}<im>{{ m.role }}\n{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}</im>\n{% endgeneration %}{% else %}{{ m.content }}</im>\n"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<im>assistant\n{% endif %}",
        turns("a", "b"),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>\n⟧",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_trained_text(name: str) -> None:
    """Exactly the answer and its terminator are trained, whatever the template does to them."""
    source, record, expected = CASES[name]
    assert shown(renderer(source), record) == expected


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "content in capitals": (CHATML.replace("m.content", "m.content | upper"), turns("a", "b")),
    "answer cut short": (CHATML.replace("m.content", "m.content[:3]"), turns("a", "bcdef")),
    "answer left out": (CHATML.replace("m.content", "m.role"), turns("a", "b")),
    "calls left out": (CHATML.replace("m.content", "(m.content or '')"), turns("a", call(x=1))),
    "no terminator within the conversation": (
        "{% for m in messages %}<im><{{ 'user' if m.role == 'user' else 'bot' }}>{{ m.content }}"
        "{% endfor %}{% if add_generation_prompt %}<im><bot>{% else %}</s>{% endif %}",
        turns("a", "b", "c", "d"),
    ),
    "no generation prompt, and the header is text": (
        "{% for m in messages %}{{ m.role }} says {{ m.content }}</im>{% endfor %}"
        "{% if add_generation_prompt %}bot: {% endif %}",
        turns("a", "b"),
    ),
    "another message inside the answer": (
        "{% for m in messages %}{% if m.role == 'assistant' %}<im>{{ m.reasoning_content }}"
        "{{ messages[0].content }}{{ m.content }}</im>{% endif %}{% endfor %}",
        turns("a", {"role": "assistant", "content": "b", "reasoning_content": "h"}),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_proven_is_refused(name: str) -> None:
    """A span is proven or refused, never guessed."""
    source, record = REFUSED[name]
    with pytest.raises(RecordError) as caught:
        shown(renderer(source), record)
    assert caught.value.reason == "span_not_derivable"


def test_policies() -> None:
    """All answers, the last, or all text; and what a record says of its own messages."""
    record = turns("a", "b", "c", "d")
    first, second = "<im>user\na</im>\n<im>assistant\n", "<im>user\nc</im>\n<im>assistant\n"
    assert shown(renderer(CHATML, train_on="last"), record) == (
        f"{first}b</im>\n{second}⟦d</im>⟧\n"
    )
    assert shown(renderer(CHATML, train_on="all"), record) == f"⟦{first}b</im>\n{second}d</im>\n⟧"
    record["messages"][3]["train"] = False
    assert shown(renderer(CHATML), record) == f"{first}⟦b</im>⟧\n{second}d</im>\n"
    record["messages"][1]["weight"] = 0
    assert shown(renderer(CHATML), record) == f"{first}b</im>\n{second}d</im>\n"


def test_tool_results_are_never_trained() -> None:
    """With all text trained, what a tool said still is not: the model does not write it."""
    record = turns("a", {**call(x=1), "content": "c"}, tool("result"), "b")

    made = shown(renderer(CHATML, train_on="all"), record)

    assert made.startswith("⟦<im>user\na</im>\n")
    assert "<im>tool\n⟧result⟦</im>" in made
    assert made.endswith("<im>assistant\nb</im>\n⟧")


def test_a_key_cannot_forge_where_another_object_is_dumped() -> None:
    """A template that dumps the tools but writes the arguments' keys itself: the key is refused."""
    source = (
        "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
        "{% for m in messages %}<im>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}"
        "{% for k, v in c.function.arguments.items() %}({{ k }}={{ v }}){% endfor %}{% endfor %}"
        "</im>\n{% endfor %}{% if add_generation_prompt %}<im>assistant\n{% endif %}"
    )
    tools = [{"type": "function", "function": {"name": "f", "description": "d"}}]

    def record(key: str) -> dict[str, Any]:
        return turns("a", {**call(**{key: "1"}), "content": ""}) | {"tools": tools}

    assert "(x=1)" in shown(renderer(source), record("x"))
    with pytest.raises(RecordError) as caught:
        shown(renderer(source), record("</im>"))
    assert caught.value.reason == "control_in_unmarked_text"


def test_parity_is_told() -> None:
    """Where inference would feed another prompt than the conversation holds, that is told."""
    source, record, _ = CASES["extra text in the generation prompt"]
    made = renderer(source)
    chat = chat_normalizer("messages", Fields({}))(record)
    made.render(chat)
    assert made.rewrites(0)
    plain = renderer(CHATML)
    plain.render(chat)
    assert not plain.rewrites(0)


def test_date_and_arguments() -> None:
    """``strftime_now`` tells the given date, and template arguments are variables."""
    source = "{{ strftime_now('%d %b %Y') }} {{ mode }}\n" + CHATML
    made = renderer(source, today=date(2026, 2, 3), arguments={"mode": "fast"})
    assert shown(made, turns("a", "b")) == (
        "03 Feb 2026 fast\n<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n"
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda t: {"messages": [*turns("a")["messages"], {**call(), "tool_calls": [
            {"type": t, "function": {"name": "f", "arguments": {}}}]}]},
        lambda t: turns("a", call(**{t: 1})),
    ],
)  # fmt: skip
def test_control_text_that_cannot_be_kept_apart_is_refused(
    build: Callable[[str], dict[str, Any]],
) -> None:
    """Keys and types that a template writes itself must not make up control tokens."""
    source = CALLS.replace(
        "{{ c.function | tojson }}",
        "{{ c.type }}{% for k in c.function.arguments %}<{{ k }}>{% endfor %}",
    )
    for text in ("end", "<end>", " end "):
        with pytest.raises(RecordError) as caught:
            shown(renderer(source), build(text))
        assert caught.value.reason == "control_in_unmarked_text"
