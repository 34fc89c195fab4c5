"""What truncation keeps of a chat: BOS, system turn and tools, for every way of writing them.

Of each conversation, the kept text is shown: it must not be cut, and nothing else may be in it.
"""

from typing import Any

import pytest
from templates.jinja.chats import CHATML, chat_of, renderer, turns

from sftprep.data.pieces import LITERAL, Section

BOS = "{{ bos_token }}"
SYSTEM = {"role": "system", "content": "S"}
TALK = turns("a", "b", "c", "d")["messages"]
WITH_SYSTEM = {"messages": [SYSTEM, *TALK]}
WITHOUT = {"messages": TALK}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
NEEDS_USER = (
    "{% if messages[-1].role == 'system' %}{{ raise_exception('no user') }}{% endif %}" + CHATML
)
DEFAULT = "{% if messages[0].role != 'system' %}{{ '<im>system\nD</im>\n' }}{% endif %}" + CHATML
WRITES_TOOLS = (
    "{% if tools %}<im>tools\n{% for t in tools %}{{ t | tojson }}{% endfor %}!</im>\n{% endif %}"
)
OTHER_ROLES = (
    "{% for m in messages %}{% if m.role == 'system' %}<calls>{{ m.content }}</calls>"
    "{% elif m.role == 'user' %}<user>{{ m.content }}<end>"
    "{% else %}<bot>{{ m.content }}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)
IN_FIRST_USER = (
    "{% for m in messages %}{% if m.role == 'user' %}<user>"
    "{{ messages[0].content + '; ' if loop.index0 == 1 and messages[0].role == 'system' }}"
    "{{ m.content }}<bot>{% elif m.role == 'assistant' %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
TOOLS_IN_LAST_USER = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{% if tools and loop.index0 == 2 %}<calls>{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "</calls>{% endif %}<user>{{ m.content }}<bot>{% else %}{{ m.content }}</s>{% endif %}"
    "{% endfor %}"
)


def kept(source: str, record: dict[str, Any], **options: Any) -> str:
    """Return the text of a record that truncation keeps; ~ stands for what it may cut."""
    made = renderer(source, **options)
    rendered = made.render(chat_of(record))
    text = ""
    for piece in made.pieces(rendered.shape):
        if piece.section == Section.KEPT:
            text += piece.text if piece.slot == LITERAL else rendered.contents[piece.slot]
        elif not text.endswith("~"):
            text += "~"
    return text


@pytest.mark.parametrize(
    ("source", "record", "expected"),
    [
        (CHATML, WITH_SYSTEM, "<im>system\nS</im>\n~"),
        (CHATML, WITHOUT, "~"),
        (BOS + CHATML, WITH_SYSTEM, "<s><im>system\nS</im>\n~"),
        (BOS + CHATML, WITHOUT, "<s>~"),
        (BOS + NEEDS_USER, WITH_SYSTEM, "<s><im>system\nS</im>\n~"),
        (BOS + NEEDS_USER, WITHOUT, "<s>~"),
        (BOS + DEFAULT, WITH_SYSTEM, "<s><im>system\nS</im>\n~"),
        (BOS + DEFAULT, WITHOUT, "<s><im>system\nD</im>\n~"),
        ("<final>" + BOS + CHATML, WITHOUT, "<final><s>~"),
        (BOS + OTHER_ROLES, WITH_SYSTEM, "<s><calls>S</calls>~"),
        (BOS + OTHER_ROLES, WITHOUT, "<s>~"),
        (BOS + IN_FIRST_USER, WITH_SYSTEM, "<s><user>S; ~"),
        (BOS + IN_FIRST_USER, WITHOUT, "<s>~"),
    ],
)
def test_what_is_kept(source: str, record: dict[str, Any], expected: str) -> None:
    """BOS and the system turn with its terminator are kept, and not the header that follows."""
    assert kept(source, record) == expected


def test_a_developer_message_is_a_system_turn() -> None:
    """Leading messages of the role ``developer`` are kept, too."""
    record = {"messages": [SYSTEM, {"role": "developer", "content": "T"}, *TALK]}
    expected = "<im>system\nS</im>\n<im>developer\nT</im>\n~"
    assert kept(CHATML, record) == expected


def test_a_later_system_message_is_not_kept() -> None:
    """Only leading messages are the system turn: otherwise the turns before would stay, too."""
    record = {"messages": [*TALK[:2], SYSTEM, *TALK[2:]]}
    assert kept(BOS + CHATML, record) == "<s>~"


def test_white_space_of_a_content_is_not_the_header() -> None:
    """A first user text that begins with white space does not hide where its header begins."""
    record = {"messages": [SYSTEM, {"role": "user", "content": "\n a"}, *TALK[1:]]}
    assert kept(CHATML, record) == "<im>system\nS</im>\n~"


def test_tools_before_the_first_turn_are_kept() -> None:
    """With all template text around them."""
    expected = '<s><im>tools\n{"type": "function", "function": {"name": "f"}}!</im>\n~'
    assert kept(BOS + WRITES_TOOLS + CHATML, WITHOUT | {"tools": TOOLS}) == expected


def test_tools_in_a_later_turn_are_kept_alone() -> None:
    """The turns before them may be cut."""
    expected = '<s>~<calls>{"type": "function", "function": {"name": "f"}}</calls><user>~'
    assert kept(BOS + TOOLS_IN_LAST_USER, WITHOUT | {"tools": TOOLS}) == expected


def test_a_single_exchange_keeps_the_template_text() -> None:
    """With a single exchange, only the user's text and the answer may be cut."""
    record = {"messages": [SYSTEM, *TALK[:2]]}
    expected = "<s><im>system\nS</im>\n<im>user\n~</im>\n<im>assistant\n~"
    assert kept(BOS + CHATML, record) == expected


@pytest.mark.parametrize("content", ["S", "/no_think", "<im>", "U", "system", " x "])
def test_the_kept_text_does_not_depend_on_contents(content: str) -> None:
    """A conversation keeps the same template text, whatever its contents and the records before."""
    record = {"messages": [SYSTEM | {"content": content}, *TALK]}
    assert kept(BOS + CHATML, record) == f"<s><im>system\n{content}</im>\n~"


def test_sections_that_truncation_does_not_need_are_not_looked_for() -> None:
    """Without ``with_sections``, no further rendering is spent on them."""
    assert kept(CHATML, WITH_SYSTEM, with_sections=False) == "~"
