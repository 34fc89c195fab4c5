"""Assemble encoded runs and control tokens into rows, which are stored as columns.

In     the number of each record's layout, and the ids of all runs of all records, in order.
Out    a ``Batch``: int32 ids, bool loss mask, int64 offsets and, on request, the ``Section`` of
       each token.
Keeps  ids and loss mask in one object, so that no later stage changes one without the other.
Never  creates a Python object per token or per record.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.provenance import Writer
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, lengths_to_offsets, ragged_index
from sftprep.rows.layout import Layout


class LayoutTable:
    """The columns of all layouts, concatenated, so that one numpy call can look up many records.

    Args:
        layouts: the layouts. A layout's number is its index in this list.
        writers: the writers of their parts. A writer's number is its index.
    """

    def __init__(self, layouts: Sequence[Layout], writers: Iterable[Writer] = ()) -> None:
        self.layouts = layouts
        self.writers = tuple(writers)
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

        self.answers = Slices([len(layout.answers) for layout in layouts])
        answers = [end for layout in layouts for end in layout.answers]
        # int64[answers, 3]: the fields of ``AnswerEnd``
        self.answer_ends: Offsets = np.array(answers, np.int64).reshape(-1, 3)

        self.chains = Slices([len(layout.chains) for layout in layouts])
        chains = [ends for layout in layouts for ends in layout.chains]
        self.chain_ends: Offsets = np.array(chains, np.int64).reshape(-1, 2)

        # Of each element of ``elements``, its parts; for each part, the number of its writer.
        self.parts = Slices(np.concatenate([x.part_sizes for x in layouts]))
        self.part_writers: Ids = np.concatenate([x.part_writers for x in layouts])


class Slices:
    """Finds the slice of a column that belongs to a layout.

    Args:
        sizes: how many entries of the column each layout has.

    >>> Slices([2, 0, 3]).positions(np.array([2, 0])).tolist()
    [2, 3, 4, 0, 1]
    """

    def __init__(self, sizes: Sequence[int] | Offsets) -> None:
        self.sizes: Offsets = np.array(sizes, np.int64)
        self._starts = lengths_to_offsets(self.sizes)[:-1]

    def positions(self, layouts: Offsets) -> Offsets:
        """Return the positions of all entries of these layouts in the column, layout by layout."""
        return ragged_index(self._starts[layouts], self.sizes[layouts])


class Elements(NamedTuple):
    """The elements of the rows of a block, in columns."""

    layouts: Offsets  # int64[rows]: the number of each row's layout
    row_offsets: Offsets  # int64[rows + 1]: the first element of each row
    run_offsets: Offsets  # int64[rows + 1]: the first run of each row
    positions: Offsets  # int64[elements]: the position of each element in the columns of the table
    control: Ids  # int32[elements]: the id of a control token, -1 for a run
    lengths: Offsets  # int64[elements]: how many tokens each element has

    @classmethod
    def of(cls, table: LayoutTable, layouts: Offsets, runs: Ragged) -> "Elements":
        """List the elements of rows.

        Args:
            table: the layouts.
            layouts: int64[rows], the number of each row's layout.
            runs: the ids of all runs of all rows, in order.
        """
        positions = table.elements.positions(layouts)
        control = table.control[positions]
        lengths = np.ones(len(positions), np.int64)
        lengths[control < 0] = runs.lengths
        row_offsets = lengths_to_offsets(table.elements.sizes[layouts])
        run_offsets = lengths_to_offsets(table.runs.sizes[layouts])
        return cls(layouts, row_offsets, run_offsets, positions, control, lengths)


def assemble(
    table: LayoutTable, elements: Elements, runs: Ragged, *, with_sections: bool = False
) -> Batch:
    """Assemble the ids of the runs and the control tokens into rows.

    Args:
        table: the layouts.
        elements: the elements of the rows.
        runs: the ids of all runs of all rows, in order.
        with_sections: True if truncation will need ``Batch.section``.
    """
    control, is_run = elements.control, elements.control < 0
    offsets = lengths_to_offsets(elements.lengths)

    input_ids = np.empty(offsets[-1], np.int32)
    from_run = np.ones(offsets[-1], np.bool_)
    places = offsets[:-1][~is_run]
    from_run[places] = False
    input_ids[places] = control[~is_run]
    input_ids[from_run] = runs.values
    return Batch(
        input_ids,
        np.repeat(table.trained[elements.positions], elements.lengths),
        offsets[elements.row_offsets],
        np.arange(len(elements.layouts), dtype=np.int64),
        _sections(table, elements.positions, elements.lengths) if with_sections else None,
    )


def _sections(table: LayoutTable, elements: Offsets, lengths: Offsets) -> npt.NDArray[np.uint8]:
    """Return uint8[tokens]: KEPT at the kept ends of a run; elsewhere, the element's section."""
    left = np.minimum(table.kept_left[elements], lengths)
    right = np.minimum(table.kept_right[elements], lengths - left)
    counts = np.stack([left, lengths - left - right, right], axis=1).ravel()
    own = table.section[elements]
    kept = np.full_like(own, Section.KEPT)
    return np.repeat(np.stack([kept, own, kept], axis=1).ravel(), counts)
