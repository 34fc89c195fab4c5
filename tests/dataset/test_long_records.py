"""The limit that nearly all records would fit."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from sftprep.dataset.long_records import LongRecords, rounded_up

LENGTHS = st.lists(st.integers(1, 5000), min_size=1, max_size=60)


def counted(lengths: list[int]) -> LongRecords:
    """Count records of these lengths."""
    found = LongRecords()
    for length in lengths:
        found.add(length)
    return found


def test_the_least_limit_that_99_percent_fit() -> None:
    """Of 200 records 2 may be too long: those of 9,000 tokens, but not those of 4,096."""
    found = counted([4096, 9000, 9000, 3000])
    assert found.fitting_length(200) == 4096
    assert counted([9000, 9000]).fitting_length(200) == 0
    assert counted([9000, 9000]).fitting_length(199) == rounded_up(9000)
    assert LongRecords().fitting_length(10) == 0


@given(LENGTHS, st.integers(0, 10_000))
def test_at_most_one_percent_are_longer(lengths: list[int], more: int) -> None:
    """The limit holds 99 % of the records, and is less than a sixteenth over the least such."""
    records = len(lengths) + more
    may_be_over = math.floor(records / 100)
    found = counted(lengths).fitting_length(records)
    least = sorted(lengths, reverse=True)[may_be_over] if may_be_over < len(lengths) else 0
    assert least <= found <= math.ceil(least * 17 / 16)
    assert sum(length > found for length in lengths) <= may_be_over


@given(LENGTHS, st.integers(1, 100))
def test_the_order_does_not_matter(lengths: list[int], records: int) -> None:
    """The same lengths give the same limit in any order, also from a state in the journal."""
    half = counted(lengths[::2])
    again = LongRecords(json.loads(json.dumps(half.state())))
    for length in lengths[1::2]:
        again.add(length)
    whole = counted(lengths[::-1])
    assert whole.state() == again.state()
    assert whole.fitting_length(records) == again.fitting_length(records)


def test_few_numbers_for_many_lengths() -> None:
    """However many lengths there are, few numbers are kept of them."""
    assert len(counted(list(range(1, 100_000))).state()) < 300
