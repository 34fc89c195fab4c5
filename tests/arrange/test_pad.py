"""The lengths of rows with padding."""

import numpy as np
import pytest

from sftprep.arrange.options import Pad, PadTo
from sftprep.arrange.pad import padded
from sftprep.errors import UsageError


@pytest.mark.parametrize(
    ("pad", "expected"),
    [
        (Pad(), [1, 7, 8, 9]),
        (Pad(PadTo.LONGEST), [9, 9, 9, 9]),
        (Pad(PadTo.MAX_LENGTH, 9), [9, 9, 9, 9]),
        (Pad(PadTo.MAX_LENGTH, 12), [12, 12, 12, 12]),
        (Pad(PadTo.MULTIPLE, 8), [8, 8, 8, 16]),
        (Pad(PadTo.MULTIPLE, 1), [1, 7, 8, 9]),
    ],
)
def test_lengths(pad: Pad, expected: list[int]) -> None:
    """A row that has the length already gets no padding."""
    found = padded(np.array([1, 7, 8, 9], np.int32), pad)
    assert found.tolist() == expected
    assert found.dtype == np.int32
    assert not len(padded(np.zeros(0, np.int32), pad))


def test_a_row_longer_than_the_padding_is_refused() -> None:
    """The message says how many rows, and how long the longest is."""
    with pytest.raises(UsageError, match=r"2 of 3 rows are longer than 8 tokens.* 10\."):
        padded(np.array([9, 8, 10], np.int32), Pad(PadTo.MAX_LENGTH, 8))
