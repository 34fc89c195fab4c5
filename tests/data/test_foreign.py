"""Values that JSON lacks are found wherever they are used."""

import pytest

from sftprep.data.conversation import Conversation, Message
from sftprep.data.foreign import ForeignValue, check_plain
from sftprep.errors import RecordError
from sftprep.text import shown

DAY = ForeignValue("a date", "2024-02-29")


def test_plain_values_are_accepted() -> None:
    """A conversation of texts, and objects and lists of JSON values, are as they should be."""
    check_plain(Conversation.of(Message("user", "a"), Message("assistant", "b")))
    check_plain({"a": [1, "x", None, True, {"b": 0.5}], "c": ()})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": DAY}, "a"),
        ({"a": [0, {"b": {"c": DAY}}]}, "a[1].b.c"),
        (Conversation((), ("x", DAY)), "contents[1]"),  # type: ignore[arg-type]
    ],
)
def test_the_place_is_named(value: object, place: str) -> None:
    """The error says where the value is, and of what type."""
    with pytest.raises(RecordError) as caught:
        check_plain(value)
    assert (caught.value.reason, caught.value.problem, caught.value.cure) == (
        "not_json",
        f"{place} is a date (2024-02-29); JSON has no such type",
        "Write it as text",
    )


def test_messages_show_its_type() -> None:
    """A check of types names it in words."""
    assert shown(DAY) == "a date (2024-02-29)"
    assert DAY == ForeignValue("a date", "2024-02-29") != ForeignValue("a time", "2024-02-29")
    assert len({DAY, ForeignValue("a date", "2024-02-29")}) == 1
