"""The columns of a shard, as the targets make them and the formats write them.

A column holds a list of integers for each row. All columns of a shard have the same number of rows;
a row may have different lengths in them.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Offsets


class ListColumn(NamedTuple):
    """A list of integers for each row: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: npt.NDArray[Any]  # int8 or int32, flat; its dtype is that of the column
    offsets: Offsets  # int64[rows + 1], starts with 0


Columns = dict[str, ListColumn]
"""Name -> column, in the order in which a format writes them."""

Kinds = dict[str, "np.dtype[Any]"]
"""Name -> dtype of each column of a shard, in their order."""

ANY_COLUMNS: Kinds = {}
"""For readers: the columns that a shard has, whichever they are."""


def rows_in(columns: Columns) -> int:
    """Return the number of rows.

    >>> rows_in({"labels": ListColumn(np.zeros(5, np.int32), np.array([0, 2, 5]))})
    2
    """
    return len(next(iter(columns.values())).offsets) - 1
