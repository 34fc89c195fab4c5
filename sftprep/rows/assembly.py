"""Layouts + encoded runs -> Batch: every id with its place in the loss, in one pass of columns.

In     for each record the number of its layout; the ids of all its runs, in order.
Out    a ``Batch``: int32 ids, bool loss mask, int64 offsets, and (if asked) each token's Section.
Keeps  ids and loss mask in one object: nothing after this stage touches one without the other.
Never  builds a Python object per token or per record.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, ends_to_offsets, ragged_index
from sftprep.rows.layout import Layout


class Layouts:
    """All layouts met so far, their columns end to end, so that records can gather from them."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self.elements = Nested([len(layout.control) for layout in layouts])
        self.control: Ids = np.concatenate([x.control for x in layouts])
        self.trained: Mask = np.concatenate([x.trained for x in layouts])
        self.section: npt.NDArray[np.uint8] = np.concatenate([x.section for x in layouts])
        self.kept_left: Offsets = np.concatenate([x.kept_left for x in layouts])
        self.kept_right: Offsets = np.concatenate([x.kept_right for x in layouts])
        self.runs = Nested([len(layout.runs) for layout in layouts])
        self.continued: Mask = np.array([c for x in layouts for c in x.continued], np.bool_)
        self.joins = Nested([len(layout.joins) for layout in layouts])
        ends = [ends for layout in layouts for ends in layout.joins]
        self.join_ends: Offsets = np.array(ends, np.int64).reshape(-1, 2)


class Nested:
    """Where each layout's part of a column begins, and how long it is.

    >>> Nested([2, 0, 3]).of(np.array([2, 0])).tolist()
    [2, 3, 4, 0, 1]
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes: Offsets = np.array(sizes, np.int64)
        self._starts = ends_to_offsets(self.sizes)[:-1]

    def of(self, which: Offsets) -> Offsets:
        """The places in the column of all entries of these layouts, in turn."""
        return ragged_index(self._starts[which], self.sizes[which])


def assemble(
    layouts: Layouts, which: npt.NDArray[np.int64], runs: Ragged, *, with_sections: bool = False
) -> Batch:
    """Lay the runs' ids and the control tokens out as rows.

    Args:
        layouts: the layouts.
        which: int64[rows], the layout of each row.
        runs: the ids of all runs of all rows, in order.
        with_sections: whether truncation will need ``Batch.section``.
    """
    sizes = layouts.elements.sizes[which]
    elements = layouts.elements.of(which)
    control = layouts.control[elements]
    is_run = control < 0
    lengths = np.ones(len(elements), np.int64)
    lengths[is_run] = runs.lengths
    ends = ends_to_offsets(lengths)

    input_ids = np.empty(ends[-1], np.int32)
    from_run = np.ones(ends[-1], np.bool_)
    places = ends[:-1][~is_run]
    from_run[places] = False
    input_ids[places] = control[~is_run]
    input_ids[from_run] = runs.values
    return Batch(
        input_ids,
        np.repeat(layouts.trained[elements], lengths),
        ends[ends_to_offsets(sizes)],
        np.arange(len(which), dtype=np.int64),
        _sections(layouts, elements, lengths) if with_sections else None,
    )


def _sections(layouts: Layouts, elements: Offsets, lengths: Offsets) -> npt.NDArray[np.uint8]:
    """Each token's Section: an element's own, but for the kept tokens at the ends of a run."""
    left = np.minimum(layouts.kept_left[elements], lengths)
    right = np.minimum(layouts.kept_right[elements], lengths - left)
    spans = np.stack([left, lengths - left - right, right], axis=1).ravel()
    own = layouts.section[elements]
    kept = np.full_like(own, Section.KEPT)
    return np.repeat(np.stack([kept, own, kept], axis=1).ravel(), spans)
