"""Small chat templates and chats for tests, and what the renderer makes of them.

The trained text is shown between ⟦ and ⟧.
"""

from typing import Any

from sftprep.data.control_tokens import AddedToken
from sftprep.data.conversation import Chat
from sftprep.data.pieces import Rendered
from sftprep.data.policy import Policy
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import chat_normalizer
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
    """Build a renderer for the source of a template."""
    arguments = options.pop("arguments", {})
    return ChatRenderer(
        ChatTemplate("t.jinja", source, "", arguments, options.pop("today", None)),
        variables={"bos_token": "<s>", "eos_token": options.pop("eos", "</s>")},
        controls=CONTROLS,
        policy=Policy(
            options.pop("train_on", "completion"),
            options.pop("reasoning", "all"),
            options.pop("calls", True),
        ),
        **options,
    )


def chat_of(record: dict[str, Any]) -> Chat:
    """Return the chat of a record in the schema ``messages``."""
    return chat_normalizer("messages", Fields({}))(record)


def shown(made: ChatRenderer, record: dict[str, Any]) -> str:
    """Return a record's text, with the trained text between ⟦ and ⟧."""
    return shown_rendered(made, made.render(chat_of(record)))


def contents(made: ChatRenderer, record: dict[str, Any]) -> tuple[str, ...]:
    """Return what of a rendered record comes from the record, and can be no control token."""
    return made.render(chat_of(record)).contents


def shown_rendered(made: ChatRenderer, rendered: Rendered) -> str:
    """Return the text of a rendered record, with the trained text between ⟦ and ⟧."""
    text = "".join(
        f"⟦{text}⟧" if piece.trained else text
        for piece in made.pieces(rendered.shape)
        for text in [rendered.contents[piece.slot] if piece.slot >= 0 else piece.text]
    )
    return text.replace("⟧⟦", "")


def turns(*contents: Any) -> dict[str, Any]:
    """Build a record: texts are user and assistant turns in alternation, dicts are messages."""
    roles = ("user", "assistant")
    return {
        "messages": [
            c if isinstance(c, dict) else {"role": roles[i % 2], "content": c}
            for i, c in enumerate(contents)
        ]
    }


def call(**arguments: Any) -> dict[str, Any]:
    """Build an assistant message that calls a function with these arguments."""
    function = {"name": "f", "arguments": arguments}
    calls = [{"type": "function", "id": "c1", "function": function}]
    return {"role": "assistant", "tool_calls": calls}


def tool(content: str) -> dict[str, Any]:
    """Build a tool message with a result."""
    return {"role": "tool", "content": content}
