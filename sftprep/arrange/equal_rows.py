"""Find rows that are equal in some columns, without work for the rows that equal no other.

In     columns of one length; the first is a key in which few rows are equal by chance.
Out    ``EqualRows``: the rows that have an equal, group by group, the first of each group first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Keys, Rows
from sftprep.data.ragged import Mask


class EqualRows(NamedTuple):
    """Groups of equal rows. A row that equals no other row is in no group."""

    members: Rows  # int64[members]: the rows of each group, ascending inside a group
    first: Mask  # bool[members]: True for the first row of each group

    def places(self) -> Rows:
        """Return int64[members]: the place of each row in its group, counted from 0.

        >>> equal_rows(np.array([7, 8, 7, 9, 8, 7], np.uint64)).places().tolist()
        [0, 1, 2, 0, 1]
        """
        starts = np.flatnonzero(self.first)
        sizes = np.diff(starts, append=len(self.members))
        return np.arange(len(self.members)) - np.repeat(starts, sizes)

    def repeated(self) -> tuple[Rows, Rows]:
        """Return the rows that are not the first of their group, ascending, and those firsts.

        >>> [rows.tolist() for rows in equal_rows(np.array([7, 8, 7, 8], np.uint64)).repeated()]
        [[2, 3], [0, 1]]
        """
        starts = np.flatnonzero(self.first)
        firsts = np.repeat(self.members[starts], np.diff(starts, append=len(self.members)))
        rows, firsts = self.members[~self.first], firsts[~self.first]
        order = np.argsort(rows)
        return rows[order], firsts[order]


def equal_rows(key: Keys, others: Sequence[npt.NDArray[np.integer]] = ()) -> EqualRows:
    """Return the rows that are equal in the key and in all other columns."""
    members = _not_unique(key)
    columns = [key[members], *(column[members] for column in others)]
    order = np.lexsort(columns[::-1])  # stable: rows stay ascending inside a group
    differs = np.zeros(max(len(order) - 1, 0), np.bool_)
    for column in columns:
        values = column[order]
        differs |= values[1:] != values[:-1]
    begins = np.concatenate([[True], differs, [True]])
    alone = begins[:-1] & begins[1:]
    return EqualRows(
        members[order][~alone[: len(order)]], begins[: len(order)][~alone[: len(order)]]
    )


def _not_unique(key: Keys) -> Rows:
    """Return the rows, ascending, whose key occurs more than once."""
    order = np.argsort(key)
    equal = key[order]
    equal_next = np.concatenate([equal[1:] == equal[:-1], [False]])[: len(key)]
    del equal
    several = equal_next.copy()
    several[1:] |= equal_next[:-1]
    rows: Rows = np.sort(order[several])
    return rows
