"""Samples and repeats: how often each row of the training split occurs."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_columns import columns

from sftprep.arrange import mix
from sftprep.arrange.columns import Keys, Numbers
from sftprep.arrange.options import Repeat, Share
from sftprep.errors import UsageError

texts = st.lists(st.integers(0, 50), min_size=1, max_size=100)


def row_keys(values: list[int]) -> Keys:
    """The keys of rows with these texts."""
    return mix.row_keys(columns(values), np.arange(len(values)))


@given(texts)
def test_equal_texts_have_keys_of_their_own(values: list[int]) -> None:
    """A text has the same key as often as it is alone, wherever it stands."""
    assert len(set(row_keys(values).tolist())) == len(values)
    assert sorted(row_keys(values[::-1]).tolist()) == sorted(row_keys(values).tolist())


@given(texts, texts, st.integers(0, 5))
def test_a_sample_stays_when_rows_are_added(old: list[int], new: list[int], salt: int) -> None:
    """Each row decides for itself if the share is a percentage."""
    half = Share(fraction=Fraction(1, 2))
    try:
        before = mix.sample(row_keys(old), half, salt)
    except UsageError:  # half of very few rows may be none
        return
    after = mix.sample(row_keys(old + new), half, salt)
    assert np.array_equal(after[: len(old)], before)


@given(texts, st.data())
def test_a_number_of_rows_is_met_exactly(values: list[int], data: st.DataObject) -> None:
    """And a smaller sample is a part of a larger one."""
    number = data.draw(st.integers(1, len(values)))
    kept = mix.sample(row_keys(values), Share(rows=number), 7)
    assert np.count_nonzero(kept) == number
    fewer = mix.sample(row_keys(values), Share(rows=max(1, number - 1)), 7)
    assert not (fewer & ~kept).any()


def test_copies_of_one_text_are_sampled_one_by_one() -> None:
    """Half of a thousand equal rows is about five hundred, not all or none."""
    kept = mix.sample(row_keys([3] * 1000), Share(fraction=Fraction(1, 2)), 0)
    assert 430 < np.count_nonzero(kept) < 570


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (Share(rows=11), "--sample 11 must be at least 1 and at most 10"),
        (Share(rows=0), "--sample 0 must be at least 1"),
        (Share(fraction=Fraction(1, 10**9)), "is no row"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(share: Share, message: str) -> None:
    """More than there is, or nothing."""
    with pytest.raises(UsageError, match=message):
        mix.sample(row_keys(list(range(10))), share, 0)


def copies(factor: str, rows: int = 1000, salt: int = 0) -> Numbers:
    """How often each row of source 1 occurs; every second row is of source 0."""
    sources = np.arange(rows, dtype=np.int32) % 2
    repeat = [Repeat(frozenset({1}), Fraction(factor))]
    found = mix.copies(sources, row_keys(list(range(rows))), repeat, salt)
    assert (found[sources == 0] == 1).all()
    repeated: Numbers = found[sources == 1]
    return repeated


def test_a_whole_factor_repeats_each_row() -> None:
    """Zero leaves the source out."""
    assert set(copies("3").tolist()) == {3}
    assert set(copies("0").tolist()) == {0}
    assert set(copies("1").tolist()) == {1}


def test_the_fraction_of_a_factor_takes_a_part_of_the_rows_once_more() -> None:
    """2.5 is each row twice, and about half of them a third time."""
    assert set(Counter(copies("2.5").tolist())) == {2, 3}
    assert 1200 < copies("2.5").sum() < 1300
    assert 60 < copies("0.2").sum() < 140


def test_a_larger_fraction_adds_rows_and_takes_none() -> None:
    """So a mixture can be changed a little without changing it altogether."""
    assert (copies("2.5") <= copies("2.6")).all()


@given(texts, texts)
def test_repeats_stay_when_rows_are_added(old: list[int], new: list[int]) -> None:
    """A row's copies depend on the row alone."""
    repeat = [Repeat(frozenset({0}), Fraction(3, 2))]
    before, after = (
        mix.copies(np.zeros(len(rows), np.int32), row_keys(rows), repeat, 1)
        for rows in (old, old + new)
    )
    assert np.array_equal(after[: len(old)], before)


def test_repeats_that_contradict_each_other_are_refused() -> None:
    """A source in two of them, none in one, or nothing left."""
    sources, keys = np.zeros(3, np.int32), row_keys([1, 2, 3])
    one = Repeat(frozenset({0, 1}), Fraction(2))
    for repeat, message in (
        ([one, Repeat(frozenset({1}), Fraction(3))], "Two --repeat options match one input file"),
        ([Repeat(frozenset(), Fraction(3))], "matches no input file"),
        ([Repeat(frozenset({0}), Fraction(0))], "leaves no row"),
    ):
        with pytest.raises(UsageError, match=message):
            mix.copies(sources, keys, repeat, 0)
