"""Each kind of template with each policy and each flag: the trained text is what the manual says.

The expected text is put together here, part by part, by the rules of the manual page ``masks``.
"""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from itertools import groupby
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CONTROLS, chat_of, renderer, shown_rendered

from sftprep.data.conversation import Conversation, Message
from sftprep.data.pieces import Rendered, Renderer
from sftprep.data.policy import Policy
from sftprep.templates.loading import parse_template
from sftprep.templates.renderer import TemplateRenderer

OPEN, CLOSE = "{% generation %}", "{% endgeneration %}"
ANSWER = (
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}{{ '\n<call>' }}{{ c.function | tojson }}</call>{% endfor %}"
    "</im>"
)
CHAT = (
    "{% for m in messages %}<im>{{ m.role }}\n{% if m.role == 'assistant' %}"
    f"{{open}}{ANSWER}{{close}}"
    "{% else %}{{ m.content }}</im>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<im>assistant\n{% endif %}"
)
SOURCES = {
    "chat template": CHAT.replace("{open}", "").replace("{close}", ""),
    "with markers": CHAT.replace("{open}", OPEN).replace("{close}", CLOSE),
}
YAML = {
    "tokens": ["<im>", "</im>"],
    "system": "<im>system\n{content}</im>\n",
    "user": "<im>user\n{content}</im>\n",
    "assistant": {"header": "<im>assistant\n", "body": "{content}</im>", "after": "\n"},
}


class Part(NamedTuple):
    """A part of a message as the template writes it."""

    text: str
    kind: str  # marker, reasoning, content, call, end or after


def parts_of(message: dict[str, Any]) -> Iterator[Part]:
    """Yield the parts of a message, in order."""
    yield Part(f"<im>{message['role']}\n", "marker")
    content = message.get("content") or ""
    before = ""  # the reasoning, with what the template writes around it
    if thought := message.get("reasoning_content"):
        before = f"<think>\n{thought}\n</think>\n\n"
    elif message["role"] == "assistant":
        # "In <think> tags at the start of the content. If the content has no <think> before its
        # first </think>, all before that is reasoning; if it has no </think>, all of it is."
        closed = re.match(r"\s*(<think>)?(?:(?!<think>).)*?</think>\s*", content, re.DOTALL)
        unclosed = re.match(r"\s*<think>(?!.*</think>).*", content, re.DOTALL)
        found = closed or unclosed
        before = found[0] if found else ""
        content = content[len(before) :]
    lead = "\n"
    calls = message.get("tool_calls") or []
    if before and not content and calls:
        before, lead = before + lead, ""  # "and the white space after that"
    yield Part(before, "reasoning")
    yield Part(content, "content")
    for call in calls:
        dumped = json.dumps(call["function"], ensure_ascii=False)
        yield Part(f"{lead}<call>{dumped}</call>", "call")
        lead = "\n"
    yield Part("</im>", "end")
    yield Part("\n", "after")


def is_trained(messages: list[dict[str, Any]], index: int, kind: str, policy: Policy) -> bool:
    """Say whether a part of a message is trained, by the manual."""
    message = messages[index]
    answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    if message["role"] == "assistant":
        # "--train-reasoning none leaves the reasoning in trained answers out of the loss; last
        # trains it in the last answer only. --train-tool-calls no leaves tool calls out."
        kept = {"all": answers, "last": answers[-1:], "none": []}[policy.reasoning]
        if kind == "reasoning" and index not in kept:
            return False
        # "The text behind the last call of an answer is not trained either."
        if not policy.calls and (kind == "call" or (kind == "end" and message.get("tool_calls"))):
            return False
    return is_chosen(message, kind, policy.train_on, is_last=index == answers[-1])


def is_chosen(message: dict[str, Any], kind: str, train_on: str, *, is_last: bool) -> bool:
    """Say the same for --train-on alone; is_last: whether this is the last answer."""
    role, flag = message["role"], message.get("train")
    is_body = kind not in ("marker", "after")
    named = ["assistant"] if train_on in ("completion", "last") else train_on.split(",")
    # "A message's own flag wins. For an answer, and for a message of a role that --train-on names,
    # it decides about the body; for any other message, about its content."
    if flag is not None and (role == "assistant" or role in named) and is_body:
        return bool(flag)
    if flag is not None and kind == "content":
        return bool(flag)
    if train_on == "all":
        # "Tool results are trained only if they say so themselves."
        return not (role == "tool" and kind == "content")
    return role in named and is_body and (is_last or train_on != "last")


def expected(messages: list[dict[str, Any]], policy: Policy) -> str:
    """Return the text of a conversation, with the trained text between ⟦ and ⟧."""
    marks = [
        (character, is_trained(messages, index, part.kind, policy))
        for index, message in enumerate(messages)
        for part in parts_of(message)
        for character in part.text
    ]
    return "".join(
        f"⟦{''.join(c for c, _ in group)}⟧" if trained else "".join(c for c, _ in group)
        for trained, group in groupby(marks, key=lambda mark: mark[1])
    )


def made_by(kind: str, policy: Policy, messages: list[dict[str, Any]]) -> str:
    """Return the same as the renderer of a kind of template gives it."""
    record = {"messages": messages}
    if kind != "YAML template":
        made = renderer(
            SOURCES[kind],
            eos="</im>",
            train_on=policy.train_on,
            reasoning=policy.reasoning,
            calls=policy.calls,
        )
        return shown_rendered(made, made.render(chat_of(record)))
    template = parse_template(deepcopy(YAML), name="own", where="own.yaml")
    plain = TemplateRenderer(template, policy=policy, controls=list(CONTROLS.values()))
    turns = [Message(m["role"], m["content"], "", m.get("train")) for m in messages]
    return marked(plain, plain.render(Conversation.of(*turns)))


def marked(made: Renderer, rendered: Rendered) -> str:
    """Return the text of a rendered record, with the trained text between ⟦ and ⟧."""
    texts = [
        (rendered.contents[piece.slot] if piece.slot >= 0 else piece.text, piece.trained)
        for piece in made.pieces(rendered.shape)
    ]
    return "".join(f"⟦{text}⟧" if trained and text else text for text, trained in texts).replace(
        "⟧⟦", ""
    )


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=8),
    st.lists(
        st.sampled_from(["</im>", "<call>", "</call>", "{{ x }}", " ", "\n", "é", "a", "<", '"']),
        max_size=5,
    ).map("".join),
)
FULL = TEXTS.filter(str.strip)
FLAGS = st.sampled_from([None, None, None, True, False])
POLICIES = st.builds(
    Policy,
    st.sampled_from(
        ["completion", "last", "all", "user", "system", "assistant", "user,assistant",
         "system,user"]
    ),
    st.sampled_from(["all", "last", "none"]),
    st.booleans(),
)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn, *, chat: bool) -> list[dict[str, Any]]:
    """Generate messages; for chat templates also with reasoning in fields, calls and results."""
    messages: list[dict[str, Any]] = []

    def add(role: str, **more: Any) -> None:
        messages.append({"role": role, "train": draw(FLAGS), **more})

    if draw(st.booleans()):
        add("system", content=draw(FULL))
    for _ in range(draw(st.integers(1, 2))):
        add("user", content=draw(TEXTS))
        if chat and draw(st.booleans()):
            arguments = st.dictionaries(st.sampled_from("ab"), TEXTS | st.integers(), max_size=2)
            functions = [
                {"name": "f", "arguments": draw(arguments)} for _ in range(draw(st.integers(1, 2)))
            ]
            calls = [{"type": "function", "function": function} for function in functions]
            add("assistant", tool_calls=calls, **draw(answers(chat=True, may_be_empty=True)))
            for _ in functions:
                add("tool", content=draw(TEXTS))
        add("assistant", **draw(answers(chat=chat)))
    return messages


@st.composite
def answers(draw: st.DrawFn, *, chat: bool, may_be_empty: bool = False) -> dict[str, str]:
    """Generate the texts of an answer, perhaps with reasoning in its content or in a field."""
    rest = draw(TEXTS if may_be_empty else FULL)
    form = draw(st.sampled_from(["none", "none", "content", *(["field"] if chat else [])]))
    if form == "field":
        return {"content": rest, "reasoning_content": draw(FULL)}
    if form == "none":
        return {"content": rest}
    tags = st.sampled_from(
        ["<think>\n{}\n</think>\n\n", " <think>{}</think>", "{}</think>", "<think>{}"]
    )
    return {"content": draw(tags).replace("{}", draw(FULL)) + rest}


@settings(deadline=None, max_examples=some(40))
@given(conversations(chat=False), POLICIES)
def test_a_yaml_template(messages: list[dict[str, Any]], policy: Policy) -> None:
    """Every flag and every policy, with reasoning in the content."""
    assert made_by("YAML template", policy, messages) == expected(messages, policy)


@settings(deadline=None, max_examples=some(40))
@given(conversations(chat=True), POLICIES, st.sampled_from(["", ",tool"]))
def test_a_chat_template(messages: list[dict[str, Any]], policy: Policy, more: str) -> None:
    """Every flag and every policy, with reasoning in fields and contents, calls and results."""
    if policy.train_on not in ("completion", "last", "all"):
        policy = policy._replace(train_on=policy.train_on + more)
    assert made_by("chat template", policy, messages) == expected(messages, policy)


@settings(deadline=None, max_examples=some(30))
@given(
    conversations(chat=True),
    POLICIES.filter(lambda policy: "user" not in policy.train_on and policy.train_on != "system"),
)
def test_a_chat_template_with_markers(messages: list[dict[str, Any]], policy: Policy) -> None:
    """The markers hold whole answers here, so the trained text is the same."""
    assert made_by("with markers", policy, messages) == expected(messages, policy)
