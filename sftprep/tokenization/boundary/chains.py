"""Find the chains whose ids change when they are encoded as one text, and encode them as one.

In     the runs of a block, and their ids as encoded one by one.
Out    ``unclean_chains``: the chains whose whole text gets other ids than its separate runs.
       ``join_chains``: the ids with these chains encoded as one text, for ``--boundary joint``.
Keeps  the number of runs in each chain and their order. A token that lies across a boundary goes to
       the side that is not trained.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, lengths_to_offsets, ragged_index
from sftprep.data.runs import TextRuns
from sftprep.tokenization.boundary.breaks import TokenBreaks


class TextEncoder(Protocol):
    """The methods of ``Encoder`` that are needed here."""

    def encode(self, texts: list[str], continued: Mask | None = None) -> Ragged:
        """Return one row of ids per text."""
        ...

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Return the ids of a text, and int64[tokens, 2]: the characters that each covers."""
        ...


def unclean_chains(
    encoder: TextEncoder, runs: TextRuns, ids: Ragged, breaks: TokenBreaks | None = None
) -> Mask:
    """Return for each chain whether its ids change when it is encoded as one text.

    Args:
        encoder: the encoder that encoded the runs.
        runs: the runs of a block.
        ids: their ids, one row per run.
        breaks: finds the tokenizer's token breaks. Without it, every chain is encoded again. With
            it, a chain whose only boundary is a token break is not encoded again; for any other
            chain, only the text around its boundaries is encoded again.

    Returns:
        bool[chains].
    """
    unclean = np.zeros(len(runs.chains.first), np.bool_)
    numbers = np.flatnonzero(~_clean_for_certain(runs, breaks))
    if not len(numbers):
        return unclean
    firsts, lasts = runs.chains.first[numbers], runs.chains.last[numbers]
    windows = [
        _window(runs.texts[first : last + 1], breaks)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    # A window that starts at a token break continues the text before it.
    start_inside = np.array([window.starts_inside for window in windows], np.bool_)
    continued = runs.continued[firsts] | start_inside
    wholes = encoder.encode([window.text for window in windows], continued)
    # Find where each window starts among the ids of the separate runs. Usually that is at the start
    # of the chain. If the window starts inside the first run, count back from the end of that run
    # by the number of tokens in the window's part of it.
    starts = ids.offsets[firsts]
    if start_inside.any():
        lefts = encoder.encode([window.left for window in windows], continued)
        starts = ids.offsets[firsts + 1] - lefts.lengths
    lengths = ids.offsets[lasts + 1] - starts
    # If a window ends before its chain does, only as many tokens are compared as the window has.
    # Both sides begin with the same text, and equal ids cover the same amount of it.
    end_inside = [window.ends_inside for window in windows]
    lengths = np.where(end_inside, np.minimum(wholes.lengths, lengths), lengths)
    separate = Ragged(ids.values[ragged_index(starts, lengths)], lengths_to_offsets(lengths))
    unclean[numbers] = differing(separate, wholes)
    return unclean


def _clean_for_certain(runs: TextRuns, breaks: TokenBreaks | None) -> Mask:
    """Return for each chain whether it has only one boundary, and this is a token break."""
    first, last = runs.chains
    if breaks is None:
        return np.zeros(len(first), np.bool_)
    befores, afters = (list(map(runs.texts.__getitem__, c.tolist())) for c in (first, last))
    is_pair: Mask = last == first + 1
    return breaks.between(befores, afters) & is_pair


class _Window(NamedTuple):
    """The part of a chain's text that is encoded again."""

    text: str
    left: str  # the part of it that belongs to the first run
    starts_inside: bool  # starts after the start of the chain
    ends_inside: bool  # ends before the end of the chain


def _window(texts: Sequence[str], breaks: TokenBreaks | None) -> _Window:
    """Return a chain's text from the token break before its boundaries to the one after them."""
    first, last = texts[0], texts[-1]
    # If the first run is empty, the tokenizer may add a space in front of the whole text, but not
    # in front of any separate run. Only encoding the whole chain shows that.
    if breaks is None or not first:
        return _Window("".join(texts), first, starts_inside=False, ends_inside=False)
    start, end = breaks.last(first), breaks.first(last)
    text = "".join([first[start:], *texts[1:-1], last[:end]])
    return _Window(text, first[start:], starts_inside=start > 0, ends_inside=end < len(last))


def differing(first: Ragged, second: Ragged) -> Mask:
    """Return which rows differ between two arrays that have the same number of rows.

    >>> differing(Ragged.of([[1], [2, 3], []]), Ragged.of([[1], [2, 4], [5]])).tolist()
    [False, True, True]
    """
    differs: Mask = np.not_equal(first.lengths, second.lengths)
    same = np.flatnonzero(~differs)
    left, right = first.take(same), second.take(same)
    wrong = np.flatnonzero(left.values != right.values)
    differs[same[np.searchsorted(left.offsets, wrong, side="right") - 1]] = True
    return differs


def join_chains(encoder: TextEncoder, runs: TextRuns, ids: Ragged, unclean: Mask) -> Ragged:
    """Return the ids of the runs, with the unclean chains encoded as one text each.

    Args:
        encoder: the encoder that encoded the runs.
        runs: the runs of a block.
        ids: their ids, one row per run.
        unclean: bool[chains], the chains to join.
    """
    lengths = ids.lengths.copy()
    stretches: list[Ids] = []
    position = 0
    firsts, lasts = runs.chains.first[unclean].tolist(), runs.chains.last[unclean].tolist()
    for first, last in zip(firsts, lasts, strict=True):
        stretches.append(ids.values[ids.offsets[position] : ids.offsets[first]])
        position = last + 1
        texts, trained = runs.texts[first:position], runs.trained[first:position]
        whole, spans = encoder.spans("".join(texts), bool(runs.continued[first]))
        stretches.append(whole)
        lengths[first:position] = _shares(texts, trained, spans)
    stretches.append(ids.values[ids.offsets[position] :])
    return Ragged(np.concatenate(stretches), lengths_to_offsets(lengths))


def _shares(texts: Sequence[str], trained: Mask, spans: Offsets) -> Offsets:
    """Return int64[runs]: how many of a chain's tokens belong to each of its runs.

    A token belongs to the run in which it starts. One exception: if that run is trained and the
    token reaches into the next run, which is not trained, it belongs to the next run.
    """
    ends = np.cumsum([len(text) for text in texts])
    last = len(texts) - 1
    owner = np.minimum(np.searchsorted(ends, spans[:, 0], side="right"), last)
    reaches = (spans[:, 1] > ends[owner]) & trained[owner]
    owner = np.maximum.accumulate(np.minimum(owner + reaches, last))
    return np.bincount(owner, minlength=len(texts)).astype(np.int64)
