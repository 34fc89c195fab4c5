"""Rows of different lengths in one flat array.

After encoding, all data is columnar: a flat array of values, and the offsets of its rows. So no
Python object is created per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in a flat array: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: Ids  # int32, flat
    offsets: Offsets  # int64[rows + 1], starts with 0

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Build from lists (for small data and tests)."""
        lengths = [len(row) for row in rows]
        flat = [value for row in rows for value in row]
        return cls(np.array(flat, np.int32), lengths_to_offsets(np.array(lengths, np.int64)))

    @classmethod
    def of_arrays(cls, rows: Sequence[Ids]) -> Self:
        """Build from one array per row."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.concatenate(rows) if rows else np.zeros(0, np.int32)
        return cls(values, lengths_to_offsets(lengths))

    @property
    def lengths(self) -> Offsets:
        """int64[rows]: the length of each row."""
        return np.diff(self.offsets)

    def row(self, index: int) -> Ids:
        """Return row ``index`` as a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, rows: npt.NDArray[np.intp]) -> "Ragged":
        """Return the rows with these indices, in this order; an index may occur more than once."""
        lengths = self.lengths[rows]
        return Ragged(
            self.values[ragged_index(self.offsets[:-1][rows], lengths)], lengths_to_offsets(lengths)
        )

    @staticmethod
    def concatenate(arrays: Sequence["Ragged"]) -> "Ragged":
        """Return all rows of all arrays, in order."""
        lengths = np.concatenate([array.lengths for array in arrays])
        return Ragged(
            np.concatenate([array.values for array in arrays]), lengths_to_offsets(lengths)
        )


def lengths_to_offsets(lengths: Offsets) -> Offsets:
    """Return the offsets of rows with these lengths; there is one more offset than rows.

    >>> lengths_to_offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ragged_index(starts: Offsets, lengths: Offsets) -> Offsets:
    """Return every position, in a flat array, of the slices with these starts and lengths.

    >>> ragged_index(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    offsets = lengths_to_offsets(lengths)
    return np.arange(offsets[-1], dtype=np.int64) + np.repeat(starts - offsets[:-1], lengths)
