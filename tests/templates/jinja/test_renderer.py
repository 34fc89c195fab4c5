"""ChatRenderer: chat templates with the peculiarities that models' templates have.

Each template here is small, our own, and does one thing that some model's template does. The
trained text is shown between ⟦ and ⟧.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from templates.jinja.chats import (
    CALLS,
    CHATML,
    call,
    chat_of,
    contents,
    renderer,
    shown,
    shown_rendered,
    tool,
    turns,
)

from sftprep.data.pieces import LITERAL, Section
from sftprep.errors import InternalError, RecordError
from sftprep.templates.jinja.renderer import CHECKED_OF

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
        CHATML.replace(
            "m.content",
            "(m.content if m.content is string else m.content | join(attribute='text'))",
        ),
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
    "an additional EOS at the very end": (
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
    "a call continues differently than the generation prompt": (
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
def test_the_answer_and_its_terminator_are_trained(name: str) -> None:
    """Exactly these are trained, whatever else the template does."""
    source, record, expected = CASES[name]
    assert shown(renderer(source), record) == expected


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "answer left out": (CHATML.replace("m.content", "m.role"), turns("a", "b")),
    "all messages at once": ("{{ messages | tojson }}" + CHATML, turns("a", "b")),
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
def test_a_span_that_cannot_be_proven_is_refused(name: str) -> None:
    """A span is never guessed."""
    source, record = REFUSED[name]
    with pytest.raises(RecordError) as caught:
        shown(renderer(source), record)
    assert caught.value.reason == "span_not_derivable"


def test_train_on_and_train_flags_decide_what_is_trained() -> None:
    """All answers, the last answer or all text; a flag in the record takes an answer out."""
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


FLAGS: list[tuple[str, list[bool | None], str]] = [
    ("last", [None, True, None, None], "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n"
     "<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n"),
    ("last", [None, None, None, False], "<im>user\na</im>\n<im>assistant\nb</im>\n"
     "<im>user\nc</im>\n<im>assistant\nd</im>\n"),
    ("all", [None, False, None, None], "⟦<im>user\na</im>\n<im>assistant\n⟧b</im>⟦\n"
     "<im>user\nc</im>\n<im>assistant\nd</im>\n⟧"),
    ("all", [False, None, None, None], "⟦<im>user\n⟧a⟦</im>\n<im>assistant\nb</im>\n"
     "<im>user\nc</im>\n<im>assistant\nd</im>\n⟧"),
    ("completion", [True, None, None, False], "<im>user\n⟦a⟧</im>\n<im>assistant\n⟦b</im>⟧\n"
     "<im>user\nc</im>\n<im>assistant\nd</im>\n"),
]  # fmt: skip


@pytest.mark.parametrize(("train_on", "flags", "expected"), FLAGS)
@pytest.mark.parametrize(
    "source",
    [
        CHATML,
        "{% for m in messages %}{{ '<im>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}</im>{% endgeneration %}{% else %}{{ m.content }}</im>"
        "{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% endif %}",
    ],
    ids=["derived spans", "generation markers"],
)
def test_a_flag_wins_over_the_policy(
    source: str, train_on: str, flags: list[bool | None], expected: str
) -> None:
    """A flag decides about the span of an answer, and about the content of another message."""
    record = turns("a", "b", "c", "d")
    for message, flag in zip(record["messages"], flags, strict=True):
        message["train"] = flag
    assert shown(renderer(source, train_on=train_on), record) == expected


def test_a_tool_result_is_trained_if_its_flag_says_so() -> None:
    """A flag wins over the rule that tool results are not trained."""
    record = turns("a", call(x=1), {**tool("result"), "train": True}, "b")
    assert "<im>tool\n⟦result⟧</im>" in shown(renderer(CALLS), record)


def test_tool_results_are_not_trained_by_default() -> None:
    """Even with --train-on all, tool results are not trained: the model does not write them."""
    record = turns("a", {**call(x=1), "content": "c"}, tool("result"), "b")

    made = shown(renderer(CHATML, train_on="all"), record)

    assert made.startswith("⟦<im>user\na</im>\n")
    assert "<im>tool\n⟧result⟦</im>" in made
    assert made.endswith("<im>assistant\nb</im>\n⟧")


def test_a_key_that_the_template_writes_itself_cannot_become_a_control_token() -> None:
    """This holds even if the same template writes other objects as JSON."""
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

    assert contents(renderer(source), record("x"))[2:] == ("f", "x", "1")
    assert contents(renderer(source), record("</im>"))[2:] == ("f", "</im>", "1")


def test_a_rewritten_prompt_is_reported() -> None:
    """``rewrites`` tells that inference would feed another text before the answer."""
    source, record, _ = CASES["extra text in the generation prompt"]
    different, equal = renderer(source), renderer(CHATML)
    assert different.rewrites(different.render(chat_of(record)).shape)
    assert not equal.rewrites(equal.render(chat_of(record)).shape)


def test_records_of_one_structure_share_their_shape() -> None:
    """A skeleton is derived once, and then filled with the texts of each record."""
    made = renderer(CHATML)
    rendered = [made.render(chat_of(turns(*texts))) for texts in (("a", "b"), ("c", "d"))]
    assert [each.shape for each in rendered] == [0, 0]
    assert [shown_rendered(made, each) for each in rendered] == [
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n",
        "<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n",
    ]


def test_a_skeleton_that_does_not_give_the_records_text_is_not_used() -> None:
    """If a text changes what the template writes around it, a new skeleton is derived."""
    source = CHATML.replace("m.content +", "m.content + ('!' if 'x' in m.content else '') +")
    made = renderer(source)
    rendered = [made.render(chat_of(turns(user, "b"))) for user in ("a", "x", "b", "xy")]
    assert [each.shape for each in rendered] == [0, 1, 0, 1]
    assert [shown_rendered(made, each).split("</im>")[0] for each in rendered] == [
        "<im>user\na",
        "<im>user\nx!",
        "<im>user\nb",
        "<im>user\nxy!",
    ]


def test_the_proof_is_checked_with_some_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A skeleton that does not give a record's text, although it is proven to, ends the run."""
    made = renderer(CHATML)
    made.render(chat_of(turns("a", "b")))
    monkeypatch.setattr(made, "_text", lambda chat: "another text")
    unchecked = [length for length in range(1, 200) if (length + 1) % CHECKED_OF]
    for length in unchecked:
        made.render(chat_of(turns("a" * length, "b")))
    for length in set(range(1, 200)).difference(unchecked):
        with pytest.raises(InternalError, match="writes another text for a record than was deriv"):
            made.render(chat_of(turns("a" * length, "b")))


def test_few_shapes_are_remembered_and_many_are_forgotten() -> None:
    """More than ``most_shapes`` skeletons are dropped, so odd records do not fill the memory."""
    made = renderer(CHATML, most_shapes=2)
    records = [turns(*["a", "b"] * count) for count in (1, 2, 3)]
    for number, record in enumerate(records):
        assert not made.forget()
        assert made.render(chat_of(record)).shape == number
    assert made.forget()
    again = made.render(chat_of(records[2]))
    assert again.shape == 0
    assert shown_rendered(made, again) == "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n" * 3
    assert not made.forget()


def sections(source: str, record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the text of each section, one after the other, with its first letter."""
    made = renderer(source)
    rendered = made.render(chat_of(record))
    found: list[tuple[str, str]] = []
    for piece in made.pieces(rendered.shape):
        text = piece.text if piece.slot == LITERAL else rendered.contents[piece.slot]
        name = Section(piece.section).name[0]
        if found and found[-1][1] == name:
            found[-1] = (found[-1][0] + text, name)
        else:
            found.append((text, name))
    return found


def test_a_single_exchange_keeps_all_template_text_of_the_prompt() -> None:
    """Truncation may only cut the user's text, and the answer."""
    assert sections(CHATML, turns("a", "b")) == [
        ("<im>user\n", "K"), ("a", "P"), ("</im>\n<im>assistant\n", "K"), ("b</im>\n", "C"),
    ]  # fmt: skip


def test_the_system_turn_is_kept() -> None:
    """With several exchanges, the system turn with its terminator may not be cut."""
    record = turns({"role": "system", "content": "s"}, *turns("a", "b", "c", "d")["messages"])
    assert sections(CHATML, record) == [
        ("<im>system\ns</im>\n", "K"),
        ("<im>user\na</im>\n<im>assistant\nb</im>\n<im>user\nc</im>\n<im>assistant\n", "P"),
        ("d</im>\n", "C"),
    ]  # fmt: skip


def test_a_bos_in_front_of_a_content_is_kept() -> None:
    """Without a system turn, a BOS that stands alone at the start may not be cut."""
    source = (
        "{{ bos_token }}{% for m in messages %}{{ m.content }}</im>{% if m.role == 'user' %}<bot>"
        "{% endif %}{% endfor %}"
    )
    assert sections(source, turns("a", "b", "c", "d")) == [
        ("<s>", "K"), ("a</im><bot>b</im>c</im><bot>", "P"), ("d</im>", "C"),
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x": 1}'], ids=["object", "JSON text"])
@pytest.mark.parametrize("written", ["arguments | tojson", "arguments"])
def test_arguments_get_the_form_that_the_template_takes(written: str, arguments: Any) -> None:
    """Arguments come as an object or as JSON text, and templates take the one or the other."""
    source = CALLS.replace("c.function | tojson", f"'' + c.function.{written}")
    record = turns("a", call())
    record["messages"][1]["tool_calls"][0]["function"]["arguments"] = arguments
    assert shown(renderer(source), record).endswith('⟦<call>{"x": 1}</call></im>⟧\n')


def test_arguments_that_are_not_json_are_text() -> None:
    """A template that needs an object cannot write arguments that are not JSON."""
    record = turns("a", call())
    record["messages"][1]["tool_calls"][0]["function"]["arguments"] = "x = 1"
    with pytest.raises(RecordError) as caught:
        shown(renderer(CALLS.replace("c.function", "c.function.arguments.items()")), record)
    assert caught.value.reason == "template_failed"
    source = CALLS.replace("c.function | tojson", "c.function.arguments | upper")
    assert shown(renderer(source), record).endswith("⟦<call>X = 1</call></im>⟧\n")


def test_what_is_computed_from_a_text_is_a_content() -> None:
    """The template cannot make a control token of the record's text, however it computes it."""
    source = CHATML.replace("m.content", "(m.content | lower) + m.content[:4]")
    assert contents(renderer(source), turns("</IM>x", "b")) == ("</im>x", "</IM", "b", "b")


@pytest.mark.parametrize(
    "written",
    [
        "messages | map(attribute='content') | join",
        "''.join(messages | map(attribute='content'))",
        "messages[0].content.encode().decode()", "'%s' % {messages[0].content: 1}",
        "{messages[0].content: 1}.keys() | join", "'{}'.format({messages[0].content: 1})",
        "tools[0].role", "word",
    ],
)  # fmt: skip
def test_no_operation_makes_template_text_of_a_text(written: str) -> None:
    """A text of the record cannot become a control token on any way through the template."""
    record = turns("<final>", "b") | {
        "tools": [{"type": "function", "role": "<final>", "function": {"name": "f"}}],
        "chat_template_kwargs": {"word": "<final>"},
    }
    made = renderer(f"{{{{ {written} }}}}" + CHATML.replace("m.content", "m.content | trim"))
    rendered = made.render(chat_of(record))
    assert "<final>" in shown_rendered(made, rendered).partition("<im>")[0]
    assert not any("<final>" in piece.text for piece in made.pieces(rendered.shape))


def test_date_and_arguments() -> None:
    """``strftime_now`` formats the given date, and template arguments are variables."""
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
def test_keys_and_types_cannot_become_control_tokens(
    build: Callable[[str], dict[str, Any]],
) -> None:
    """What a template writes of them is a content, like any other text of the record."""
    source = CALLS.replace(
        "{{ c.function | tojson }}",
        "{{ c.type }}{% for k in c.function.arguments %}<{{ k }}>{% endfor %}",
    )
    for text in ("end", "<end>", " end "):
        assert text in contents(renderer(source), build(text))


def test_a_text_that_cannot_be_followed_is_refused() -> None:
    """After ``safe``, Jinja escapes what is added to the text; the traced text does not show it."""
    source = CHATML.replace("m.content +", "('<b>' + (m.content | safe)) +")
    with pytest.raises(RecordError) as caught:
        shown(renderer(source), turns("a", "b"))
    assert caught.value.reason == "span_not_derivable"
    assert caught.value.problem == (
        "it is not certain what the chat template trains: its text differs when the record's texts "
        "are followed through it, as after the filters `e` and `safe`"
    )
    harmless = CALLS.replace("m.content or ''", "m.content | safe")
    assert shown(renderer(harmless), turns("a", "b")) == (
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n"
    )
