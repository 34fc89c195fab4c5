"""``--merge-turns``: consecutive messages of one role become one."""

from typing import Any

import pytest
from dialogues import assistant, conversation, user

from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import chat_normalizer, conversation_normalizer

FIELDS = Fields(merge_turns=True)
SYSTEM = {"role": "system", "content": "s"}


def as_conversation(*messages: Any) -> Any:
    """Read messages for a built-in template."""
    return conversation_normalizer("messages", FIELDS)({"messages": list(messages)})


def as_chat(*messages: Any) -> Any:
    """Read messages for a chat template."""
    return chat_normalizer("messages", FIELDS)({"messages": list(messages)})


def test_texts_are_joined_by_an_empty_line() -> None:
    """All messages of one role that follow each other become one; an empty one adds nothing."""
    messages = (SYSTEM, SYSTEM, user("a"), user("b"), user(""), assistant("c"), assistant("d"))
    merged = [("system", "s\n\ns"), ("user", "a\n\nb"), ("assistant", "c\n\nd")]
    assert as_conversation(*messages) == conversation(*merged)
    assert as_chat(*messages).messages == [{"role": r, "content": t} for r, t in merged]
    assert as_chat(*messages).train == (None,) * 3


def test_flags_must_agree() -> None:
    """Equal flags are kept; different ones are refused with both places."""
    same = (user("a"), assistant("b", train=False), assistant("c", train=False))
    assert as_conversation(*same).train == as_chat(*same).train == (None, False)
    for read in (as_conversation, as_chat):
        with pytest.raises(RecordError) as caught:
            read(user("a"), assistant("b", train=False), assistant("c"))
        assert caught.value.problem == (
            "messages[1] and messages[2] are to be merged, but their loss flags differ"
        )


def test_calls_and_results_stay_apart() -> None:
    """A tool's result, and a message with more than a text, is not merged into another."""
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}
    result = {"role": "tool", "content": "r"}
    messages = [user("q"), call, result, result, assistant("a", name="x"), assistant("b", name="x")]
    assert as_chat(*messages).messages == messages


def test_parts_are_put_together() -> None:
    """If one of two contents is a list of parts, the merged content is one."""
    parts = [{"type": "text", "text": "a"}]
    made = as_chat(user(parts), user("b"), assistant("c"))  # type: ignore[arg-type]
    assert made.messages[0]["content"] == [*parts, {"type": "text", "text": "b"}]


def test_places_count_the_messages_of_the_record() -> None:
    """An error after merged messages names the place in the record."""
    for read in (as_conversation, as_chat):
        with pytest.raises(RecordError) as caught:
            read(user("a"), user("b"), assistant(""), user("c"), assistant("d"))
        assert caught.value.problem == "messages[2] is empty: there is nothing to train on"


def test_without_the_option_the_error_names_it() -> None:
    """A built-in template refuses two messages of one role, and says what would join them."""
    with pytest.raises(RecordError) as caught:
        conversation_normalizer("messages", Fields())({"messages": [user("a"), user("b")]})
    assert caught.value.cure == "Fix the record, or pass --merge-turns to join messages of one role"
