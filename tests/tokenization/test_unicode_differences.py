"""The tables of code points for which gigatoken and HF may differ.

``tests/conformance/find_divergent.py`` finds the tables; here only their form is checked.
"""

from itertools import pairwise

import numpy as np
import pytest

from sftprep.tokenization.unicode_differences import (
    CODE_POINTS,
    DIVERGENT,
    DIVERGENT_NFC,
    divergent_table,
)


@pytest.mark.parametrize("ranges", [DIVERGENT[1:], DIVERGENT_NFC])
def test_ranges(ranges: tuple[tuple[int, int], ...]) -> None:
    """Ranges are in order, apart, and within Unicode."""
    for first, last in ranges:
        assert 0x80 <= first <= last < CODE_POINTS
    for (_, last), (first, _) in pairwise(ranges):
        assert last + 1 < first


def test_number_of_code_points() -> None:
    """Unicode 17 assigned 4,803 code points; U+0295 is the only other one."""
    assert int(divergent_table(normalizes=False).sum()) == 4803 + 1


@pytest.mark.parametrize(
    ("code_point", "plain", "normalizing"),
    [
        (ord("a"), False, False),
        (0x294, False, False),
        (0x295, True, True),
        (0x296, False, False),
        (0x16EA0, True, True),
        (0x7FD, False, True),
        (0x1E5EF, False, True),
        (0x1E5F0, False, False),
    ],
)
def test_table(code_point: int, plain: bool, normalizing: bool) -> None:
    """The ends of a range belong to it; the NFC ranges count only for a normalizing tokenizer."""
    assert bool(divergent_table(normalizes=False)[code_point]) == plain
    assert bool(divergent_table(normalizes=True)[code_point]) == normalizing


def test_the_table_cannot_be_changed() -> None:
    """All callers share one array."""
    table = divergent_table(normalizes=True)
    assert table is divergent_table(normalizes=True)
    assert table.shape == (CODE_POINTS,)
    with pytest.raises(ValueError, match="read-only"):
        table[0] = np.True_
