"""Contents as parts or as text, as a chat template takes them."""

from typing import Any

import pytest
from dialogues import assistant, chat

from sftprep.templates.content_parts import ContentParts, Messages
from sftprep.templates.jinja.sandbox import Sandbox

PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
TEXT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
TRIMMED = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}"
ADDED = "{% for m in messages %}{{ m.role + ': ' + m.content }}\n{% endfor %}"
STRING_OR_NOTHING = (
    "{% for m in messages %}{{ m.role }}: {{ m.content if m.content is string else '' }}\n"
    "{% endfor %}"
)
JSON = "{% for m in messages %}{{ m.content | tojson }}{% endfor %}"
LOOP = (
    "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}\n{% endfor %}"
)
USERS_ONLY = (
    "{% for m in messages %}{% if m.role == 'user' and m.content is not string %}"
    "{{ m.content[0].text }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


def fitted(source: str, messages: list[Any]) -> list[Any]:
    """Return the contents that a template with this text gets."""
    sandbox = Sandbox(source, name="t", today=None, variables={})

    def render(trial: Messages) -> str:
        return sandbox.render(trial, None, size=100)

    made = ContentParts(render).fitted(chat("messages", {"messages": messages}))
    return [message["content"] for message in made.messages]


@pytest.mark.parametrize("source", [TEXT, TRIMMED, ADDED, STRING_OR_NOTHING, JSON])
def test_templates_that_take_texts_get_texts(source: str) -> None:
    """Parts are joined if the template would write the list itself, fail on it or leave it out."""
    messages = [{"role": r, "content": PARTS} for r in ("system", "user", "assistant")]
    assert fitted(source, messages) == ["ab"] * 3


def test_templates_that_take_parts_get_parts() -> None:
    """Parts stay parts; texts stay texts."""
    messages = [{"role": "user", "content": PARTS}, assistant("c")]
    assert fitted(LOOP, messages) == [PARTS, "c"]
    assert fitted(
        USERS_ONLY, [*messages, messages[0], {"role": "assistant", "content": PARTS}]
    ) == [
        PARTS,
        "c",
        PARTS,
        "ab",
    ]


def test_the_result_of_a_tool_is_one_text() -> None:
    """A tool's result is joined: what a template does with its parts is not tried."""
    messages = [
        {"role": "user", "content": "q"},
        {"role": "tool", "content": PARTS},
        assistant("a"),
    ]
    assert fitted(LOOP, messages)[1] == "ab"
