"""Preference data is named, with the flags that take its good answers."""

import pytest
from dialogues import assistant, conversation, normalize, refused, user

from sftprep.data.conversation import Record
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import detect_schema
from sftprep.schemas.preference import preference_error

TALK = [user("q"), assistant("a")]
ONLY = "to train on the good answers only"


@pytest.mark.parametrize(
    ("record", "cure"),
    [
        ({"chosen": TALK, "rejected": TALK}, f"Pass --field messages=chosen {ONLY}"),
        (
            {"prompt": "q", "chosen": TALK[1:], "rejected": TALK[1:]},
            f"Pass --field prompt=prompt --field completion=chosen {ONLY}",
        ),
        (
            {"question": "q", "chosen": "a", "rejected": "b"},
            f"Pass --field prompt=question --field completion=chosen {ONLY}",
        ),
        (
            {"chosen": "q a", "rejected": "q b"},
            f"Split the chosen text into a prompt and a completion, {ONLY}",
        ),
    ],
)
def test_the_flags_take_the_good_answers(record: Record, cure: str) -> None:
    """Without flags the record is refused; with those of the error it is read."""
    error = refused("", record)
    assert (error.reason, error.cure) == ("preference_data", cure)
    assert error.problem == (
        "chosen and rejected: this is preference data, with a good and a bad answer"
    )
    renamed = dict(part.split("=") for part in cure.split() if "=" in part)
    if renamed:
        name = detect_schema([record], Fields(renamed))
        expected = conversation(("user", "q"), ("assistant", "a"))
        assert normalize(name, record, **renamed) == expected


def test_other_records_are_no_preference_data() -> None:
    """One of the two fields alone says nothing."""
    assert preference_error({"chosen": "a"}) is None
