"""Lay out encoded runs and control tokens as rows, in columns.

In     the number of the layout of each record, and the ids of all its runs, in order.
Out    a ``Batch``: int32 ids, bool loss mask, int64 offsets, and (if asked for) the Section of each
       token.
Keeps  ids and loss mask in one object: no later stage changes one without the other.
Never  builds a Python object per token or per record.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, lengths_to_offsets, ragged_index
from sftprep.rows.layout import Layout


class LayoutTable:
    """The columns of several layouts, end to end, so that one step gathers for many records.

    Args:
        layouts: the layouts; a record names its layout by its number in this list.
    """

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self.elements = Slices([len(layout.control) for layout in layouts])
        self.control: Ids = np.concatenate([x.control for x in layouts])
        self.trained: Mask = np.concatenate([x.trained for x in layouts])
        self.section: npt.NDArray[np.uint8] = np.concatenate([x.section for x in layouts])
        self.kept_left: Offsets = np.concatenate([x.kept_left for x in layouts])
        self.kept_right: Offsets = np.concatenate([x.kept_right for x in layouts])

        self.runs = Slices([len(layout.runs) for layout in layouts])
        runs = [run for layout in layouts for run in layout.runs]
        self.run_continued: Mask = np.array([run.continued for run in runs], np.bool_)
        self.run_trained: Mask = np.array([run.trained for run in runs], np.bool_)

        self.chains = Slices([len(layout.chains) for layout in layouts])
        chains = [ends for layout in layouts for ends in layout.chains]
        self.chain_ends: Offsets = np.array(chains, np.int64).reshape(-1, 2)


class Slices:
    """Which slice of a column belongs to which layout.

    Args:
        sizes: the number of the column's entries for each layout.

    >>> Slices([2, 0, 3]).positions(np.array([2, 0])).tolist()
    [2, 3, 4, 0, 1]
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes: Offsets = np.array(sizes, np.int64)
        self._starts = lengths_to_offsets(self.sizes)[:-1]

    def positions(self, layouts: Offsets) -> Offsets:
        """Return the positions in the column of all entries of these layouts, one after another."""
        return ragged_index(self._starts[layouts], self.sizes[layouts])


def assemble(
    table: LayoutTable, layouts: Offsets, runs: Ragged, *, with_sections: bool = False
) -> Batch:
    """Lay out the ids of the runs and the control tokens as rows.

    Args:
        table: the layouts.
        layouts: int64[rows], the number of each row's layout.
        runs: the ids of all runs of all rows, in order.
        with_sections: whether truncation will need ``Batch.section``.
    """
    elements = table.elements.positions(layouts)
    control = table.control[elements]
    is_run = control < 0
    lengths = np.ones(len(elements), np.int64)
    lengths[is_run] = runs.lengths
    offsets = lengths_to_offsets(lengths)

    input_ids = np.empty(offsets[-1], np.int32)
    from_run = np.ones(offsets[-1], np.bool_)
    places = offsets[:-1][~is_run]
    from_run[places] = False
    input_ids[places] = control[~is_run]
    input_ids[from_run] = runs.values
    return Batch(
        input_ids,
        np.repeat(table.trained[elements], lengths),
        offsets[lengths_to_offsets(table.elements.sizes[layouts])],
        np.arange(len(layouts), dtype=np.int64),
        _sections(table, elements, lengths) if with_sections else None,
    )


def _sections(table: LayoutTable, elements: Offsets, lengths: Offsets) -> npt.NDArray[np.uint8]:
    """Return uint8[tokens]: the section of each token's element, or KEPT at a run's kept ends."""
    left = np.minimum(table.kept_left[elements], lengths)
    right = np.minimum(table.kept_right[elements], lengths - left)
    counts = np.stack([left, lengths - left - right, right], axis=1).ravel()
    own = table.section[elements]
    kept = np.full_like(own, Section.KEPT)
    return np.repeat(np.stack([kept, own, kept], axis=1).ravel(), counts)
