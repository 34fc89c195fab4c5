"""Reasoning, tool calls and roles in chat templates: what is left out, and what is trained."""

from itertools import groupby
from typing import Any

import pytest
from templates.jinja.chats import CALLS, CHATML, call, chat_of, renderer, shown, tool, turns

from sftprep.data.policy import Policy
from sftprep.errors import RecordError
from sftprep.schemas.per_turn import per_turn
from sftprep.templates.jinja.parts import without
from sftprep.templates.jinja.spans import Span

PROMPT = "{% if add_generation_prompt %}<bot>{% endif %}"
THINKING = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<bot><think>{{ m.reasoning_content }}"
    "</think> {{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}</call>{% endfor %}<end>"
    "{% else %}<user>{{ m.content }}<end>{% endif %}{% endfor %}" + PROMPT
)
CHANNELS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if m.reasoning_content %}<bot>thought:{{ m.reasoning_content }}<end>{% endif %}"
    "{% for c in m.tool_calls or [] %}<bot>to {{ c.function.name }}:"
    "{{ c.function.arguments | tojson }}<call>{% endfor %}"
    "{% if m.content %}<bot>final:{{ m.content }}<end>{% endif %}"
    "{% else %}<user>{{ m.content }}<end>{% endif %}{% endfor %}" + PROMPT
)
WORDS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<bot>Thought: {{ m.reasoning_content }}"
    "{% if m.content %} Answer: {{ m.content }}{% endif %}"
    "{% for c in m.tool_calls or [] %} Call: {{ c.function.name }}{% endfor %}<end>"
    "{% else %}<user>{{ m.content }}<end>{% endif %}{% endfor %}" + PROMPT
)
SPLITS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<bot>"
    "{% set parts = m.content.split('</think>') %}{% if parts | length > 1 %}"
    "<think>{{ parts[0].split('<think>')[-1] }}</think>{{ parts[-1] }}"
    "{% else %}<think></think>{{ m.content }}{% endif %}<end>"
    "{% else %}<user>{{ m.content }}<end>{% endif %}{% endfor %}" + PROMPT
)


def thought(reasoning: str, content: str = "", calls: bool = False) -> dict[str, Any]:
    """Build an answer with reasoning; perhaps with a call."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    message |= call(x=1) if calls else {}
    return message | {"reasoning_content": reasoning}


PARTS: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
    ("a block in tags", THINKING, {"reasoning": "none"}, thought("r", "a"),
     "<bot><think>r</think> ⟦a<end>⟧"),
    ("in front of a call", THINKING, {"reasoning": "none"}, thought("r", "", calls=True),
     "<bot><think>r</think> ⟦<call>f</call><end>⟧"),
    ("a call behind reasoning", THINKING, {"calls": False}, thought("r", "", calls=True),
     "<bot>⟦<think>r</think> ⟧<call>f</call><end>"),
    ("a call behind text", THINKING, {"calls": False}, thought("r", "a", calls=True),
     "<bot>⟦<think>r</think> a⟧<call>f</call><end>"),
    ("both", THINKING, {"reasoning": "none", "calls": False}, thought("r", "a", calls=True),
     "<bot><think>r</think> ⟦a⟧<call>f</call><end>"),
    ("channels", CHANNELS, {"reasoning": "none"}, thought("r", "a"),
     "<bot>thought:r<end>⟦<bot>final:a<end>⟧"),
    ("a call in a channel", CHANNELS, {"reasoning": "none"}, thought("r", "", calls=True),
     "<bot>thought:r<end>⟦<bot>to f:{\"x\": 1}<call>⟧"),
    ("text behind a call", CHANNELS, {"calls": False}, thought("r", "a", calls=True),
     "<bot>⟦thought:r<end>⟧<bot>to f:{\"x\": 1}<call>⟦<bot>final:a<end>⟧"),
    ("words, without tags", WORDS, {"reasoning": "none"}, thought("r", "a"),
     "<bot>Thought: r Answer: ⟦a<end>⟧"),
    ("reasoning alone", WORDS, {"reasoning": "none"}, thought("r"), "<bot>Thought: r⟦<end>⟧"),
    ("the template splits the content", SPLITS, {"reasoning": "none"},
     {"role": "assistant", "content": "<think>r</think>a"}, "<bot><think>r</think>⟦a<end>⟧"),
    ("the template writes an empty block", SPLITS, {"reasoning": "none"},
     {"role": "assistant", "content": "a"}, "<bot>⟦<think></think>a<end>⟧"),
    ("an empty block in front of unclosed reasoning", SPLITS, {"reasoning": "none"},
     {"role": "assistant", "content": "<think>r"}, "<bot>⟦<think></think>⟧<think>r⟦<end>⟧"),
    ("a tag in the middle of the content", CHATML, {"reasoning": "none"},
     {"role": "assistant", "content": "Write <think>x</think>"},
     "<im>assistant\n⟦Write <think>x</think></im>⟧\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "policy", "answer", "expected"), [p[1:] for p in PARTS], ids=[p[0] for p in PARTS]
)
def test_parts_of_answers(
    source: str, policy: dict[str, Any], answer: dict[str, Any], expected: str
) -> None:
    """Exactly the part and the template's text around it is left out of the loss."""
    made = shown(renderer(source, **policy), turns("q", answer))
    question = "<im>user\nq</im>\n" if source == CHATML else "<user>q<end>"
    if source == CHANNELS:  # the prompt ends with <bot>, so only the first one is not trained
        expected = expected.replace("⟦<bot>thought", "<bot>⟦thought")
    assert made == question + expected


TAGS = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
]


@pytest.mark.parametrize(("opening", "closing"), TAGS)
@pytest.mark.parametrize("shares", [True, False])
def test_the_tags_of_each_family(opening: str, closing: str, shares: bool) -> None:
    """Whether the template copies the content, or splits it and writes the tags itself."""
    splits = SPLITS.replace("<think>", opening).replace("</think>", closing)
    for source, start, end in ((CHATML, "<im>assistant\n", "</im>"), (splits, "<bot>", "<end>")):
        made = renderer(source, reasoning="none")
        made._may_reuse = shares
        for reasoning, answer in (("r", "a"), ("no reason", "an answer")):
            text = shown(made, turns("q", f"{opening}{reasoning}{closing}{answer}"))
            untrained = f"{start}{opening}{reasoning}{closing}"
            assert untrained in text
            assert text.partition(untrained)[2].startswith(f"⟦{answer}{end}⟧")
        assert f"{start}⟦" in shown(made, turns("q", f"a{opening}b{closing}c"))


def test_the_reasoning_of_the_last_answer() -> None:
    """``last`` leaves out the reasoning of all answers but the last."""
    record = turns("q", thought("r", "a"), "q", thought("s", "b"))
    assert shown(renderer(THINKING, reasoning="last"), record) == (
        "<user>q<end><bot><think>r</think> ⟦a<end>⟧<user>q<end><bot>⟦<think>s</think> b<end>⟧"
    )


def test_an_answer_without_a_trained_end_is_no_answer() -> None:
    """The end of a call that is not trained does not count; other ends do, whatever is left out."""
    record = turns("q", thought("r", "a", calls=True), "q", thought("s", "b"))
    for policy, ends in (({}, ["<end>"] * 2), ({"calls": False}, ["<end>"]),
                         ({"reasoning": "none"}, ["<end>"] * 2)):  # fmt: skip
        made = renderer(THINKING, **policy)
        shape = made.render(chat_of(record)).shape
        assert [made.pieces(shape)[end - 1].text[-5:] for end in made.answers(shape)] == ends


def test_a_flag_does_not_bring_a_part_back() -> None:
    """The flag says that the answer is trained, the policy says which parts of it."""
    record = turns("q", {**thought("r", "a", calls=True), "train": True})
    for train_on in ("completion", "user"):
        made = renderer(THINKING, train_on=train_on, reasoning="none", calls=False)
        assert "<bot><think>r</think> ⟦a⟧<call>f</call><end>" in shown(made, record)


def test_reasoning_that_may_end_anywhere_before_a_call_is_refused() -> None:
    """Between reasoning and a call, only a control token or a tag tells where the call begins."""
    with pytest.raises(RecordError) as caught:
        shown(renderer(WORDS, reasoning="none"), turns("q", thought("r", "", calls=True)))
    assert str(caught.value) == (
        "it is not certain what the chat template trains: where the reasoning in messages[1] ends "
        "before the call is not clear"
    )
    assert caught.value.reason == "span_not_derivable"


def test_reasoning_that_the_template_changes_is_refused() -> None:
    """It is not certain where in the changed text the reasoning ends."""
    source = CHATML.replace("m.content", "m.content | upper")
    with pytest.raises(RecordError) as caught:
        shown(renderer(source, reasoning="none"), turns("q", "<think>r</think>a"))
    assert "it changes the content of messages[1]" in str(caught.value)


# --- roles --------------------------------------------------------------------------------------

NEXT_ROLE = (
    "{% for m in messages %}{{ '<user>' if m.role == 'user' else '<bot>' }}"
    "{{ m.content }}{% endfor %}" + PROMPT
)
SYSTEM_INSIDE = (
    "{% for m in messages %}{% if m.role == 'user' %}<user>"
    "{% if loop.index0 == 1 %}{{ messages[0].content }}\n\n{% endif %}{{ m.content }}<end>"
    "{% elif m.role == 'assistant' %}<bot>{{ m.content }}</s>{% endif %}{% endfor %}" + PROMPT
)
RESULTS = (
    "{% for m in messages %}{% if m.role == 'tool' %}"
    "{% if loop.previtem.role != 'tool' %}<user>{% endif %}<calls>{{ m.content }}</calls>"
    "{% if loop.nextitem.role != 'tool' %}</s>{% endif %}"
    "{% elif m.role == 'assistant' %}<bot>{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}</call>{% endfor %}</s>"
    "{% else %}<user>{{ m.content }}</s>{% endif %}{% endfor %}" + PROMPT
)
NAMED = (
    "{% for m in messages %}{% if m.role == 'tool' %}<user>{{ m.name }} says: {{ m.content }}</s>"
    "{% elif m.role == 'assistant' %}<bot>{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}</call>{% endfor %}</s>"
    "{% else %}<user>{{ m.content }}</s>{% endif %}{% endfor %}" + PROMPT
)
SYSTEM = {"role": "system", "content": "s"}
ROLES: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("the terminator", CHATML, "user", turns("a", "b", "c", "d"),
     "<im>user\n⟦a</im>⟧\n<im>assistant\nb</im>\n<im>user\n⟦c</im>⟧\n<im>assistant\nd</im>\n"),
    ("the marker of the next message", NEXT_ROLE, "user", turns("a", "b", "c", "d"),
     "<user>⟦a<bot>⟧b<user>⟦c<bot>⟧d"),
    ("no control token", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
     "{% if add_generation_prompt %}assistant: {% endif %}", "user", turns("a", "b"),
     "user: ⟦a⟧\nassistant: b\n"),
    ("a system prompt in the user's turn", SYSTEM_INSIDE, "user",
     {"messages": [SYSTEM, *turns("a", "b")["messages"]]}, "<user>s\n\n⟦a<end>⟧<bot>b</s>"),
    ("tool results in one turn", RESULTS, "tool",
     turns("a", call(), tool("1"), tool("2"), {"role": "assistant", "content": "b"}),
     "<user>a</s><bot><call>f</call></s><user><calls>⟦1</calls>⟧<calls>⟦2</calls></s>⟧<bot>b</s>"),
    ("a name before the content", NAMED, "tool",
     turns("a", call(), {**tool("1"), "name": "f"}, "b"),
     "<user>a</s><bot><call>f</call></s><user>f says: ⟦1</s>⟧<bot>b</s>"),
    ("several roles", CALLS, "user,assistant", turns("a", call(x=1), tool("1"), "b"),
     "<im>user\n⟦a</im>⟧\n<im>assistant\n⟦<call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</call>"
     "</im>⟧\n<im>tool\n1</im>\n<im>assistant\n⟦b</im>⟧\n"),
    ("a developer counts as system", CHATML, "system",
     {"messages": [{"role": "developer", "content": "s"}, *turns("a", "b")["messages"]]},
     "<im>developer\n⟦s</im>⟧\n<im>user\na</im>\n<im>assistant\nb</im>\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "train_on", "record", "expected"), [r[1:] for r in ROLES], ids=[r[0] for r in ROLES]
)
def test_bodies_of_roles(source: str, train_on: str, record: dict[str, Any], expected: str) -> None:
    """A body is the content and what ends the turn; markers and other texts are not in it."""
    assert shown(renderer(source, train_on=train_on), record) == expected


def test_a_name_in_front_of_a_trained_result_stays_text() -> None:
    """What the record says in front of the body can become no control token."""
    record = turns("a", call(), {**tool("1"), "name": "<bot>"}, "b")
    made = renderer(NAMED, train_on="tool")
    assert "<bot>" in made.render(chat_of(record)).contents


def test_text_of_another_message_in_a_body_is_refused() -> None:
    """A body holds texts of its own message only."""
    source = CHATML.replace("m.content", "m.content + messages[0].content + m.content")
    with pytest.raises(RecordError) as caught:
        shown(renderer(source, train_on="user"), turns("a", "b", "c", "d"))
    assert "it writes other text into messages[2]" in str(caught.value)


def test_markers_that_leave_out_a_role() -> None:
    """The markers say what is trained at most, so a body outside of them is refused."""
    source = CHATML.replace("{{ '<im>'", "{% generation %}{{ '<im>'").replace(
        "{% endfor", "{% endgeneration %}{% endfor"
    )
    assert shown(renderer(source, train_on="user"), turns("a", "b")).startswith("⟦<im>user\na</im>")
    marked = CHATML.replace(
        "{{ '<im>' + m.role + '\n' + m.content",
        "{{ '<im>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ ''",
    )
    with pytest.raises(RecordError) as caught:
        shown(renderer(marked, train_on="user,assistant"), turns("a", "b"))
    assert str(caught.value) == (
        "it is not certain what the chat template trains: its generation markers leave out "
        "messages[0]"
    )


def test_one_example_for_each_body() -> None:
    """With --per-turn, an example ends with the message that is trained."""
    policy = Policy("user")
    examples = per_turn(chat_of(turns("a", "b", "c", "d")), policy.has_body)
    made = renderer(CHATML, train_on="user")
    rendered = [made.render(example) for example in examples]
    assert [made.rewrites(one.shape) for one in rendered] == [False, False]
    assert [len(example.messages) for example in examples] == [1, 3]
    texts = [made.pieces(one.shape) for one in rendered]
    for pieces in texts:
        assert [is_trained for is_trained, _ in groupby(p.trained for p in pieces)] == [
            False, True, False,
        ]  # fmt: skip


def test_spans_without_their_holes() -> None:
    """Holes may lie anywhere in a span, and reach over its borders."""
    spans = [Span(0, 10, 1), Span(20, 30, 3)]
    gone = [Span(0, 2, 1), Span(5, 6, 1), Span(25, 40, 3)]
    assert without(spans, gone) == [Span(2, 5, 1), Span(6, 10, 1), Span(20, 25, 3)]
    assert without(spans, []) == spans
