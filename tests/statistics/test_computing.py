"""computing: spreads, histograms and packings, compared with plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.arrange.options import PackOrder
from sftprep.arrange.pack import pack
from sftprep.statistics.computing import at_most, counted, edges, packings, share, spread
from sftprep.statistics.figures import PERCENTILES

VALUES = st.lists(
    st.one_of(st.integers(0, 300), st.integers(0, 2**31 - 1)), min_size=1, max_size=50
)


@given(VALUES)
def test_spread(values: list[int]) -> None:
    """Percentiles are values that occur; bars hold each value once and follow each other."""
    found = spread(np.array(values, np.int32))
    assert found is not None
    ordered = sorted(values)
    assert (found.total, found.least, found.most) == (sum(values), ordered[0], ordered[-1])
    for percent in PERCENTILES:
        value = found.percentiles[str(percent)]
        assert value in values
        assert sum(v <= value for v in values) * 100 >= percent * len(values)
        assert sum(v < value for v in values) * 100 < percent * len(values)
    for bar in found.histogram:
        assert bar.count == sum(bar.low <= value <= bar.high for value in values)
    for before, after in zip(found.histogram, found.histogram[1:], strict=False):
        assert after.low == before.high + 1
    assert sum(bar.count for bar in found.histogram) == len(values)
    assert found.histogram[-1].high == ordered[-1]
    assert found.histogram[0].count > 0


def test_no_values() -> None:
    """There is no spread of nothing."""
    assert spread(np.zeros(0, np.int32)) is None
    assert at_most(*counted(np.zeros(0, np.int32)), 99) == 0
    assert share(0, 0) == 0.0


def test_edges() -> None:
    """Powers of two, and half-way between them."""
    assert edges(30) == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]
    assert edges(0) == [0]


@given(
    st.lists(st.lists(st.integers(1, 60), max_size=30), min_size=1, max_size=3),
    st.integers(1, 80),
)
def test_packings(splits: list[list[int]], capacity: int) -> None:
    """The packs of each split are those of the arrangement, with longer rows cut."""
    lengths = [np.array(split, np.int32) for split in splits]
    [found] = packings(lengths, [capacity])
    packs = tokens = 0
    for split in splits:
        cut = [min(length, capacity) for length in split]
        if cut:
            packed = pack(np.array(cut, np.int32), capacity, PackOrder.PLAN)
            packs += len(packed.offsets) - 1
        tokens += sum(cut)
    assert (found.packs, found.rows_over) == (
        packs, sum(length > capacity for split in splits for length in split),
    )  # fmt: skip
    assert found.efficiency == (round(tokens / (packs * capacity), 6) if packs else 0)


@pytest.mark.parametrize("percent", [1, 50, 99, 100])
def test_at_most_of_equal_values(percent: int) -> None:
    """Where all are equal, each percentile is this value."""
    assert at_most(*counted(np.full(7, 5, np.int32)), percent) == 5
