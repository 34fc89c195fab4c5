"""Where a text is cut because the loss turns on or off: is the cut clean, and what if not.

In     the runs of a block, their ids as encoded apart, and the chains of runs that are one text.
Out    ``unclean_chains``: the chains that would have other ids if they were encoded whole.
       ``join``: the ids with just those chains encoded whole instead, for ``--boundary joint``.
Keeps  rows and order: a chain keeps as many runs as it had; a token that lies across a cut goes to
       the side that is not trained.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from sftprep.cuts import Cuts
from sftprep.records import Ids, Mask, Offsets, Ragged, ends_to_offsets, ragged_index


class Chain(NamedTuple):
    """Runs ``first`` to ``last`` of a block: one text, cut where the loss changes."""

    first: int
    last: int
    trained: tuple[bool, ...]  # of each run


class Chains(NamedTuple):
    """The chains of a block, in columns."""

    first: Offsets  # int64: the first run of each
    last: Offsets  # int64: the last run of each


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
    begins, windows = [], []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        pieces = list(texts[first : last + 1])
        if cuts is not None:
            pieces[-1] = pieces[-1][: cuts.first(pieces[-1])]
            pieces[0] = pieces[0][cuts.last(pieces[0]) :]
        begins.append(pieces[0])
        windows.append("".join(pieces))
    fresh = continued[firsts]
    if cuts is not None:  # what begins at a cut continues what was before
        fresh = fresh | [
            len(b) < len(texts[f]) for b, f in zip(begins, firsts.tolist(), strict=True)
        ]
    wholes = encoder.encode(windows, fresh)
    # The tokens of the window in the runs as they are: from where its left part begins.
    starts = runs.offsets[firsts]
    if cuts is not None:
        starts = runs.offsets[firsts + 1] - encoder.encode(begins, fresh).lengths
    lengths = runs.offsets[lasts + 1] - starts
    if cuts is not None:  # a window may end before the chain
        lengths = np.minimum(wholes.lengths, lengths)
    apart = Ragged(runs.values[ragged_index(starts, lengths)], ends_to_offsets(lengths))
    unclean[numbers] = differing(apart, wholes)
    return unclean


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
