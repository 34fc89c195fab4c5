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
from sftprep.data.provenance import Reasons
from sftprep.data.ragged import Mask, Offsets
from sftprep.data.result import BlockResult
from sftprep.errors import RecordError
from sftprep.remarks import Remarks, Written
from sftprep.rows.builder import Built, RowBuilder
from sftprep.rows.keys import KeyMaker, TextKeys
from sftprep.rows.layout import SpecialTokens
from sftprep.rows.oldest_turns import shorten
from sftprep.rows.truncation import Truncated, truncate
from sftprep.settings import Settings, stop_ids
from sftprep.steps.examples import Examples
from sftprep.steps.facts import facts_of
from sftprep.steps.limits import LimitMeter
from sftprep.steps.losses import LEAK, dropped, rejected, too_long
from sftprep.steps.rendering import Rendering
from sftprep.tokenization.encoder import Encoder


class Rows(NamedTuple):
    """The rows of a block before they are cut."""

    built: Built
    keys: TextKeys  # of the whole texts, before ``oldest-turns`` removed anything
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
            sections_over=settings.sections_over,
        )
        self._meter: LimitMeter | None = None
        if settings.tried_limits:
            self._meter = LimitMeter(settings.tried_limits, self._builder, rendering)
        self._keys = KeyMaker(renderer.pieces, normalized=settings.normalized_keys)
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
        self._keys.forget()
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
        rows = self._build(examples, result)
        segments = rows.built.segments
        assert segments is not None
        facts = facts_of(block, lines, examples, rows.keys, segments, rows.gone)
        batch = replace(rows.built.batch, facts=facts)
        if rows.refused:
            batch = batch.keep_rows(~np.isin(batch.record, list(rows.refused)))
        cut = truncate(batch, self._settings.max_length, self._settings.truncation)
        self._list_losses(block, lines, examples.places, rows, cut, result)
        reasons = self._count(examples, rows, cut, result)
        if cut.batch.facts is not None and len(cut.batch):
            lines_of_rows = np.array(examples.places, np.int64)[cut.batch.record]
            facts = replace(cut.batch.facts, reasons=reasons.rows)
            result.batch = replace(cut.batch, record=lines_of_rows, facts=facts)

    def _build(self, examples: Examples, result: BlockResult) -> Rows:
        """Build the rows; with ``oldest-turns``, leave out the oldest exchanges of long rows."""
        dialogues, rendered = examples.dialogues, examples.rendered
        built = self._builder.build(rendered)
        keys = self._keys.keys(rendered)  # texts that were encoded are hashed faster
        lengths = built.batch.lengths
        if self._meter is not None:
            whole = built.batch.keep_rows(~np.isin(built.batch.record, list(built.leaks)))
            result.limits = self._meter.count(dialogues, whole)
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
        return Rows(built, keys, lengths, gone, refused, rewritten, omitted, shapes)

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

    def _count(
        self, examples: Examples, rows: Rows, cut: Truncated, result: BlockResult
    ) -> Reasons:
        """Count what a user should know about the rows that are written.

        Returns:
            the rows that are counted, by the names of the counts.
        """
        reasons = Reasons()
        result.counts["truncated"] += cut.truncated
        result.counts["truncated_trained"] += cut.truncated_trained
        _count_tokens(cut.batch, rows, reasons, result.counts)
        written = Written(examples.rendered, rows.shapes, cut.batch.record)
        for string, holders in examples.controls.items():
            holding = written.holding(holders)
            if count := reasons.add(f"control_string:{string}", holding):
                result.controls[string] += count
                reasons.add("control_string", holding)
        if "control_string" in reasons.rows:
            result.counts["control_records"] += int(reasons.rows["control_string"].sum())
        for name, holding in (examples.understood or {}).items():
            reasons.add(name, holding[cut.batch.record])
        self._remarks.count(written, rows.omitted, reasons, result)
        whole = ~cut.lost_trained
        ends = rows.built.answer_ends.take(cut.batch.record[whole])
        self._remarks.count_ends(ends, whole, reasons, result)
        return reasons


def _count_tokens(batch: Batch, rows: Rows, reasons: Reasons, counts: Counter[str]) -> None:
    """Count the tokens of the rows that are written, and the special cases among these rows."""
    if batch.facts is not None and rows.gone:
        gone = batch.facts.exchanges_dropped
        counts["shortened"] += reasons.add("shortened", gone > 0)
        counts["exchanges_dropped"] += int(gone.sum())
    unclean, rewritten = rows.built.unclean[batch.record], rows.rewritten[batch.record]
    counts["unclean_boundaries"] += reasons.add("unclean_boundary", unclean)
    counts["rewritten_histories"] += reasons.add("rewritten_history", rewritten)
    counts["tokens"] += len(batch.input_ids)
    counts["trained_tokens"] += int(np.count_nonzero(batch.loss_mask))
