"""Loss flags of records and messages."""

from typing import Any

import pytest

from sftprep.errors import RecordError
from sftprep.schemas.fields import LOSS_FLAGS
from sftprep.schemas.flags import INVERTED, train_flag


@pytest.mark.parametrize("name", [name for name in LOSS_FLAGS if name != INVERTED])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), (1, True), (0, False), (1.0, True), (0.0, False), (None, None)],
)
def test_values(name: str, value: object, expected: bool | None) -> None:
    """True and 1 mean trained, false and 0 not, null says nothing; all names have one sense."""
    assert train_flag({name: value, "content": "x"}, "messages[0]") is expected


@pytest.mark.parametrize(("value", "expected"), [(True, False), (0, True), (None, None)])
def test_masked_has_the_opposite_sense(value: object, expected: bool | None) -> None:
    """What is masked is left out of the loss."""
    assert train_flag({"masked": value}, "messages[0]") is expected


def test_flags_may_agree() -> None:
    """Several flags may say the same."""
    assert train_flag({"train": False, "weight": 0, "masked": True}, "") is False


@pytest.mark.parametrize(
    ("holder", "where", "problem"),
    [
        (
            {"loss": "yes"},
            "messages[2]",
            "messages[2].loss is 'yes'; expected true, false, 1 or 0",
        ),
        ({"mask": "User"}, "", "mask is 'User'; expected true, false, 1 or 0"),
        ({"loss_mask": [0, 1]}, "", "loss_mask is a list of 2 items; expected true, false, 1 or 0"),
        (
            {"loss_weight": 0.3},
            "",
            "loss_weight is 0.3; expected 1 or 0: a token can be trained or not, but cannot have a "
            "weight",
        ),
        (
            {"weight": 2},
            "",
            "weight is 2; expected 1 or 0: a token can be trained or not, but cannot have a weight",
        ),
        (
            {"trainable": True, "weight": 0.0},
            "messages[0]",
            "messages[0] has trainable true and weight 0.0, which contradict each other",
        ),
        (
            {"masked": True, "loss": 1},
            "",
            "the record has loss 1 and masked true, which contradict each other",
        ),
    ],
)
def test_values_that_are_refused(holder: dict[str, Any], where: str, problem: str) -> None:
    """A value that is neither yes nor no is refused, and so are contradicting flags."""
    with pytest.raises(RecordError) as caught:
        train_flag(holder, where)
    assert (caught.value.reason, caught.value.problem) == ("wrong_type", problem)


def test_another_number_has_a_cure() -> None:
    """The error says what can be done instead of a weight."""
    with pytest.raises(RecordError) as caught:
        train_flag({"weight": 0.5}, "")
    assert caught.value.cure == (
        "Write 1 or 0, remove the field, or repeat the records that are to count more"
    )
