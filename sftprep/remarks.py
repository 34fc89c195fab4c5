"""Count what a user should know about the rows that are written.

In     the rendered records of a block, and which of them have a row.
Out    counts in a ``BlockResult``, and the rows that are counted: those that leave out a part of
       their record, those with answers that end without a stop token or that follow their prompt
       without a space, those with template text that looks like a control token but is none, and
       those with empty think blocks that a template writes.
Never  changes a row, and never looks at a record that has no row.

Whatever depends on the shape of a record only is found out once per shape.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.pieces import (
    LITERAL,
    Rendered,
    Renderer,
    ThinkBlocks,
    empty_think_blocks,
    touching,
)
from sftprep.data.provenance import Reasons
from sftprep.data.ragged import Mask, Offsets, Ragged
from sftprep.data.result import BlockResult
from sftprep.templates.lookalikes import lookalikes

SPACES = np.array([c for c in range(0x3001) if chr(c).isspace()], np.uint32)
"""The code points that ``str.isspace`` accepts."""


class _Shape(NamedTuple):
    """What all records of a shape have in common."""

    lookalikes: tuple[str, ...]
    touching: tuple[tuple[int, int], ...]
    think_blocks: ThinkBlocks


NO_REMARKS = _Shape((), (), ThinkBlocks(0, 0))


class Written(NamedTuple):
    """The rows of a block that are written."""

    rendered: Sequence[Rendered]  # all records of the block
    shapes: Collection[int]  # of all records
    rows: Offsets  # int64[rows]: the indices of the records that have a row

    def by_shape(self) -> Offsets:
        """Return int64[rows]: the shape of each row."""
        return np.array([record.shape for record in self.rendered], np.int64)[self.rows]

    def holding(self, records: Collection[int]) -> Mask:
        """Return bool[rows]: True if the index of the row's record is among these."""
        return np.isin(self.rows, list(records))


class Remarks:
    """Counts for one pipeline.

    Args:
        renderer: it has rendered the records.
        controls: the tokenizer's control tokens, by text.
        stops: the ids of the tokens that stop the model; None if any control token may be one.
        plain_text: lookalikes of control tokens that are meant as plain text.
        finds_glue: whether to look for answers that follow their prompt without a space.
    """

    def __init__(
        self,
        renderer: Renderer,
        controls: Mapping[str, AddedToken],
        *,
        stops: frozenset[int] | None,
        plain_text: Collection[str],
        finds_glue: bool,
    ) -> None:
        self._renderer = renderer
        self._controls = ControlTokens(list(controls.values()))
        self._token_of = {token.id: token.content for token in controls.values()}
        self._stops = stops
        self._plain_text = plain_text
        self._finds_glue = finds_glue
        self._shapes: dict[int, _Shape] = {}

    def forget(self) -> None:
        """Forget all shapes: from now on, the renderer's shape numbers mean other shapes."""
        self._shapes.clear()

    def count(
        self,
        written: Written,
        omitted: Mapping[int, Iterable[str]],
        reasons: Reasons,
        result: BlockResult,
    ) -> None:
        """Count the remarks on the rows of a block, without those on what ends their answers.

        Args:
            written: the rows that are written.
            omitted: for records by index, what their rows leave out.
            reasons: receives the rows that are counted.
            result: receives the counts.
        """
        for name in sorted({name for names in omitted.values() for name in names}):
            rows = written.holding([row for row, names in omitted.items() if name in names])
            if count := reasons.add(f"omitted:{name}", rows):
                result.omitted[name] += count
        noted = {shape: self._shape(shape) for shape in written.shapes}
        noted = {shape: remarks for shape, remarks in noted.items() if remarks != NO_REMARKS}
        if not noted:
            return
        shapes = written.by_shape()
        for shape, remarks in noted.items():
            own: Mask = np.equal(shapes, shape)
            self._count_shape(written, own, remarks, reasons, result)

    def _count_shape(
        self, written: Written, own: Mask, remarks: "_Shape", reasons: Reasons, result: BlockResult
    ) -> None:
        """Count the remarks on the rows of a shape.

        Args:
            written: the rows that are written.
            own: bool[rows], which of them have this shape.
            remarks: what is known of the shape.
            reasons: receives the rows that are counted.
            result: receives the counts.
        """
        rows = int(np.count_nonzero(own))
        if not rows:
            return
        names, pairs, blocks = remarks
        for name in names:
            result.lookalikes[name] += reasons.add(f"token_as_text:{name}", own)
        if blocks.number:
            result.counts["empty_think_blocks"] += blocks.number * rows
            reasons.add("empty_think_block", own)
        if blocks.trained:
            result.counts["trained_think_blocks"] += blocks.trained * rows
            reasons.add("trained_think_block", own)
        records = [written.rendered[row] for row in written.rows[own].tolist()] if pairs else []
        for first, second in pairs:
            glued = np.zeros(len(own), np.bool_)
            glued[own] = _glued(records, first, second)
            result.counts["glued_answers"] += reasons.add("glued_answer", glued)

    def count_ends(self, ends: Ragged, rows: Mask, reasons: Reasons, result: BlockResult) -> None:
        """Count the trained answers that end with no token that stops the model.

        Args:
            ends: for some rows the ids of the tokens that end their answers, -1 if there is none.
            rows: bool[rows], which of all rows these are.
            reasons: receives the rows that are counted.
            result: receives the counts.
        """
        owners = np.repeat(np.flatnonzero(rows), ends.lengths)
        for token, answers in zip(*np.unique(ends.values, return_counts=True), strict=True):
            if token >= 0 and (self._stops is None or token in self._stops):
                continue
            counted = np.zeros(len(rows), np.bool_)
            counted[owners[ends.values == token]] = True
            reasons.add("answer_without_stop", counted)
            result.counts["answers_without_stop"] += int(answers)
            if token >= 0:
                text = self._token_of[int(token)]
                reasons.add(f"other_stop:{text}", counted)
                result.other_stops[text] += int(answers)

    def _shape(self, shape: int) -> _Shape:
        if shape not in self._shapes:
            pieces = self._renderer.pieces(shape)
            # No lookalike goes on over a line break, so it can stand for the contents.
            text = "".join([piece.text if piece.slot == LITERAL else "\n" for piece in pieces])
            found = lookalikes([text], self._controls)
            self._shapes[shape] = _Shape(
                tuple(x for x in found if x not in self._plain_text),
                tuple(touching(pieces)) if self._finds_glue else (),
                empty_think_blocks(pieces),
            )
        return self._shapes[shape]


def _glued(records: Sequence[Rendered], first: int, second: int) -> Mask:
    """Return in which records two contents meet that are not empty, without white space."""
    # In most data all prompts end with white space, or all answers begin with it.
    ends = "".join([contents[first][-1:] or " " for _, contents in records])
    if ends.isspace():
        return np.zeros(len(records), np.bool_)
    starts = "".join([contents[second][:1] or " " for _, contents in records])
    if starts.isspace():
        return np.zeros(len(records), np.bool_)
    return _is_visible(ends) & _is_visible(starts)


def _is_visible(text: str) -> Mask:
    """Return bool[characters]: False for white space."""
    return ~np.isin(np.frombuffer(text.encode("utf-32-le"), np.uint32), SPACES)
