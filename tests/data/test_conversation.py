"""Conversations and chats: what stages ask of them, and the copies they make."""

from copy import deepcopy

import pytest

from sftprep.data.conversation import (
    Chat,
    Conversation,
    Dialogue,
    Message,
    Turn,
    content_slot,
    input_slot,
)

MESSAGES = (
    Message("system", "Be brief."),
    Message("user", "Translate.", "Hallo"),
    Message("assistant", "Hello", train=False),
    Message("user", "And this?", "Danke"),
    Message("assistant", "Thanks", train=True),
)
ROLES = ("system", "user", "assistant", "user", "assistant")
FLAGS = (None, None, False, None, True)
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def conversation() -> Conversation:
    """A conversation with a system turn, inputs and train flags."""
    return Conversation.of(*MESSAGES)


def chat() -> Chat:
    """A chat with the same roles and train flags."""
    messages = [{"role": m.role, "content": m.content} for m in MESSAGES]
    return Chat(messages, TOOLS, FLAGS, 123)


BOTH = pytest.mark.parametrize("dialogue", [conversation(), chat()], ids=["conversation", "chat"])


def test_a_conversation_keeps_turns_and_texts_apart() -> None:
    """Turns say what there is; contents hold the content and the input of each turn."""
    assert conversation() == Conversation(
        (
            Turn("system"),
            Turn("user", has_input=True),
            Turn("assistant", train=False),
            Turn("user", has_input=True),
            Turn("assistant", train=True),
        ),
        (
            "Be brief.", "", "Translate.", "Hallo", "Hello", "", "And this?", "Danke",
            "Thanks", "",
        ),
    )  # fmt: skip


def test_slots_are_indexes_into_contents() -> None:
    """``content_slot`` and ``input_slot`` find the two texts of every turn."""
    contents = conversation().contents
    for index, message in enumerate(MESSAGES):
        assert contents[content_slot(index)] == message.content
        assert contents[input_slot(index)] == message.input


def test_a_conversation_gives_its_messages_back() -> None:
    """Nothing of a message is lost."""
    assert conversation().messages == MESSAGES


@BOTH
def test_roles_and_train_flags_are_in_order(dialogue: Dialogue) -> None:
    """Conversations and chats give one role and one train flag for each turn."""
    assert (dialogue.roles, dialogue.train) == (ROLES, FLAGS)


@BOTH
@pytest.mark.parametrize("index", range(5))
def test_until_keeps_the_beginning(dialogue: Dialogue, index: int) -> None:
    """``until`` keeps the turn with this index and all turns before it."""
    beginning = dialogue.until(index)
    assert (beginning.roles, beginning.train) == (ROLES[: index + 1], FLAGS[: index + 1])


@BOTH
@pytest.mark.parametrize("gone", [slice(1, 3), slice(0, 1), slice(0, 0), slice(3, 5)], ids=str)
def test_without_removes_the_turns_of_a_slice(dialogue: Dialogue, gone: slice) -> None:
    """``without`` keeps the turns before the slice and the turns after it."""
    rest = dialogue.without(gone)
    assert rest.roles == ROLES[: gone.start] + ROLES[gone.stop :]
    assert rest.train == FLAGS[: gone.start] + FLAGS[gone.stop :]


@BOTH
def test_with_train_changes_the_flags_only(dialogue: Dialogue) -> None:
    """``with_train`` replaces every train flag and keeps the roles."""
    flags = (None, True, None, None, False)
    changed = dialogue.with_train(flags)
    assert (changed.roles, changed.train) == (ROLES, flags)
    assert changed.with_train(FLAGS) == dialogue


def test_the_texts_of_a_conversation_follow_its_turns() -> None:
    """``until`` and ``without`` keep each remaining turn's content and input with it."""
    assert conversation().until(2).messages == MESSAGES[:3]
    assert conversation().without(slice(1, 3)).messages == (MESSAGES[0], *MESSAGES[3:])


def test_the_messages_of_a_chat_follow_its_turns() -> None:
    """``until`` and ``without`` keep the messages themselves, the tools and the size."""
    messages = chat().messages
    assert chat().until(2) == Chat(messages[:3], TOOLS, FLAGS[:3], 123)
    assert chat().without(slice(1, 3)) == Chat(
        [messages[0], *messages[3:]], TOOLS, (FLAGS[0], *FLAGS[3:]), 123
    )


@BOTH
def test_nothing_is_changed_in_place(dialogue: Dialogue) -> None:
    """All methods leave the conversation or chat as it was."""
    before = deepcopy(dialogue)
    dialogue.until(1)
    dialogue.without(slice(0, 3))
    dialogue.with_train((True,) * 5)
    assert dialogue == before
