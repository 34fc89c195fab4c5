"""Cut rows that are longer than the model can read.

In     a ``Batch`` with rows of any length; ``Batch.section`` says what each token is.
Out    a ``Batch`` with rows of at most ``max_length`` tokens, and why other rows were dropped.
Keeps  ids and loss mask together: a strategy decides which tokens stay, and one step takes both.
Never  turns the last kept token into EOS: an answer that was cut has no end, and the model must not
       learn one. Never leaves a row without a trained token: such a row is dropped.

Strategies (N is ``max_length``):
    error             the record is invalid; the caller says so
    drop              the row is dropped
    keep-start        the first N tokens stay
    keep-end          the last N tokens stay
    completion-end    the prompt stays whole, and the completion is cut at its end; a row whose
                      prompt leaves no room for the completion is dropped
    prompt-start      the prompt is cut at its start, after its kept section; the completion is cut
                      at its end only if it does not fit next to the kept section
    balanced          prompt and completion share N by LLaMA-Factory's ``infer_seqlen``; the prompt
                      is cut at its start, the completion at its end
    oldest-turns      whole exchanges were dropped before (``oldest_turns``); then as prompt-start

The completion starts with the last trained turn; the prompt is everything before it. The kept
section of the prompt is the BOS, the system turn (with its terminator) and, in a single exchange
with role tokens, the template's own text.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sftprep.data.batch import Batch, DropReason
from sftprep.data.pieces import Section
from sftprep.data.ragged import Mask, Offsets, lengths_to_offsets, ragged_index

NEEDS_SECTIONS = frozenset({"prompt-start", "completion-end", "balanced", "oldest-turns"})
"""The strategies that need ``Batch.section``."""


@dataclass(frozen=True)
class Truncated:
    """The result of truncation."""

    batch: Batch
    dropped: dict[int, DropReason]  # record -> why it has no row
    truncated: int  # the number of rows in ``batch`` that were cut
    truncated_trained: int = 0  # how many of these lost trained tokens


def truncate(batch: Batch, max_length: int, strategy: str) -> Truncated:
    """Cut or drop the rows over ``max_length``, and drop the rows without a trained token.

    Args:
        batch: the rows; with sections, if the strategy is in ``NEEDS_SECTIONS``.
        max_length: the most tokens that a row may have.
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
        return Truncated(batch, dropped, 0)
    if strategy in ("drop", "error"):
        drop(long, DropReason.TOO_LONG)
        return Truncated(batch.keep_rows(~long), dropped, 0)
    if strategy == "completion-end":
        assert batch.section is not None
        no_room = long & (_count(batch, batch.section != Section.COMPLETION) >= max_length)
        drop(no_room, DropReason.CUT_TO_NOTHING)
        batch, long = batch.keep_rows(~no_room), long[~no_room]
    keep = _kept_tokens(batch, long, max_length, strategy)
    lost_trained = _count(batch, ~keep & batch.loss_mask) > 0
    batch = batch.keep_tokens(keep)
    still_long = batch.lengths > max_length
    untrained = ~still_long & (batch.trained() == 0)
    drop(still_long, DropReason.TOO_LONG)
    drop(untrained, DropReason.CUT_TO_NOTHING)
    stays = ~(still_long | untrained)
    return Truncated(
        batch.keep_rows(stays),
        dropped,
        truncated=int((long & stays).sum()),
        truncated_trained=int((lost_trained & stays).sum()),
    )


def _count(batch: Batch, tokens: Mask) -> Offsets:
    """Return int64[rows]: how many of each row's tokens are in ``tokens``, bool[tokens]."""
    counts: Offsets = np.diff(lengths_to_offsets(tokens.astype(np.int64))[batch.offsets])
    return counts


def _kept_tokens(batch: Batch, long: Mask, max_length: int, strategy: str) -> Mask:
    """Return bool[tokens]: which tokens stay. Rows that are not too long keep all of theirs."""
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
"""Tokens in the kept section, the rest of the prompt and the completion, and ``max_length`` ->
tokens that stay of the prompt (its kept section included) and of the completion."""


def _completion_first(kept: int, prompt: int, completion: int, max_length: int) -> tuple[int, int]:
    """Keep as much of the completion as fits, then as much of the prompt."""
    completion = min(completion, max_length - kept)
    return min(kept + prompt, max_length - completion), completion


def balanced_lengths(kept: int, prompt: int, completion: int, max_length: int) -> tuple[int, int]:
    """Share ``max_length`` as LLaMA-Factory's ``infer_seqlen`` does, with the kept section whole.

    The side that is shorter than half of ``max_length`` stays whole. If neither is, both are cut in
    proportion.

    >>> balanced_lengths(0, 100, 10, 50), balanced_lengths(0, 10, 100, 50)
    ((40, 10), (10, 40))
    >>> balanced_lengths(0, 60, 60, 50), balanced_lengths(0, 30, 30, 100)
    ((25, 25), (30, 30))
    """
    source = kept + prompt
    if 2 * completion < max_length:
        most = max_length
    elif 2 * source < max_length:
        most = max_length - source
    else:
        most = int(max_length * (completion / (source + completion)))
    target = min(most, completion)
    source = min(max(max_length - target, 0), source)
    return max(source, kept), min(target, max_length - max(source, kept))


def _cut_sections(batch: Batch, rows: Offsets, max_length: int, share: Share, keep: Mask) -> None:
    """Clear in ``keep`` the start of each row's prompt and the end of its completion."""
    assert batch.section is not None
    for row in rows.tolist():
        start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
        section = batch.section[start:end]
        prompt = start + np.flatnonzero(section == Section.PROMPT)
        completion = start + np.flatnonzero(section == Section.COMPLETION)
        kept = end - start - len(prompt) - len(completion)
        if kept >= max_length:
            continue  # the row stays too long, and ``truncate`` drops it
        source, target = share(kept, len(prompt), len(completion), max_length)
        keep[prompt[: len(prompt) - (source - kept)]] = False
        keep[completion[target:]] = False
