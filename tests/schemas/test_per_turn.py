"""One example per answer."""

from dialogues import assistant, chat, conversation, user

from sftprep.schemas.per_turn import per_turn


def test_conversation() -> None:
    """Each example ends with an answer, the only one that may be trained in it."""
    whole = conversation(
        ("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")
    )
    assert per_turn(whole) == [
        conversation(("system", "s"), ("user", "a"), ("assistant", "b")),
        conversation(
            ("system", "s"),
            ("user", "a"),
            ("assistant", "b", "", False),
            ("user", "c"),
            ("assistant", "d"),
        ),
    ]


def test_an_answer_that_is_not_trained_gives_no_example() -> None:
    """An answer with ``train`` false is only part of later prompts; flags of users are kept."""
    whole = conversation(
        ("user", "a", "", True), ("assistant", "b", "", False), ("user", "c"),
        ("assistant", "d", "", True),
    )  # fmt: skip
    assert per_turn(whole) == [whole]


def test_a_conversation_without_a_trained_answer_is_returned_unchanged() -> None:
    """If no answer may be trained, the conversation itself is the only example."""
    whole = conversation(("user", "a"), ("assistant", "b", "", False))
    assert per_turn(whole) == [whole]


def test_chat() -> None:
    """Chats are split the same way, and keep their tools."""
    messages = [user("a"), assistant("b"), assistant("c")]
    whole = chat("messages", {"messages": messages, "tools": [{"name": "f"}]})
    first, second = per_turn(whole)
    assert (first.messages, first.train) == (messages[:2], (None, None))
    assert (second.messages, second.train) == (messages, (None, False, None))
    assert first.tools == second.tools == whole.tools
