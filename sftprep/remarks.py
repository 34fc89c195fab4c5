"""Count what a user should know about the rows that are written.

In     the rendered records of a block, and which of them have a row.
Out    counts in a ``BlockResult``: rows that leave out a part of their record, answers that end
       without a stop token, answers that follow their prompt without a space, template text that
       looks like a control token but is none, and empty think blocks that a template writes.
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


class Written(NamedTuple):
    """The rows of a block that are written."""

    rendered: Sequence[Rendered]  # all records of the block
    shapes: Collection[int]  # of all records
    rows: Offsets  # int64[rows]: the indices of the records that have a row

    def of_shape(self, shape: int) -> Sequence[Rendered]:
        """Return the records of a shape that have a row."""
        if len(self.shapes) == 1 and len(self.rows) == len(self.rendered):
            return self.rendered
        records = map(self.rendered.__getitem__, self.rows.tolist())
        return [record for record in records if record.shape == shape]


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
        self, written: Written, omitted: Mapping[int, Iterable[str]], result: BlockResult
    ) -> None:
        """Count the remarks on the rows of a block, without those on what ends their answers.

        Args:
            written: the rows that are written.
            omitted: for records by index, what their rows leave out.
            result: receives the counts.
        """
        if omitted:
            for row in written.rows.tolist():
                result.omitted.update(omitted.get(row, ()))
        for shape in written.shapes:
            names, pairs, blocks = self._shape(shape)
            if names or pairs or blocks.number:
                of_shape = written.of_shape(shape)
                result.lookalikes.update(dict.fromkeys(names, len(of_shape)) if of_shape else ())
                result.counts["empty_think_blocks"] += blocks.number * len(of_shape)
                result.counts["trained_think_blocks"] += blocks.trained * len(of_shape)
                for first, second in pairs:
                    result.counts["glued_answers"] += _glued(of_shape, first, second)

    def count_ends(self, ends: Ragged, result: BlockResult) -> None:
        """Count the trained answers that end with no token that stops the model.

        Args:
            ends: for each row the ids of the tokens that end its answers, -1 if there is none.
            result: receives the counts.
        """
        for token, answers in zip(*np.unique(ends.values, return_counts=True), strict=True):
            if token >= 0 and (self._stops is None or token in self._stops):
                continue
            result.counts["answers_without_stop"] += int(answers)
            if token >= 0:
                result.other_stops[self._token_of[int(token)]] += int(answers)

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


def _glued(records: Sequence[Rendered], first: int, second: int) -> int:
    """Return in how many records two contents meet that are not empty, without white space."""
    # In most data all prompts end with white space, or all answers begin with it.
    ends = "".join([contents[first][-1:] or " " for _, contents in records])
    if ends.isspace():
        return 0
    starts = "".join([contents[second][:1] or " " for _, contents in records])
    if starts.isspace():
        return 0
    return int(np.count_nonzero(_is_visible(ends) & _is_visible(starts)))


def _is_visible(text: str) -> Mask:
    """Return bool[characters]: False for white space."""
    return ~np.isin(np.frombuffer(text.encode("utf-32-le"), np.uint32), SPACES)
