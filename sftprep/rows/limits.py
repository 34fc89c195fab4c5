"""Find out what truncation would do to rows at any limit, without cutting them.

In     a ``Batch`` with sections, as truncation gets it; or the shapes of rows.
Out    which rows a strategy drops at a limit, and how many tokens it leaves of the others.
Keeps  the rules of ``truncation``, for all rows at once: a few numbers of each row decide, its
       ``Shapes``. Where they do not decide (an answer with a single trained token), the row is
       marked, and the caller cuts it to see.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.ragged import Mask, Offsets, lengths_to_offsets
from sftprep.rows.truncation import truncate

NONE = np.int64(2**62)
"""Stands for the place of a token that does not exist: it is behind every limit."""


class Shapes(NamedTuple):
    """The numbers that decide what truncation does, one entry a row; each row has a loss.

    Places count from the start of the row, or of its completion, from 0. They are ``NONE`` if there
    is no such token.
    """

    tokens: Offsets  # int64[rows]
    first: Offsets  # int64[rows]: the place of the first token that has a loss
    last: Offsets  # int64[rows]: the place of the last one
    kept: Offsets  # int64[rows]: how many tokens are never cut (``Section.KEPT``)
    completion: Offsets  # int64[rows]: how many tokens the completion has
    answer: Offsets  # int64[rows]: the place of the first trained token of the completion
    answer_second: Offsets  # int64[rows]: the place of its second trained token

    def rows(self, chosen: Mask | Offsets) -> "Shapes":
        """Return the shapes of some of the rows."""
        return Shapes(*(column[chosen] for column in self))


class Outcome(NamedTuple):
    """What a strategy does at one limit to rows that are longer."""

    dropped: Mask  # bool[rows]
    left: Offsets  # int64[rows]: how many tokens stay of a row that is not dropped
    unsure: Mask  # bool[rows]: True if the shapes do not tell; the other columns then mean nothing


def shapes_of(batch: Batch) -> Shapes:
    """Return the shapes of the rows of a batch with sections; each row has a loss."""
    assert batch.section is not None
    starts = batch.offsets[:-1]
    in_completion = batch.section == Section.COMPLETION
    completion = _sums(batch, in_completion)
    with_loss = batch.loss_mask.copy()
    with_loss[starts] = False
    first, _, last = _places(batch, with_loss)
    first_trained, second_trained, _ = _places(batch, batch.loss_mask & in_completion)
    # The completion is the end of the row.
    before = batch.lengths - completion
    return Shapes(
        batch.lengths,
        first,
        last,
        _sums(batch, batch.section == Section.KEPT),
        completion,
        np.where(first_trained == NONE, NONE, first_trained - before),
        np.where(second_trained == NONE, NONE, second_trained - before),
    )


def _sums(batch: Batch, tokens: Mask) -> Offsets:
    sums: Offsets = np.diff(lengths_to_offsets(tokens.astype(np.int64))[batch.offsets])
    return sums


def _places(batch: Batch, tokens: Mask) -> tuple[Offsets, Offsets, Offsets]:
    """Return the places in each row of the first, the second and the last of these tokens."""
    found = np.append(np.flatnonzero(tokens), [0, 0])
    counted = lengths_to_offsets(tokens.astype(np.int64))
    starts = batch.offsets[:-1]
    before, after = counted[starts], counted[batch.offsets[1:]]
    count = after - before
    return (
        np.where(count > 0, found[before] - starts, NONE),
        np.where(count > 1, found[before + 1] - starts, NONE),
        np.where(count > 0, found[after - 1] - starts, NONE),
    )


def outcome(shapes: Shapes, limit: int, strategy: str) -> Outcome:
    """Return what a strategy does to rows that are longer than the limit.

    Args:
        shapes: of rows that are longer.
        limit: the maximum length.
        strategy: one of ``data.limits.STRATEGIES``; with ``oldest-turns``, no exchanges can be left
            out.
    """
    sure = np.zeros(len(shapes.tokens), np.bool_)
    left = np.full(len(shapes.tokens), limit, np.int64)
    if strategy == "drop":
        return Outcome(~sure, left, sure)
    if strategy == "keep-start":
        return Outcome(shapes.first >= limit, left, sure)
    if strategy == "keep-end":
        # The first token that stays has no loss: nothing comes before it.
        return Outcome(shapes.last <= shapes.tokens - limit, left, sure)
    if strategy == "completion-end":
        no_room = shapes.tokens - shapes.completion >= limit
        return Outcome(no_room | (shapes.first >= limit), left, sure)
    too_long = shapes.kept >= limit
    prompt, completion = _shared(shapes, limit, balanced=strategy == "balanced")
    stays = (completion > shapes.answer_second) | ((completion > shapes.answer) & (prompt > 0))
    return Outcome(too_long, prompt + completion, ~(too_long | stays))


def _shared(shapes: Shapes, limit: int, *, balanced: bool) -> tuple[Offsets, Offsets]:
    """Return how many tokens stay of the prompt, with what is always kept, and of the completion.

    These are ``truncation.balanced_lengths`` and ``completion_first``, for all rows at once.
    """
    kept, completion = shapes.kept, shapes.completion
    prompt = shapes.tokens - completion
    if not balanced:
        completion = np.minimum(completion, limit - kept)
        return np.minimum(prompt, limit - completion), completion
    share = (limit * (completion / shapes.tokens)).astype(np.int64)
    most = np.where(
        2 * completion < limit, limit, np.where(2 * prompt < limit, limit - prompt, share)
    )
    completion = np.minimum(most, completion)
    of_prompt = np.minimum(np.maximum(limit - completion, 0), prompt)
    of_prompt = np.maximum(kept, of_prompt)
    return of_prompt, np.minimum(completion, limit - of_prompt)


def settled(batch: Batch, rows: Offsets, limit: int, strategy: str) -> tuple[Mask, Offsets]:
    """Cut rows to see what a strategy does to them.

    Args:
        batch: rows with sections.
        rows: int64, the rows to cut, ascending.
        limit: the maximum length.
        strategy: one of ``data.limits.STRATEGIES``.

    Returns:
        bool[rows], True for a row that is dropped; and int64[rows], the tokens that stay of the
        others.
    """
    chosen = np.zeros(len(batch), np.bool_)
    chosen[rows] = True
    numbered = replace(batch, record=np.arange(len(batch)), facts=None)
    cut = truncate(numbered.keep_rows(chosen), limit, strategy).batch
    left = np.zeros(len(batch), np.int64)
    left[cut.record] = cut.lengths
    return left[rows] == 0, left[rows]
