"""Renderings of parts of a chat: its beginnings, its prompts, and what follows a message."""

import pytest
from templates.jinja.chats import CHATML, chat_of, turns

from sftprep.errors import RecordError
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.traced_chat import TracedChat
from sftprep.templates.jinja.tracing import GENERATION, Path


def traced(source: str, *, wanted: Path | None = None) -> TracedChat:
    """Build a traced chat of two exchanges; ``wanted`` is the only path to mark."""
    sandbox = Sandbox(source, name="t.jinja", today=None, variables={})
    chat = chat_of(turns("a", "b", "c", "d"))
    return TracedChat(
        sandbox, chat, "0123456789abcdef", lambda path: wanted is None or path == wanted
    )


def refusing(*roles: str) -> str:
    """Return a template like ``CHATML`` that refuses a last message with one of these roles."""
    refusal = (
        f"{{% if messages[-1].role in {list(roles)} %}}{{{{ raise_exception('no') }}}}{{% endif %}}"
    )
    return refusal + CHATML


def test_the_whole_chat_is_rendered_with_marks() -> None:
    """The rendering has the text without marks, and the places of all texts."""
    rendering, tracer = traced(CHATML).whole()
    assert rendering.text == "<im>user\na</im>\n<im>assistant\nb</im>\n" + (
        "<im>user\nc</im>\n<im>assistant\nd</im>\n"
    )
    assert rendering.origins is tracer.origins
    found = [rendering.text[p] for i in range(4) for p in rendering.positions(i)[:1]]
    assert found == ["a", "b", "c", "d"]


def test_only_wanted_texts_are_marked() -> None:
    """Other texts are rendered without marks, and the tracer lists them."""
    rendering, tracer = traced(CHATML, wanted=("messages", 1, "content")).whole()
    assert [origin.path for _, origin in rendering.text_marks()] == [("messages", 1, "content")] * 2
    assert tracer.texts_without_marks == ["a", "c", "d"]


def test_generation_markers_are_marked_too() -> None:
    """The template's own markers are among the marks."""
    rendering, _ = traced("x{% generation %}y{% endgeneration %}").whole()
    assert [(m.position, m.opens) for m in rendering.marks if m.origin == GENERATION] == [
        (1, True),
        (2, False),
    ]


def test_until_ends_with_a_message() -> None:
    """The message with this index is the last one."""
    assert traced(CHATML).until(1).text == "<im>user\na</im>\n<im>assistant\nb</im>\n"


@pytest.mark.parametrize(
    ("message", "generation_prompt", "text"),
    [
        (0, True, ""),
        (1, False, "<im>user\na</im>\n"),
        (1, True, "<im>user\na</im>\n<im>assistant\n"),
        (2, False, "<im>user\na</im>\n<im>assistant\nb</im>\n"),
    ],
)
def test_a_prompt_has_the_messages_before_a_message(
    message: int, generation_prompt: bool, text: str
) -> None:
    """With the generation prompt, it ends with what asks the model for an answer."""
    assert traced(CHATML).prompt(message, generation_prompt=generation_prompt) == text


@pytest.mark.parametrize(
    ("refused", "tail"),
    [
        ([], "</im>\n<im>user\n"),
        (["user"], "</im>\n<im>tool\n"),
        (["user", "tool"], None),
    ],
)
def test_the_tail_when_a_message_follows(refused: list[str], tail: str | None) -> None:
    """A user message follows, or a tool message; None if the template refuses both."""
    assert traced(refusing(*refused)).tail_when_followed(3) == tail


def test_errors_of_the_template_are_raised() -> None:
    """A part of the chat that the template refuses is the caller's concern."""
    chat = traced(refusing("user"))
    chat.until(1)
    with pytest.raises(RecordError, match="no"):
        chat.until(2)
