"""Where the loss turns on or off within a text: is that boundary clean, and what if not.

In     the runs of a block, their ids as encoded apart, and the chains of runs that are one text.
Out    ``unclean_chains``: the chains that would have other ids if they were encoded whole.
       ``join``: the ids with just those chains encoded whole instead, for ``--boundary joint``.
Keeps  rows and order: a chain keeps as many runs as it had; a token that lies across a boundary
       goes to the side that is not trained.

A *cut* is something else: a place where it is known that encoding apart makes no difference.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, ends_to_offsets, ragged_index
from sftprep.data.runs import Chain, Chains
from sftprep.tokenization.boundary.breaks import Cuts


class Encodes(Protocol):
    """The part of ``Encoder`` that is needed here."""

    cuts: Cuts | None  # finds places where text is always cut, if any are known

    def encode(self, texts: list[str], continued: Mask | None = None) -> Ragged:
        """A row of ids for each text."""
        ...

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Ids of one text, and int64[tokens, 2]: the characters each token covers."""
        ...


def unclean_chains(
    encoder: Encodes, texts: Sequence[str], continued: Mask, runs: Ragged, chains: Chains
) -> Mask:
    """For each chain, whether its text has other ids when it is encoded whole.

    Where it is known where text is always cut, only what lies around a boundary is encoded again,
    and nothing where the boundary is such a place.

    Args:
        encoder: that encoded the runs.
        texts: of all runs.
        continued: which of them continue another: in a chain, all but the first.
        runs: their ids.
        chains: of two runs or more.
    """
    unclean = np.zeros(len(chains.first), np.bool_)
    cuts = encoder.cuts
    numbers = np.arange(len(unclean))
    if cuts is not None:
        befores, behinds = (list(map(texts.__getitem__, c.tolist())) for c in chains)
        clean = cuts.between(befores, behinds) & (chains.last == chains.first + 1)
        numbers = np.flatnonzero(~clean)
    if not len(numbers):
        return unclean
    firsts, lasts = chains.first[numbers], chains.last[numbers]
    windows = [
        _window(texts[first : last + 1], cuts)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    # What begins at a cut continues what was before.
    goes_on = continued[firsts] | [window.begins_late for window in windows]
    wholes = encoder.encode([window.text for window in windows], goes_on)
    # The tokens of the window in the runs as they are: from where its left part begins.
    starts = runs.offsets[firsts]
    if any(window.begins_late for window in windows):
        lefts = encoder.encode([window.left for window in windows], goes_on)
        starts = runs.offsets[firsts + 1] - lefts.lengths
    lengths = runs.offsets[lasts + 1] - starts
    # Where a window ends before the chain, it is compared with as many tokens: both begin with the
    # same text, and no more and no fewer tokens can be the same text's.
    early = [window.ends_early for window in windows]
    lengths = np.where(early, np.minimum(wholes.lengths, lengths), lengths)
    apart = Ragged(runs.values[ragged_index(starts, lengths)], ends_to_offsets(lengths))
    unclean[numbers] = differing(apart, wholes)
    return unclean


class _Window(NamedTuple):
    """What of a chain is encoded again."""

    text: str
    left: str  # what of it belongs to the first run
    begins_late: bool  # not with the chain
    ends_early: bool


def _window(texts: Sequence[str], cuts: Cuts | None) -> _Window:
    """The text from the last cut before a chain's boundaries to the first behind them."""
    first, last = texts[0], texts[-1]
    # Behind an empty text that begins anew the whole may have a space in front, and the runs none.
    if cuts is None or not first:
        return _Window("".join(texts), first, begins_late=False, ends_early=False)
    begin, end = cuts.last(first), cuts.first(last)
    text = "".join([first[begin:], *texts[1:-1], last[:end]])
    return _Window(text, first[begin:], begins_late=begin > 0, ends_early=end < len(last))


def differing(first: Ragged, second: Ragged) -> Mask:
    """Which rows of two arrays with as many rows are not the same.

    >>> differing(Ragged.of([[1], [2, 3], []]), Ragged.of([[1], [2, 4], [5]])).tolist()
    [False, True, True]
    """
    differs: Mask = np.not_equal(first.lengths, second.lengths)
    same = np.flatnonzero(~differs)
    left, right = first.take(same), second.take(same)
    wrong = np.flatnonzero(left.values != right.values)
    differs[same[np.searchsorted(left.offsets, wrong, side="right") - 1]] = True
    return differs


def join(
    encoder: Encodes,
    texts: Sequence[str],
    continued: Mask,
    runs: Ragged,
    unclean: Sequence[Chain],
) -> Ragged:
    """The ids with each of these chains encoded as one text."""
    if not unclean:
        return runs
    lengths = runs.lengths.copy()
    parts: list[Ids] = []
    position = 0
    for chain in unclean:
        parts.append(runs.values[runs.offsets[position] : runs.offsets[chain.first]])
        pieces = texts[chain.first : chain.last + 1]
        ids, spans = encoder.spans("".join(pieces), bool(continued[chain.first]))
        parts.append(ids)
        lengths[chain.first : chain.last + 1] = _shares(pieces, chain.trained, spans)
        position = chain.last + 1
    parts.append(runs.values[runs.offsets[position] :])
    return Ragged(np.concatenate(parts), ends_to_offsets(lengths))


def _shares(pieces: Sequence[str], trained: Sequence[bool], spans: Offsets) -> Offsets:
    """How many tokens each run of a chain gets.

    A token belongs to the run in which it starts; one that starts in a trained run and reaches into
    the next, untrained one belongs to that.
    """
    ends = np.cumsum([len(piece) for piece in pieces])
    last = len(pieces) - 1
    owner = np.minimum(np.searchsorted(ends, spans[:, 0], side="right"), last)
    reaches = (spans[:, 1] > ends[owner]) & np.array(trained, np.bool_)[owner]
    owner = np.maximum.accumulate(np.minimum(owner + reaches, last))
    return np.bincount(owner, minlength=len(pieces)).astype(np.int64)
