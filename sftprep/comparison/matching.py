"""Match the rows of two datasets by the records that they come from.

In     the ``Rows`` of two datasets, and which inputs of the two have the same name.
Out    pairs of rows, and the rows of each dataset that have no partner.
Keeps  each row in one pair at most. Depends on nothing but places and texts, so that the same
       datasets always give the same pairs.

Two rows are a pair if they have the same text, which finds records that have moved in their file;
among rows of one text, those at the same place come first, then the others in their order. Rows
that are left are a pair if they come from the same place of the same input: then the record, or
what the template makes of it, has changed.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.comparison.rows import Rows
from sftprep.data.ragged import Offsets


class Matched(NamedTuple):
    """Pairs of rows, and rows without a partner; in the order of the input."""

    pairs: Offsets  # int64[pairs, 2]: the numbers of the rows in the two datasets
    only: tuple[Offsets, Offsets]  # int64: the rows that only one of the datasets has


def match(rows: tuple[Rows, Rows], sources: tuple[Offsets, Offsets]) -> Matched:
    """Match the rows of two datasets.

    Args:
        rows: the rows of the two datasets.
        sources: for each input of the two datasets, the number of its name.
    """
    left = _Side(rows[0], sources[0])
    right = _Side(rows[1], sources[1])
    found = [
        _pair(left, right, [side.text + side.place for side in (left, right)]),
        _pair(left, right, [side.text for side in (left, right)]),
        _pair(left, right, [side.place for side in (left, right)]),
    ]
    pairs = np.concatenate(found)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    return Matched(pairs, (np.flatnonzero(left.free), np.flatnonzero(right.free)))


class _Side:
    """The rows of one of the datasets."""

    def __init__(self, rows: Rows, sources: Offsets) -> None:
        self.text: list[npt.NDArray[np.generic]] = [rows.text]
        self.place: list[npt.NDArray[np.generic]] = [sources[rows.source], rows.line, rows.answer]
        self.free = np.ones(len(rows), np.bool_)


def _pair(left: _Side, right: _Side, keys: list[list[npt.NDArray[np.generic]]]) -> Offsets:
    """Match free rows that have equal keys; the k-th of a key with the k-th of the other side."""
    free = np.flatnonzero(left.free), np.flatnonzero(right.free)
    size = len(free[0])
    joined = [
        np.concatenate([a[free[0]], b[free[1]]]) for a, b in zip(keys[0], keys[1], strict=True)
    ]
    side = np.repeat([0, 1], [size, len(free[1])])
    number = np.concatenate(free)
    order = np.lexsort([number, side, *joined[::-1]])
    begins = np.ones(len(order), np.bool_)
    if len(order):
        begins[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in joined], axis=0)
    starts = np.flatnonzero(begins)
    group = np.cumsum(begins) - 1
    of_left = np.bincount(group, side[order] == 0, minlength=len(starts)).astype(np.int64)
    of_all = np.bincount(group, minlength=len(starts))
    common = np.minimum(of_left, of_all - of_left)
    # The left rows of a group come first: rank k of each side are at start + k and at the place
    # of the first right row + k.
    repeat = np.repeat(np.arange(len(starts)), common)
    rank = np.arange(len(repeat)) - np.repeat(np.cumsum(common) - common, common)
    pairs = np.stack(
        [
            number[order[starts[repeat] + rank]],
            number[order[starts[repeat] + of_left[repeat] + rank]],
        ],
        axis=1,
    )
    left.free[pairs[:, 0]] = False
    right.free[pairs[:, 1]] = False
    return pairs
