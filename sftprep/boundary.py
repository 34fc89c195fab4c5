"""Where a text is cut because the loss turns on or off: is the cut clean, and what if not.

In     the runs of a block, their ids as encoded apart, and the chains of runs that are one text.
Out    ``unclean``: the chains that would have other ids if they were encoded whole.
       ``join``: the ids with every such chain encoded whole instead, for ``--boundary joint``.
Keeps  rows and order: a chain keeps as many runs as it had; a token that lies across a cut goes to
       the side that is not trained.

Counting does not need whole texts: whether a cut is clean is decided by the few words around it, if
the tokenizer always starts a new piece between a letter and a space. Where it does not, and for
``join``, whole texts are compared.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from sftprep.records import Ids, Offsets, Ragged, ends_to_offsets

WINDOW = 96
SAFE_CUT = re.compile(r"(?<=[A-Za-z\u4e00-\u9fa5])(?=[ ，。])")


class Chain(NamedTuple):
    """Runs ``first`` to ``last`` of a block: one text, cut where the loss changes."""

    first: int
    last: int
    trained: tuple[bool, ...]  # of each run


class Encodes(Protocol):
    """The part of ``Encoder`` that is needed here."""

    @property
    def splits_words(self) -> bool:
        """Whether a new piece always starts between a letter and a space."""
        ...

    def encode(self, texts: list[str], continued: Sequence[bool] | None = None) -> Ragged:
        """A row of ids for each text."""
        ...

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Ids of one text, and int64[tokens, 2]: the characters each token covers."""
        ...


def count_unclean(
    encoder: Encodes, texts: Sequence[str], continued: Sequence[bool], chains: Sequence[Chain]
) -> list[bool]:
    """For each chain, whether any of its cuts is not clean."""
    lefts: list[str] = []
    rights: list[str] = []
    fresh: list[bool] = []
    owner: list[int] = []
    for index, chain in enumerate(chains):
        for cut in range(chain.first, chain.last):
            left, right = texts[cut], texts[cut + 1]
            windowed = encoder.splits_words
            tail = _tail(left) if windowed else left
            lefts.append(tail)
            rights.append(_head(right) if windowed else right)
            fresh.append(continued[cut] or len(tail) < len(left))
            owner.append(index)
    size = len(lefts)
    wholes = [left + right for left, right in zip(lefts, rights, strict=True)]
    encoded = encoder.encode(lefts + rights + wholes, fresh + [True] * size + fresh)
    unclean = [False] * len(chains)
    for cut in range(size):
        apart = np.concatenate([encoded.row(cut), encoded.row(size + cut)])
        if not np.array_equal(apart, encoded.row(2 * size + cut)):
            unclean[owner[cut]] = True
    return unclean


def _tail(text: str) -> str:
    """The last words, from a place where a new piece starts for certain."""
    if len(text) <= WINDOW:
        return text
    match = SAFE_CUT.search(text, len(text) - WINDOW)
    return text[match.start() :] if match else text


def _head(text: str) -> str:
    """The first words, up to a place where a new piece starts for certain."""
    if len(text) <= WINDOW:
        return text
    cuts = [match.start() for match in SAFE_CUT.finditer(text, 1, WINDOW)]
    return text[: cuts[-1]] if cuts else text


def join(
    encoder: Encodes,
    texts: Sequence[str],
    continued: Sequence[bool],
    runs: Ragged,
    chains: Sequence[Chain],
) -> tuple[Ragged, list[bool]]:
    """The ids with each unclean chain encoded as one text; and which chains those were."""
    wholes = encoder.encode(
        ["".join(texts[c.first : c.last + 1]) for c in chains],
        [continued[c.first] for c in chains],
    )
    unclean = [
        not np.array_equal(
            runs.values[runs.offsets[c.first] : runs.offsets[c.last + 1]], wholes.row(index)
        )
        for index, c in enumerate(chains)
    ]
    changed = [chain for chain, differs in zip(chains, unclean, strict=True) if differs]
    return _replaced(encoder, texts, continued, runs, changed), unclean


def _replaced(
    encoder: Encodes,
    texts: Sequence[str],
    continued: Sequence[bool],
    runs: Ragged,
    chains: Sequence[Chain],
) -> Ragged:
    if not chains:
        return runs
    lengths = runs.lengths.copy()
    parts: list[Ids] = []
    position = 0
    for chain in chains:
        parts.append(runs.values[runs.offsets[position] : runs.offsets[chain.first]])
        pieces = texts[chain.first : chain.last + 1]
        ids, spans = encoder.spans("".join(pieces), continued[chain.first])
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
