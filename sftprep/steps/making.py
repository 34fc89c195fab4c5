"""Make the rows of a block from its rendered examples.

In     the examples of a block.
Out    in the block's result: the rows that are written, each example without a row, with the
       reason, and the counts of what a user should know about the rows.
Keeps  the order of the input, in the rows and in the lists of losses.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch, DropReason
from sftprep.data.block import Block
from sftprep.data.ragged import Mask, Offsets
from sftprep.data.result import BlockResult
from sftprep.errors import RecordError
from sftprep.remarks import Remarks, Written
from sftprep.rows.builder import Built, RowBuilder
from sftprep.rows.layout import SpecialTokens
from sftprep.rows.oldest_turns import shorten
from sftprep.rows.truncation import NEEDS_SECTIONS, Truncated, truncate
from sftprep.settings import Settings, stop_ids
from sftprep.steps.examples import Examples
from sftprep.steps.losses import LEAK, dropped, rejected, too_long
from sftprep.steps.rendering import Rendering
from sftprep.tokenization.encoder import Encoder


class Rows(NamedTuple):
    """The rows of a block before they are cut."""

    built: Built
    lengths: Offsets  # int64[rows]: in tokens, before ``oldest-turns`` removed anything
    gone: dict[int, int]  # row -> how many of its exchanges ``oldest-turns`` removed
    refused: dict[int, RecordError]  # rows that must not be written
    rewritten: Mask  # bool[rows]: at inference, the model would see another text before an answer
    omitted: Mapping[int, frozenset[str]]  # row -> what it leaves out of its record
    shapes: set[int]  # of all records


class RowMaker:
    """Makes the rows of one pipeline.

    Args:
        settings: the settings of the pipeline.
        rendering: has rendered the examples.
        encoder: encodes their texts.
    """

    def __init__(self, settings: Settings, rendering: Rendering, encoder: Encoder) -> None:
        renderer, controls = rendering.renderer, settings.tokenizer.controls
        self._settings = settings
        self._rendering = rendering
        self._builder = RowBuilder(
            encoder,
            renderer.pieces,
            controls,
            answers=renderer.answers,
            special=SpecialTokens(settings.stops, settings.tokenizer.special.get("bos", "")),
            allowed=settings.allowed,
            joint=settings.boundary == "joint",
            sections_over=settings.max_length if settings.truncation in NEEDS_SECTIONS else None,
        )
        self._remarks = Remarks(
            renderer,
            controls,
            stops=stop_ids(settings),
            plain_text=settings.plain_text,
            finds_glue=not settings.untrusted,
        )

    def forget(self) -> None:
        """Forget all shapes: from now on, the renderer's shape numbers mean other shapes."""
        self._builder.forget()
        self._remarks.forget()

    def make(
        self, block: Block, lines: Sequence[bytes], examples: Examples, result: BlockResult
    ) -> None:
        """Make the rows of a block, and note in its result what has become of the examples.

        Args:
            block: the block.
            lines: the lines of the block.
            examples: its examples; at least one.
            result: receives the rows, the losses and the counts.
        """
        rows = self._build(examples)
        batch = rows.built.batch
        if rows.refused:
            batch = batch.keep_rows(~np.isin(batch.record, list(rows.refused)))
        cut = truncate(batch, self._settings.max_length, self._settings.truncation)
        self._list_losses(block, lines, examples.places, rows, cut, result)
        self._count(examples, rows, cut, result)
        if len(cut.batch):
            lines_of_rows = np.array(examples.places, np.int64)[cut.batch.record]
            result.batch = replace(cut.batch, record=lines_of_rows)

    def _build(self, examples: Examples) -> Rows:
        """Build the rows; with ``oldest-turns``, leave out the oldest exchanges of long rows."""
        dialogues, rendered = examples.dialogues, examples.rendered
        built = self._builder.build(rendered)
        lengths = built.batch.lengths
        gone: dict[int, int] = {}
        refused: dict[int, RecordError] = {}
        if self._settings.truncation == "oldest-turns":
            limit = self._settings.max_length
            long = np.flatnonzero(lengths > limit).tolist()
            shorter, gone, refused = shorten(
                {index: dialogues[index] for index in long},
                self._rendering.render_alone,
                lambda records: self._builder.build(records, measures_only=True).batch.lengths,
                limit,
            )
            for index, record in shorter.items():
                rendered[index] = record
            built = self._builder.build(rendered) if gone else built
        shapes = {record.shape for record in rendered}
        rewriting = set(filter(self._rendering.renderer.rewrites, shapes))
        rewritten = np.zeros(len(rendered), np.bool_)
        if rewriting:
            rewritten[:] = [r.shape in rewriting for r in rendered]
        refused |= dict.fromkeys(built.leaks, LEAK)
        omitted = examples.omitted
        if omitted is None or gone:
            omitted = self._rendering.omitted(dialogues, rendered)
        return Rows(built, lengths, gone, refused, rewritten, omitted, shapes)

    def _list_losses(
        self,
        block: Block,
        lines: Sequence[bytes],
        places: Sequence[int],
        rows: Rows,
        cut: Truncated,
        result: BlockResult,
    ) -> None:
        """List each record that has no row, beside those that have no example."""
        lengths = rows.lengths
        for row, why in sorted(self._losses(rows, cut).items()):
            place = places[row]
            if isinstance(why, str):
                lost = dropped(block, place, lines[place], why)
                result.dropped.append(lost._replace(tokens=int(lengths[row])))
            else:
                lost = rejected(block, place, lines[place], why)
                result.rejected.append(lost._replace(tokens=int(lengths[row])))
        for listed in (result.rejected, result.dropped):
            listed.sort(key=lambda one: one.line if one.offset is None else one.offset)

    def _losses(self, rows: Rows, cut: Truncated) -> dict[int, RecordError | str]:
        """Return why rows are not written, by their number: the error, or why they are dropped."""
        settings = self._settings
        lost: dict[int, RecordError | str] = dict(rows.refused)
        for row, reason in cut.dropped.items():
            lost[row] = reason.value
            if reason is DropReason.TOO_LONG and settings.truncation == "error":
                lost[row] = too_long(int(rows.lengths[row]), settings.max_length)
            elif reason is DropReason.NOTHING_TO_TRAIN and row in rows.gone:
                # The trained tokens were in the oldest exchanges, which were removed.
                lost[row] = DropReason.CUT_TO_NOTHING.value
        return lost

    def _count(self, examples: Examples, rows: Rows, cut: Truncated, result: BlockResult) -> None:
        """Count what a user should know about the rows that are written."""
        result.counts["truncated"] += cut.truncated
        result.counts["truncated_trained"] += cut.truncated_trained
        _count_tokens(cut.batch, rows, result.counts)
        written = Written(examples.rendered, rows.shapes, cut.batch.record)
        self._remarks.count(written, rows.omitted, result)
        whole = cut.batch.record[~cut.lost_trained]
        self._remarks.count_ends(rows.built.answer_ends.take(whole), result)


def _count_tokens(batch: Batch, rows: Rows, counts: Counter[str]) -> None:
    """Count the tokens of the rows that are written, and the special cases among these rows."""
    if rows.gone:
        gone = [count for row in batch.record.tolist() if (count := rows.gone.get(row))]
        counts["shortened"] += len(gone)
        counts["exchanges_dropped"] += sum(gone)
    counts["unclean_boundaries"] += int(rows.built.unclean[batch.record].sum())
    counts["rewritten_histories"] += int(rows.rewritten[batch.record].sum())
    counts["tokens"] += len(batch.input_ids)
    counts["trained_tokens"] += int(np.count_nonzero(batch.loss_mask))
