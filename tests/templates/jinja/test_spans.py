"""Spans: where a turn's span starts and ends, rule by rule.

The tests are named after the rules at the top of ``sftprep/templates/jinja/spans.py``. A trained
span is shown between ⟦ and ⟧.
"""

import pytest

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.spans import (
    _common_items,
    _common_length,
    _header_length,
    _start,
    derived_spans,
    marked_spans,
)
from sftprep.templates.jinja.traced_chat import TracedChat

CONTROLS = ControlTokens(
    [
        AddedToken(token, i, True, False, False, False, False)
        for i, token in enumerate(["<im>", "</im>", "<think>", "<call>"])
    ]
)


@pytest.mark.parametrize(
    ("between", "added", "header"),
    [
        ("</im>\n<im>bot\n", "<im>bot\n", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\n", "<im>bot\n<think>\n", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\n<call>x", "<im>bot\n<think>\n", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\n", "<im>bot\nthinking:", "</im>\n<im>bot\n"),
        ("</im>\n<im>bot\nsays", "<im>bot\nthinks", ""),
        ("</im>\n<im>a<im>bot\n", "<im>bot\n<think>", ""),
        ("</im>\nbot: ", "bot: ", ""),
        ("</im>", "", ""),
    ],
)
def test_rule_1c_a_header_ends_where_it_differs_from_the_prompt(
    between: str, added: str, header: str
) -> None:
    """If the header differs from the generation prompt within plain text, its end is unknown."""
    found = _header_length(CONTROLS.split(between), CONTROLS.split(added))
    assert between[:found] == header


def test_rule_1_a_span_starts_where_the_inference_prompt_ends() -> None:
    """Rule 1a with parity, rule 1b without it, and an unknown start."""
    text = "<im>q</im><im>bot a</im>"
    gap = (5, 18)
    assert _start(text, "<im>q</im><im>bot ", "<im>q</im>", gap, CONTROLS) == (18, True)
    assert _start(text, "<im>Q</im><im>bot ", "<im>Q</im>", gap, CONTROLS) == (18, False)
    assert _start(text, "<im>q</im>me: ", "<im>q</im>", gap, CONTROLS) == (None, False)


def test_the_common_start_of_two_texts_ends_at_a_different_control_token() -> None:
    """Outer white space of plain text does not count."""
    ours, theirs = CONTROLS.split("x\n</im>\n<im>"), CONTROLS.split("x</im>\n<think>")
    assert _common_items(ours, theirs) == 3
    assert _common_items(ours, CONTROLS.split("y</im>")) == 0
    assert _common_length(CONTROLS.split("ab<im>c"), CONTROLS.split("ab<im>d")) == 6
    assert _common_length(CONTROLS.split("abc"), CONTROLS.split("abd<im>")) == 2
    assert _common_length(CONTROLS.split("a<im>"), CONTROLS.split("a</im>")) == 1


def spans_of(source: str, *contents: str, eos: str | None = None) -> str:
    """Return a conversation as the template writes it, with the spans of all answers."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
    chat = Chat(messages, None, (None,) * len(messages), 100)
    sandbox = Sandbox(source, name="t.jinja", today=None, variables={})
    traced = TracedChat(sandbox, chat, "0123456789abcdef", lambda path: True)
    rendering, _ = traced.whole()
    answers = range(1, len(messages), 2)
    if "generation %}" in source:
        found = marked_spans(rendering, traced, answers)
    else:
        found = derived_spans(rendering, traced, answers, CONTROLS, eos)
    text = rendering.text
    for span in reversed(found.spans):
        text = f"{text[: span.start]}⟦{text[span.start : span.end]}⟧{text[span.end :]}"
    return text if found.parity else f"no parity: {text}"


def template(end: str, *, prompt: str = "<im>b:", start: str = "<im>{{ m.role[0] }}:") -> str:
    """Return a template whose turns start and end with these texts."""
    head = start.replace("{{ m.role[0] }}", "{{ 'q' if m.role == 'user' else 'b' }}")
    return (
        "{% for m in messages %}" + head + "{{ m.content }}" + end + "{% endfor %}"
        "{% if add_generation_prompt %}" + prompt + "{% endif %}"
    )


LAST = "{% if loop.last and m.role != 'user' %}X{% else %}Y{% endif %}"

RULES = {
    "1a": (template("</im>"), "<im>q:1</im><im>b:⟦2</im>⟧<im>q:3</im><im>b:⟦4</im>⟧"),
    "1b": (
        "{% if messages[-1].role != 'user' %}H{% endif %}" + template("</im>"),
        "no parity: H<im>q:1</im><im>b:⟦2</im>⟧<im>q:3</im><im>b:⟦4</im>⟧",
    ),
    "1c": (
        template("</im>", prompt="<im>b:<think>"),
        "no parity: <im>q:1</im><im>b:⟦2</im>⟧<im>q:3</im><im>b:⟦4</im>⟧",
    ),
    "2a": (
        template("<call><im></im>"),
        "<im>q:1<call><im></im><im>b:⟦2<call>⟧<im></im>"
        "<im>q:3<call><im></im><im>b:⟦4<call>⟧<im></im>",
    ),
    "2b": (
        template("<call></im>"),
        "<im>q:1<call></im><im>b:⟦2<call></im>⟧<im>q:3<call></im><im>b:⟦4<call></im>⟧",
    ),
    "2b, more at the end": (
        template("</im>").removesuffix("{% endif %}") + "{% else %}<call>{% endif %}",
        "<im>q:1</im><im>b:⟦2</im>⟧<im>q:3</im><im>b:⟦4</im>⟧<call>",
    ),
    "2c": (
        template(LAST.replace("X", "<call>").replace("Y", "</im>")),
        "<im>q:1</im><im>b:⟦2</im>⟧<im>q:3</im><im>b:⟦4<call>⟧",
    ),
    "2d": (
        template("\n#\n", start="{{ m.role[0] }}:", prompt="b:"),
        "q:1\n#\nb:⟦2\n#⟧\nq:3\n#\nb:⟦4\n#⟧\n",
    ),
    "generation markers": (
        template("</im>").replace(
            "{{ m.content }}", "{% generation %}{{ m.content }}{% endgeneration %}"
        ),
        "<im>q:1</im><im>b:⟦2⟧</im><im>q:3</im><im>b:⟦4⟧</im>",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_finds_the_spans(rule: str) -> None:
    """The answers of two exchanges, with what ends them."""
    source, expected = RULES[rule]
    assert spans_of(source, "1", "2", "3", "4", eos="<call>" if rule == "2a" else None) == expected


REFUSALS = {
    "messages[1] is not written": (
        "{% for m in messages if m.role == 'user' %}<im>{{ m.content }}</im>{% endfor %}",
        "it does not write the text of messages[1]",
    ),
    "rule 3": (
        "{% for m in messages if m.role != 'user' %}<im>{{ m.content }}{{ messages[0].content }}"
        "{{ m.content }}</im>{% endfor %}",
        "it writes other text into messages[1]",
    ),
    "rule 1": (
        template("</im>", prompt="me:"),
        "the prompt before messages[1] is not found in it",
    ),
    "rule 2": (
        template(LAST.replace("X", "<call>").replace("Y", "")),
        "the terminator of messages[1] is not certain",
    ),
    "rule 2d": (
        template(LAST.replace("X", "x").replace("Y", "y"), start="{{ m.role[0] }}:", prompt="b:"),
        "the end of messages[1] is not found in the conversation",
    ),
    "markers without a text": (
        template("{% generation %}</im>{% endgeneration %}"),
        "a pair of its generation markers contains texts of no message or of several",
    ),
    "an answer outside the markers": (
        template("</im>").replace(
            "{{ m.content }}",
            "{% if loop.last %}{{ m.content }}{% else %}{% generation %}{{ m.content }}"
            "{% endgeneration %}{% endif %}",
        ),
        "its generation markers leave out messages[3]",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_span_that_no_rule_determines_is_refused(case: str) -> None:
    """The error says what is missing."""
    source, why = REFUSALS[case]
    with pytest.raises(RecordError) as caught:
        spans_of(source, "1", "2", "3", "4")
    assert (caught.value.reason, caught.value.problem) == (
        "span_not_derivable",
        f"it is not certain what the chat template trains: {why}",
    )
