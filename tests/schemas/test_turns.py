"""turns: a list of turns becomes a conversation, or is refused with the reason."""

from typing import Any

import pytest

from sftprep.data.conversation import Conversation, Message
from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.turn_list import TurnList
from sftprep.schemas.turns import conversation_of_turns, with_system


def built(*turns: Any) -> Conversation:
    """The conversation of a record with these turns, each as (role, text)."""
    listed = [{"role": role, "content": text} for role, text in turns]
    return conversation_of_turns([TurnList(listed, "list", "role", "content")], Fields())


def test_turns_keep_their_texts() -> None:
    """Texts come out exactly as they are, white space included."""
    found = built(("system", " s "), ("user", "u\n"), ("assistant", " a"))
    assert found.messages == (
        Message("system", " s "), Message("user", "u\n"), Message("assistant", " a")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "bad_turn_order"),
        ([("assistant", "a")], "bad_turn_order"),
        ([("user", "u")], "bad_turn_order"),
        ([("user", "u"), ("user", "v"), ("assistant", "a")], "bad_turn_order"),
        ([("user", "u"), ("system", "s"), ("assistant", "a")], "bad_turn_order"),
        ([("user", "u"), ("assistant", "")], "empty_completion"),
        ([("user", "u"), ("tool", "t"), ("assistant", "a")], "unsupported_tools"),
        ([("user", "u"), ("narrator", "t"), ("assistant", "a")], "unknown_role"),
        ([("user", 1), ("assistant", "a")], "wrong_type"),
    ],
)
def test_turns_that_no_template_can_render_are_refused(turns: list[Any], reason: str) -> None:
    """User and assistant must alternate after an optional system turn, and an answer comes last."""
    with pytest.raises(RecordError) as caught:
        built(*turns)
    assert caught.value.reason == reason


def test_a_system_turn_is_added_only_once() -> None:
    """A conversation keeps its own system turn."""
    plain, own = built(("user", "u"), ("assistant", "a")), ("system", "mine")
    assert with_system(plain, "s").contents[:2] == ("s", "")
    with_own = built(own, ("user", "u"), ("assistant", "a"))
    assert with_system(with_own, "s") == with_own
