"""Conversations that are too long lose as few of their oldest exchanges as possible."""

from collections.abc import Sequence

import numpy as np
import pytest

from sftprep.data.conversation import Conversation, Dialogue, Message
from sftprep.data.pieces import Rendered
from sftprep.data.ragged import Offsets
from sftprep.errors import RecordError
from sftprep.rows.oldest_turns import drop_oldest, exchanges, shorten

NAMES = {"s": "system", "u": "user", "a": "assistant"}


def conversation(roles: str) -> Conversation:
    """A conversation of s(ystem), u(ser) and a(ssistant), each turn's content its number."""
    return Conversation.of(*(Message(NAMES[r], str(i)) for i, r in enumerate(roles)))


def contents(dialogue: Conversation) -> list[str]:
    """The contents of the turns."""
    return [message.content for message in dialogue.messages]


# --- dropping exchanges -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "count", "expected"),
    [
        ("uaua", 0, ["0", "1", "2", "3"]),
        ("uaua", 1, ["2", "3"]),
        ("suauaua", 1, ["0", "3", "4", "5", "6"]),
        ("suauaua", 2, ["0", "5", "6"]),
        ("saaua", 0, ["0", "1", "2", "3", "4"]),
        ("auaaua", 1, ["0", "4", "5"]),
    ],
)
def test_drop_oldest(roles: str, count: int, expected: list[str]) -> None:
    """Whole exchanges go from the front; the turns before the first user turn stay."""
    assert expected == contents(drop_oldest(conversation(roles), count))


@pytest.mark.parametrize(("roles", "count"), [("ua", 1), ("suaua", 2), ("s", 0), ("uaaua", 2)])
def test_exchanges(roles: str, count: int) -> None:
    """Each user turn starts an exchange."""
    assert count == exchanges(conversation(roles))


# --- how many must go ---------------------------------------------------------------------------


def render(dialogue: Dialogue) -> Rendered:
    """A rendered conversation that holds its contents."""
    assert isinstance(dialogue, Conversation)
    return Rendered(0, tuple(contents(dialogue)))


def one_token_per_turn(rendered: Sequence[Rendered]) -> Offsets:
    """The lengths of conversations if each turn is one token."""
    return np.array([len(record.contents) for record in rendered], np.int64)


@pytest.mark.parametrize("limit", range(2, 30))
def test_as_few_as_possible(limit: int) -> None:
    """As many exchanges go as a search one by one says, and all but the last if none fits."""
    dialogues = {n: conversation("s" + "ua" * n) for n in range(2, 12)}
    found = shorten(dialogues, render, one_token_per_turn, limit)
    for n in dialogues:
        fewest = next((k for k in range(1, n) if 1 + 2 * (n - k) <= limit), n - 1)
        assert found.dropped[n] == fewest
        assert len(found.rendered[n].contents) == 1 + 2 * (n - fewest)
    assert found.refused == {}


def test_a_single_exchange_is_left_alone() -> None:
    """A conversation with a single exchange cannot become shorter."""
    found = shorten({4: conversation("sua")}, render, one_token_per_turn, 1)
    assert found == ({}, {}, {})


def test_all_conversations_are_measured_together() -> None:
    """Each round measures all conversations that are still open in one call."""
    calls: list[int] = []

    def measure(rendered: Sequence[Rendered]) -> Offsets:
        calls.append(len(rendered))
        return one_token_per_turn(rendered)

    shorten({i: conversation("ua" * 9) for i in range(5)}, render, measure, 6)
    assert calls == [5, 5, 5]  # between 1 and 8 exchanges


def test_a_conversation_that_cannot_be_rendered_is_refused() -> None:
    """Its error is returned, the others are shortened, and it is not rendered again."""
    error = RecordError("r", "its first turn is missing")
    tries: list[int] = []

    def picky(dialogue: Dialogue) -> Rendered:
        rendered = render(dialogue)
        if rendered.contents[-1] == "13":  # the conversation of seven exchanges
            tries.append(len(rendered.contents))
            raise error
        return rendered

    dialogues = {7: conversation("ua" * 7), 8: conversation("ua" * 8)}
    found = shorten(dialogues, picky, one_token_per_turn, 8)
    assert found.refused == {7: error}
    assert (found.dropped, list(found.rendered)) == ({8: 4}, [8])
    assert len(tries) == 1


def test_a_conversation_may_be_refused_at_the_end_only() -> None:
    """The fewest exchanges may never have been tried: also then an error refuses the record."""
    error = RecordError("r", "too short")

    def picky(dialogue: Dialogue) -> Rendered:
        rendered = render(dialogue)
        if len(rendered.contents) == 2:
            raise error
        return rendered

    found = shorten({0: conversation("uaua")}, picky, one_token_per_turn, 1)
    assert found == ({}, {}, {0: error})
