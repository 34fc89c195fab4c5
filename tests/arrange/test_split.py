"""Rows with one key share a split, and stay in it when rows are added."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_columns import keys

from sftprep.arrange.options import Share
from sftprep.arrange.split import SPLITS, split_rows
from sftprep.errors import UsageError

# A hundred keys, so that no split is empty, and some of them several times.
prompts = st.lists(st.integers(0, 120), max_size=20).map(lambda more: [*range(100), *more])

TENTH, FIFTH = Share(fraction=Fraction(1, 10)), Share(fraction=Fraction(1, 5))


@given(prompts, st.integers(0, 5))
def test_rows_with_one_key_are_in_one_split(values: list[int], seed: int) -> None:
    """For shares of both kinds."""
    for validation, test in ((Share(rows=30), FIFTH), (FIFTH, Share(rows=1))):
        splits = split_rows(keys(values), validation, test, seed)
        assert len(set(zip(values, splits.tolist(), strict=True))) == len(set(values))


@given(prompts, prompts, st.integers(0, 5))
def test_added_rows_move_no_old_one(old: list[int], new: list[int], seed: int) -> None:
    """A percentage decides about each key by itself."""
    before = split_rows(keys(old), FIFTH, TENTH, seed)
    after = split_rows(keys(new + old), FIFTH, TENTH, seed)
    assert np.array_equal(after[len(new) :], before)


@given(prompts, st.integers(1, 90), st.integers(0, 5))
def test_a_number_is_met_with_whole_groups(values: list[int], number: int, seed: int) -> None:
    """The split has at least as many rows, and too many only because of its last key."""
    splits = split_rows(keys(values), Share(rows=number), None, seed)
    chosen = [value for value, split in zip(values, splits.tolist(), strict=True) if split]
    assert len(chosen) >= number
    assert min(len(chosen) - chosen.count(value) for value in chosen) < number
    largest = max(values.count(value) for value in chosen)
    assert len(chosen) < number + largest


def test_one_splits_share_does_not_change_the_other() -> None:
    """Validation and test are taken from the two ends."""
    rows = keys(range(1000))
    both = split_rows(rows, TENTH, FIFTH, 3)
    assert np.array_equal(both == 1, split_rows(rows, TENTH, None, 3) == 1)
    assert np.array_equal(both == 2, split_rows(rows, None, FIFTH, 3) == 2)
    assert [80 < np.count_nonzero(both == 1) < 120, 160 < np.count_nonzero(both == 2) < 240] == [
        True,
        True,
    ]
    assert set(both.tolist()) == {SPLITS.index(name) for name in SPLITS}


def test_the_seed_decides() -> None:
    """Another one gives another split."""
    rows = keys(range(1000))
    assert not np.array_equal(split_rows(rows, TENTH, None, 0), split_rows(rows, TENTH, None, 1))


@pytest.mark.parametrize(
    ("rows", "validation", "test", "message"),
    [
        (10, Share(rows=10), None, "--validation 10 must be at least 1 and less than the 10 rows"),
        (10, Share(rows=0), None, "--validation 0 must be at least 1"),
        (10, None, Share(rows=11), "--test 11 must be at least 1 and less than the 10 rows"),
        (1, Share(rows=1), None, "less than the 1 rows"),
        (10, Share(rows=6), Share(rows=5), "--validation 6 and --test 5 together take more than"),
        (10, Share(rows=5), Share(rows=5), "--validation 5 and --test 5 would take all 10 rows"),
        (3, Share(fraction=Fraction(1, 10**9)), None, "the validation split would be empty"),
        (3, None, Share(fraction=Fraction(1, 10**9)), "the test split would be empty"),
        (9, Share(fraction=Fraction(999_999, 10**6)), None, "would take all 9 rows"),
    ],
)
def test_a_split_that_would_be_empty_is_refused(
    rows: int, validation: Share | None, test: Share | None, message: str
) -> None:
    """The message says which, and what to do."""
    with pytest.raises(UsageError, match=message):
        split_rows(keys(range(rows)), validation, test, 0)


def test_one_key_for_all_rows_cannot_be_split() -> None:
    """Rows with one key are never divided."""
    with pytest.raises(UsageError, match="leave none for training"):
        split_rows(keys([4] * 50), Share(rows=5), None, 0)
