"""Rows of different lengths in a flat array."""

import numpy as np

from sftprep.data.ragged import Ragged

ROWS = [[1, 2], [], [3]]


def rows_of(ragged: Ragged) -> list[list[int]]:
    """The rows as lists."""
    return [ragged.row(index).tolist() for index in range(len(ragged.lengths))]


def test_rows_are_slices_of_the_values() -> None:
    """Row i is ``values[offsets[i]:offsets[i + 1]]``; an empty row takes no value."""
    ragged = Ragged.of(ROWS)
    assert (ragged.values.tolist(), ragged.offsets.tolist()) == ([1, 2, 3], [0, 2, 2, 3])
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert rows_of(ragged) == ROWS


def test_types() -> None:
    """Values are int32 and offsets int64, also when there are no rows."""
    for ragged in (Ragged.of(ROWS), Ragged.of([]), Ragged.of_arrays([])):
        assert (str(ragged.values.dtype), str(ragged.offsets.dtype)) == ("int32", "int64")


def test_arrays() -> None:
    """Rows that are given as arrays become the same as rows that are given as lists."""
    assert rows_of(Ragged.of_arrays([np.array(row, np.int32) for row in ROWS])) == ROWS
    assert rows_of(Ragged.of_arrays([])) == []


def test_take() -> None:
    """Rows can be taken in any order, and more than once."""
    assert rows_of(Ragged.of(ROWS).take(np.array([2, 0, 1, 0]))) == [[3], [1, 2], [], [1, 2]]


def test_concatenate() -> None:
    """The rows of all arrays follow one another in order."""
    assert rows_of(Ragged.concatenate([Ragged.of(ROWS), Ragged.of([[4]])])) == [*ROWS, [4]]
