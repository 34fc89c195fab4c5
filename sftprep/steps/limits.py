"""Count what other limits and strategies of truncation would do to the rows of a block.

In     the rows of a block before truncation, with sections, and their conversations.
Out    ``LimitCounts``: those of a run of its own with each limit and strategy.
Keeps  the work small. Only rows longer than the shortest limit are looked at, in columns. For
       oldest-turns, the last exchange of a long conversation is rendered and encoded once more, by
       itself: whether a trained token is left follows from that.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.conversation import Dialogue
from sftprep.data.limits import STRATEGIES, LimitCounts
from sftprep.data.pieces import Rendered
from sftprep.data.ragged import Mask, Offsets
from sftprep.errors import RecordError
from sftprep.rows.builder import RowBuilder
from sftprep.rows.limits import Shapes, outcome, settled, shapes_of
from sftprep.rows.oldest_turns import drop_oldest, exchanges, shorten
from sftprep.rows.truncation import truncate
from sftprep.steps.rendering import Rendering

OLDEST = STRATEGIES.index("oldest-turns")


class _Shortest(NamedTuple):
    """Conversations without all exchanges but the last, of those that have several."""

    rows: Offsets  # int64: the row of each
    batch: Batch
    shapes: Shapes
    untrained: Mask  # bool: True if no trained token is left


class LimitMeter:
    """Counts for one pipeline.

    Args:
        limits: the maximum lengths that are tried, ascending.
        builder: builds rows, with sections for all that are longer than the shortest limit.
        rendering: renders conversations.
    """

    def __init__(self, limits: Sequence[int], builder: RowBuilder, rendering: Rendering) -> None:
        self._limits = limits
        self._builder = builder
        self._rendering = rendering

    def count(self, dialogues: Sequence[Dialogue], batch: Batch) -> LimitCounts:
        """Count what each limit and strategy would do.

        Args:
            dialogues: the conversations of the block.
            batch: their rows; ``batch.record`` has the number of each one's conversation.
        """
        batch = replace(batch, facts=None)
        batch = batch.keep_rows(batch.trained() > 0)
        counts = LimitCounts.none(len(self._limits), batch.lengths.astype(np.int32))
        batch = batch.keep_rows(batch.lengths > self._limits[0])
        if not len(batch):
            return counts
        shapes = shapes_of(batch)
        for number, strategy in enumerate(STRATEGIES[:OLDEST]):
            self._count(counts, number, strategy, batch, shapes)
        self._count_oldest(counts, [dialogues[r] for r in batch.record.tolist()], batch, shapes)
        return counts

    def _count(
        self, counts: LimitCounts, number: int, strategy: str, batch: Batch, shapes: Shapes
    ) -> None:
        """Count what one strategy does to rows, at each limit."""
        for at, limit in enumerate(self._limits):
            rows = np.flatnonzero(shapes.tokens > limit)
            if not len(rows):
                return
            dropped, left, unsure = outcome(shapes.rows(rows), limit, strategy)
            if unsure.any():
                dropped[unsure], left[unsure] = settled(batch, rows[unsure], limit, strategy)
            _add(counts, number, at, shapes.tokens[rows], dropped, left)

    def _count_oldest(
        self, counts: LimitCounts, dialogues: Sequence[Dialogue], batch: Batch, shapes: Shapes
    ) -> None:
        """Count what oldest-turns does; a conversation with one exchange is cut as a prompt is."""
        several = np.array([exchanges(dialogue) > 1 for dialogue in dialogues])
        alone = np.flatnonzero(~several)
        if len(alone):
            self._count(
                counts, OLDEST, "prompt-start", batch.keep_rows(~several), shapes.rows(alone)
            )
        if len(alone) == len(several):
            return
        shortest = self._shortest(dialogues, np.flatnonzero(several))
        for at, limit in enumerate(self._limits):
            rows = np.flatnonzero(several & (shapes.tokens > limit))
            if not len(rows):
                return
            dropped, unsure = np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.bool_)
            unsure[rows] = True  # also those that cannot be rendered without their first exchanges
            of_last, is_long = shortest.rows, shortest.shapes.tokens > limit
            unsure[of_last] = shortest.untrained
            found = outcome(shortest.shapes.rows(is_long), limit, "prompt-start")
            dropped[of_last[is_long]] = found.dropped
            unsure[of_last[is_long]] |= found.unsure
            if doubtful := [row for row in rows.tolist() if unsure[row]]:
                lost = self._lost({row: dialogues[row] for row in doubtful}, limit)
                dropped[doubtful] = [row in lost for row in doubtful]
            lengths = shapes.tokens[rows]
            _add(counts, OLDEST, at, lengths, dropped[rows], lengths)
            counts.uncounted[at] += int(np.count_nonzero(~dropped[rows]))

    def _shortest(self, dialogues: Sequence[Dialogue], rows: Offsets) -> _Shortest:
        """Render and encode the last exchange of each of these conversations."""
        rendered: dict[int, Rendered] = {}
        for row in rows.tolist():
            dialogue = dialogues[row]
            try:
                last = drop_oldest(dialogue, exchanges(dialogue) - 1)
                rendered[row] = self._rendering.render_alone(last)
            except RecordError:
                continue  # then it is settled as a run would do it
        if not rendered:
            none = np.zeros(0, np.int64)
            empty = Batch.of([], [])
            return _Shortest(none, empty, Shapes(*[none] * len(Shapes._fields)), none > 0)
        built = self._builder.build(list(rendered.values()))
        batch = replace(built.batch, facts=None)
        rows = np.array(list(rendered), np.int64)
        return _Shortest(rows, batch, shapes_of(batch), batch.trained() == 0)

    def _lost(self, dialogues: dict[int, Dialogue], limit: int) -> set[int]:
        """Shorten and cut conversations as a run does; return the numbers of those without row."""
        shorter = shorten(
            dialogues,
            self._rendering.render_alone,
            lambda records: self._builder.build(records, measures_only=True).batch.lengths,
            limit,
        )
        lost = set(shorter.refused)
        if shorter.rendered:
            rows = list(shorter.rendered)
            batch = self._builder.build(list(shorter.rendered.values())).batch
            found = truncate(replace(batch, facts=None), limit, "oldest-turns")
            lost |= {rows[number] for number in found.dropped}
        return lost


def _add(
    counts: LimitCounts, number: int, at: int, lengths: Offsets, dropped: Mask, left: Offsets
) -> None:
    """Add what one strategy does at one limit to rows that are longer."""
    counts.cut[number, at] += int(np.count_nonzero(~dropped))
    counts.dropped[number, at] += int(np.count_nonzero(dropped))
    counts.tokens_cut[number, at] += int((lengths - left)[~dropped].sum())
    counts.tokens_dropped[number, at] += int(lengths[dropped].sum())
