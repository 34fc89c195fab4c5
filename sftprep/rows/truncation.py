"""Cut rows that are longer than the model can read.

In     a ``Batch`` with rows of any length; ``Batch.section`` says what each token is.
Out    a ``Batch`` with rows of at most ``max_length`` tokens, and why other rows were dropped.
Keeps  ids and loss mask in step: a strategy decides which tokens stay, and one cut takes both.
Never  turns the last kept token into EOS: an answer that was cut has no end, and the model must not
       be taught one. Never leaves a row without a trained token.

Strategies (N is ``max_length``):
    error             the record is in error (the caller says so)
    drop              the row is dropped
    keep-start        the first N tokens stay
    keep-end          the last N tokens stay
    completion-end    the prompt stays whole, the completion's end is cut
    prompt-start      the prompt's start is cut, behind its kept part; only when the completion does
                      not fit beside that is its end cut too
    balanced          prompt and completion share N by LLaMA-Factory's ``infer_seqlen``; the prompt
                      is cut at its start, the completion at its end
    oldest-turns      whole exchanges went before (``drop_oldest``); then as prompt-start

The completion is what begins with the last trained turn; the prompt is all before it. Its kept part
is the BOS, the system turn and, in a single exchange with role tokens, the template's own text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sftprep.data.batch import Batch, DropReason
from sftprep.data.conversation import Dialogue
from sftprep.data.pieces import Section
from sftprep.data.ragged import Mask, Offsets, ragged_index

D = TypeVar("D", bound=Dialogue)

NEEDS_SECTIONS = frozenset({"prompt-start", "balanced", "oldest-turns"})


@dataclass(frozen=True)
class Cut:
    """What truncation did."""

    batch: Batch
    dropped: dict[int, DropReason]  # record -> why its row is gone
    truncated: int  # rows that are written shorter than they were


def truncate(batch: Batch, max_length: int, strategy: str) -> Cut:
    """Cut or drop the rows over ``max_length``; drop the rows without a trained token."""
    dropped: dict[int, DropReason] = {}

    def drop(rows: Mask, reason: DropReason) -> None:
        dropped.update(dict.fromkeys(batch.record[rows].tolist(), reason))

    empty = batch.trained() == 0
    drop(empty, DropReason.NOTHING_TO_TRAIN)
    batch = batch.keep_rows(~empty)
    long = batch.lengths > max_length
    if not long.any():
        return Cut(batch, dropped, 0)
    if strategy in ("drop", "error"):
        drop(long, DropReason.TOO_LONG)
        return Cut(batch.keep_rows(~long), dropped, 0)
    was_long = long
    batch = batch.keep_tokens(_kept_tokens(batch, long, max_length, strategy))
    too_long = batch.lengths > max_length
    empty = ~too_long & (batch.trained() == 0)
    drop(too_long, DropReason.TOO_LONG)
    drop(empty, DropReason.CUT_TO_NOTHING)
    gone = too_long | empty
    return Cut(batch.keep_rows(~gone), dropped, int((was_long & ~gone).sum()))


def _kept_tokens(batch: Batch, long: Mask, max_length: int, strategy: str) -> Mask:
    """Which tokens of the batch stay; rows that are not too long stay whole."""
    keep = np.ones(len(batch.input_ids), np.bool_)
    starts, lengths = batch.offsets[:-1][long], batch.lengths[long]
    if strategy == "keep-end":
        keep[ragged_index(starts, lengths - max_length)] = False
    elif strategy in ("keep-start", "completion-end"):
        keep[ragged_index(starts + max_length, lengths - max_length)] = False
    else:
        budget = balanced_lengths if strategy == "balanced" else _completion_first
        _cut_parts(batch, np.flatnonzero(long), max_length, budget, keep)
    return keep


Budget = Callable[[int, int, int, int], tuple[int, int]]


def _completion_first(kept: int, prompt: int, completion: int, max_length: int) -> tuple[int, int]:
    """How many tokens of prompt (kept part included) and completion stay: completion first."""
    completion = min(completion, max_length - kept)
    return min(kept + prompt, max_length - completion), completion


def balanced_lengths(kept: int, prompt: int, completion: int, max_length: int) -> tuple[int, int]:
    """LLaMA-Factory's ``infer_seqlen``, but that the kept part of the prompt is never cut into.

    Whichever side is shorter than half the limit stays whole; otherwise they are cut in proportion.

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


def _cut_parts(batch: Batch, rows: Offsets, max_length: int, budget: Budget, keep: Mask) -> None:
    """Cut the prompt of each row at its start and its completion at its end, in ``keep``."""
    assert batch.section is not None
    for row in rows.tolist():
        start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
        part = batch.section[start:end]
        prompt = start + np.flatnonzero(part == Section.PROMPT)
        completion = start + np.flatnonzero(part == Section.COMPLETION)
        kept = end - start - len(prompt) - len(completion)
        if kept >= max_length:
            continue  # stays too long, and is dropped as such
        source, target = budget(kept, len(prompt), len(completion), max_length)
        keep[prompt[: len(prompt) - (source - kept)]] = False
        keep[completion[target:]] = False


def exchanges(dialogue: Dialogue) -> int:
    """How many user turns a conversation has."""
    return dialogue.roles.count("user")


def drop_oldest(dialogue: D, count: int) -> D:
    """The conversation without its ``count`` oldest exchanges; turns before the first one stay.

    An exchange is a user turn and all turns after it, up to the next user turn.
    """
    users = [index for index, role in enumerate(dialogue.roles) if role == "user"]
    return dialogue.without(slice(users[0], users[count]))
