"""Cut or drop rows that are longer than ``max_length``.

In     a ``Batch`` with rows of any length; ``Batch.section`` says which tokens may be cut.
Out    a ``Batch`` with rows of at most ``max_length`` tokens, and the reason for each dropped row;
       in the facts of the rows, what the cut has removed.
Keeps  ids and loss mask together: a strategy decides which tokens stay, and one step selects both.
Never  replaces the last kept token with EOS: the model must not learn to end an answer where it was
       cut. Never leaves a row without a trained token: such a row is dropped.

Strategies (N is ``max_length``):
    error             the row is dropped, and the caller reports the record as invalid
    drop              the row is dropped
    keep-start        the first N tokens stay
    keep-end          the last N tokens stay
    completion-end    the prompt stays whole, and the completion is cut at its end; a row whose
                      prompt leaves no room for the completion is dropped
    prompt-start      the prompt is cut at its start, after its kept section; the completion is cut
                      at its end only if it does not fit next to the kept section
    balanced          prompt and completion share N as in LLaMA-Factory's ``infer_seqlen``; the
                      prompt is cut at its start, the completion at its end
    oldest-turns      ``oldest_turns`` has already dropped whole exchanges; the rest is cut as with
                      prompt-start

The completion starts with the last trained turn; the prompt is everything before it. The *kept
section* of the prompt is never cut: the BOS, the system turn with its terminator and, in a single
exchange with role tokens, the template's own text.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sftprep.data.batch import Batch, DropReason
from sftprep.data.pieces import Section
from sftprep.data.provenance import CutAt, RowFacts
from sftprep.data.ragged import Mask, Offsets, lengths_to_offsets, ragged_index

NEEDS_SECTIONS = frozenset({"prompt-start", "completion-end", "balanced", "oldest-turns"})
"""The strategies that need ``Batch.section``."""


@dataclass(frozen=True)
class Truncated:
    """The result of truncation."""

    batch: Batch
    dropped: dict[int, DropReason]  # number of the record -> why it has no row
    truncated: int  # the number of rows in ``batch`` that were cut
    lost_trained: Mask  # bool[rows of ``batch``]: True if the row was cut and lost trained tokens

    @property
    def truncated_trained(self) -> int:
        """The number of rows in ``batch`` that lost trained tokens."""
        return int(self.lost_trained.sum())


def truncate(batch: Batch, max_length: int, strategy: str) -> Truncated:
    """Cut or drop the rows longer than ``max_length``; drop the rows without a trained token.

    Args:
        batch: the rows; it must have sections if the strategy is in ``NEEDS_SECTIONS``.
        max_length: the maximum number of tokens in a row.
        strategy: one of ``choices.TRUNCATIONS``.
    """
    dropped: dict[int, DropReason] = {}

    def drop(rows: Mask, reason: DropReason) -> None:
        dropped.update(dict.fromkeys(batch.record[rows].tolist(), reason))

    untrained = batch.trained() == 0
    drop(untrained, DropReason.NOTHING_TO_TRAIN)
    batch = batch.keep_rows(~untrained)
    long = batch.lengths > max_length
    if not long.any():
        return Truncated(batch, dropped, 0, np.zeros(len(batch), np.bool_))
    if strategy in ("drop", "error"):
        drop(long, DropReason.TOO_LONG)
        batch = batch.keep_rows(~long)
        return Truncated(batch, dropped, 0, np.zeros(len(batch), np.bool_))
    if strategy == "completion-end":
        assert batch.section is not None
        no_room = long & (_count(batch, batch.section != Section.COMPLETION) >= max_length)
        drop(no_room, DropReason.CUT_TO_NOTHING)
        batch, long = batch.keep_rows(~no_room), long[~no_room]
    keep = _kept_tokens(batch, long, max_length, strategy)
    cut_trained = _count(batch, ~keep & batch.loss_mask)
    lost_trained = cut_trained > 0
    facts = None if batch.facts is None else _with_cuts(batch.facts, batch, keep, cut_trained)
    batch = replace(batch, facts=facts).keep_tokens(keep)
    still_long = batch.lengths > max_length
    untrained = ~still_long & (batch.trained() == 0)
    drop(still_long, DropReason.TOO_LONG)
    drop(untrained, DropReason.CUT_TO_NOTHING)
    stays = ~(still_long | untrained)
    return Truncated(
        batch.keep_rows(stays),
        dropped,
        truncated=int((long & stays).sum()),
        lost_trained=lost_trained[stays],
    )


def _with_cuts(facts: RowFacts, batch: Batch, keep: Mask, cut_trained: Offsets) -> RowFacts:
    """Return the facts of rows with what a cut removes from them.

    Args:
        facts: the facts.
        batch: the rows, before they are cut.
        keep: bool[tokens], the tokens that stay.
        cut_trained: int64[rows], how many trained tokens are removed.
    """
    kept = lengths_to_offsets(keep.astype(np.int64))
    starts, ends = batch.offsets[:-1], batch.offsets[1:]
    removed = ends - starts - np.diff(kept[batch.offsets])
    places = np.append(np.flatnonzero(keep), len(keep))
    # The first and the last token that stay; of rows without any, the results do not matter.
    first = np.minimum(places[kept[starts]], ends)
    last = places[kept[ends] - 1]
    at_start, at_end = first - starts, np.maximum(ends - 1 - last, 0)
    in_middle = removed - at_start - at_end
    cut_at = (
        CutAt.START * (at_start > 0) + CutAt.MIDDLE * (in_middle > 0) + CutAt.END * (at_end > 0)
    )
    return replace(
        facts,
        cut_tokens=removed.astype(np.int32),
        cut_trained=cut_trained.astype(np.int32),
        cut_at=cut_at.astype(np.uint8),
    )


def _count(batch: Batch, tokens: Mask) -> Offsets:
    """Return int64[rows]: how many of each row's tokens are in ``tokens``, bool[tokens]."""
    counts: Offsets = np.diff(lengths_to_offsets(tokens.astype(np.int64))[batch.offsets])
    return counts


def _kept_tokens(batch: Batch, long: Mask, max_length: int, strategy: str) -> Mask:
    """Return bool[tokens]: True for the tokens that stay. Rows that fit keep all their tokens."""
    keep = np.ones(len(batch.input_ids), np.bool_)
    starts, lengths = batch.offsets[:-1][long], batch.lengths[long]
    if strategy == "keep-end":
        keep[ragged_index(starts, lengths - max_length)] = False
    elif strategy in ("keep-start", "completion-end"):
        keep[ragged_index(starts + max_length, lengths - max_length)] = False
    else:
        share = balanced_lengths if strategy == "balanced" else _completion_first
        _cut_sections(batch, np.flatnonzero(long), max_length, share, keep)
    return keep


Share = Callable[[int, int, int, int], tuple[int, int]]
"""Decides how much of a row stays.

Args: the number of tokens in the kept section, in the rest of the prompt and in the completion; and
``max_length``.

Returns: how many tokens stay of the prompt (with its kept section), and of the completion."""


def _completion_first(kept: int, prompt: int, completion: int, max_length: int) -> tuple[int, int]:
    """Keep as much of the completion as fits, and then as much of the prompt as still fits."""
    completion = min(completion, max_length - kept)
    return min(kept + prompt, max_length - completion), completion


def balanced_lengths(kept: int, prompt: int, completion: int, max_length: int) -> tuple[int, int]:
    """Share ``max_length`` as LLaMA-Factory's ``infer_seqlen`` does; never cut the kept section.

    If the prompt or the completion is shorter than half of ``max_length``, it stays whole, and the
    other gets the rest. If neither is, both are cut in proportion to their lengths.

    >>> balanced_lengths(0, 100, 10, 50), balanced_lengths(0, 10, 100, 50)
    ((40, 10), (10, 40))
    >>> balanced_lengths(0, 60, 60, 50), balanced_lengths(0, 30, 30, 100)
    ((25, 25), (30, 30))
    """
    whole_prompt = kept + prompt
    if 2 * completion < max_length:
        limit = max_length
    elif 2 * whole_prompt < max_length:
        limit = max_length - whole_prompt
    else:
        limit = int(max_length * (completion / (whole_prompt + completion)))
    kept_completion = min(limit, completion)
    kept_prompt = max(kept, min(max(max_length - kept_completion, 0), whole_prompt))
    return kept_prompt, min(kept_completion, max_length - kept_prompt)


def _cut_sections(batch: Batch, rows: Offsets, max_length: int, share: Share, keep: Mask) -> None:
    """Set ``keep`` to False for the start of each row's prompt and the end of its completion."""
    assert batch.section is not None
    for row in rows.tolist():
        start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
        section = batch.section[start:end]
        prompt = start + np.flatnonzero(section == Section.PROMPT)
        completion = start + np.flatnonzero(section == Section.COMPLETION)
        kept = end - start - len(prompt) - len(completion)
        if kept >= max_length:
            continue  # the row stays too long, and ``truncate`` drops it
        kept_prompt, kept_completion = share(kept, len(prompt), len(completion), max_length)
        keep[prompt[: len(prompt) - (kept_prompt - kept)]] = False
        keep[completion[kept_completion:]] = False
