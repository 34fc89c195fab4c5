"""Each stretch of a rendered chat knows the message, and the part of it, that wrote it."""

from itertools import groupby
from typing import Any

import pytest
from templates.jinja.chats import CALLS, CHATML, call, chat_of, renderer, tool, turns

from sftprep.data.control_tokens import TurnEnd

LEAVING = (
    "{% for m in messages %}{{ '' if loop.first else 'im>' }}"
    "{{ '<bot>' if m.role == 'assistant' else '' }}{{ m.content }}</"
    "{% endfor %}im>{% if add_generation_prompt %}<bot>{% endif %}"
)
UNROLLED = (
    "{{ '<im>' + messages[0].content + '</im>' }}"
    "{% if messages | length > 1 %}{{ '<bot>' + messages[1].content + '</s>' }}{% endif %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)
ROLE_STOPS = (
    "{% for m in messages %}{{ '<user>' if m.role == 'user' else '<bot>' }}{{ m.content }}"
    "{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)


def written(source: str, record: dict[str, Any], **options: Any) -> list[str]:
    """The text of a record, as "message part: text"; -1 is no message."""
    made = renderer(source, **options)
    rendered = made.render(chat_of(record))
    texts = [
        (piece.writer, rendered.contents[piece.slot] if piece.slot >= 0 else piece.text)
        for piece in made.pieces(rendered.shape)
    ]
    return [
        f"{writer.message} {writer.part}: {''.join(text for _, text in group)}"
        for writer, group in groupby(texts, lambda pair: pair[0])
    ]


def test_a_loop_over_the_messages() -> None:
    """The template's text belongs to the message that the loop was at."""
    record = turns("q", "a", "r", "b")
    assert written(CHATML, record) == [
        "0 template: <im>user\n", "0 content: q", "0 template: </im>\n",
        "1 template: <im>assistant\n", "1 content: a", "1 template: </im>\n",
        "2 template: <im>user\n", "2 content: r", "2 template: </im>\n",
        "3 template: <im>assistant\n", "3 content: b", "3 template: </im>\n",
    ]  # fmt: skip
    for train_on in ("all", "last", "user"):
        assert written(CHATML, record, train_on=train_on) == written(CHATML, record)


def test_text_outside_of_the_loop() -> None:
    """It belongs to no message; nor do the tools."""
    source = "<s>{% if tools %}{{ tools | tojson }}\n{% endif %}" + CHATML
    record = turns("q", "a") | {"tools": [{"type": "function", "function": {"name": "f"}}]}
    assert written(source, record)[:4] == [
        "-1 template: <s>",
        '-1 tools: [{"type": "function", "function": {"name": "f"}}]',
        "-1 template: \n",
        "0 template: <im>user\n",
    ]


def test_calls() -> None:
    """What a call writes of the record is a call; the text around it is the template's."""
    assert written(CALLS, turns("q", call(x=1)))[3:] == [
        "1 template: <im>assistant\n<call>",
        '1 tool_call: {"name": "f", "arguments": {"x": 1}}',
        "1 template: </call></im>\n",
    ]


def test_numbers_and_booleans_that_are_written_one_by_one() -> None:
    """They are the record's as its texts are: of a call, of the tools, of a result."""
    source = (
        "{% for t in tools %}<tool>{{ t.limit }}</tool>{% endfor %}"
        "{% for m in messages %}<im>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}"
        "{% for k, v in c.function.arguments.items() %}<arg>{{ k }}={{ v | tojson }}{% endfor %}"
        "{% endfor %}{{ m.score }}</im>\n{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% endif %}"
    )
    message = call(x=1, y=False) | {"content": ""}
    record = turns("q", message, tool("r") | {"score": 0.5}, message) | {"tools": [{"limit": 3}]}
    made = written(source, record)
    assert made[:3] == ["-1 template: <tool>", "-1 tools: 3", "-1 template: </tool>"]
    assert made[6:13] == [
        "1 template: <im>assistant\n<arg>", "1 tool_call: x", "1 template: =", "1 tool_call: 1",
        "1 template: <arg>", "1 tool_call: y", "1 template: =",
    ]  # fmt: skip
    assert made[13:15] == ["1 tool_call: false", "1 template: </im>\n"]
    assert "2 content: r0.5" in made


@pytest.mark.parametrize("reasoning", ["all", "none"])
def test_reasoning(reasoning: str) -> None:
    """Reasoning in a field of its own is known; in a content, it is once it is not trained."""
    source = CHATML.replace("m.content", "(m.reasoning_content or '') + m.content")
    own = {"role": "assistant", "content": "a", "reasoning_content": "r"}
    assert written(source, turns("q", own), reasoning=reasoning)[4:6] == [
        "1 reasoning: r", "1 content: a",
    ]  # fmt: skip
    inside = written(CHATML, turns("q", "<think>r</think>a"), reasoning=reasoning)[4:]
    assert (
        inside
        == {
            "all": ["1 content: <think>r</think>a", "1 template: </im>\n"],
            "none": ["1 reasoning: <think>r</think>", "1 content: a", "1 template: </im>\n"],
        }[reasoning]
    )


def test_the_stop_that_begins_the_next_message() -> None:
    """It is trained as the end of an answer, and belongs to it; so does one that is added."""
    stops = TurnEnd(frozenset({"<user>"}))
    assert written(ROLE_STOPS, turns("q", "a", "r", "b"), turn_end=stops) == [
        "0 template: <user>", "0 content: q", "1 template: <bot>", "1 content: a",
        "1 template: <user>", "2 content: r", "3 template: <bot>", "3 content: b",
        "3 template: <user>",
    ]  # fmt: skip


def test_no_loop() -> None:
    """Text between two texts of a message is the message's; text in an answer's span is too."""
    assert written(UNROLLED, turns("q", "a")) == [
        "-1 template: <im>", "0 content: q", "-1 template: </im><bot>", "1 content: a",
        "1 template: </s>",
    ]  # fmt: skip


def test_a_control_token_is_never_divided() -> None:
    """If the loop ends inside one, all of it belongs to the message."""
    assert written(LEAVING, turns("q", "a")) == [
        "0 content: q", "0 template: </im>", "1 template: <bot>", "1 content: a",
        "1 template: </im>",
    ]  # fmt: skip


def test_records_with_the_same_form() -> None:
    """What was derived from one form holds for all of its records."""
    made = renderer(CHATML)
    shapes = {made.render(chat_of(turns(q, a))).shape for q, a in (("q", "a"), ("x", "y"))}
    assert len(shapes) == 1
