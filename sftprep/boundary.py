"""Where a text is cut because the loss turns on or off: is the cut clean, and what if not.

In     the runs of a block, their ids as encoded apart, and the chains of runs that are one text.
Out    ``unclean_chains``: the chains that would have other ids if they were encoded whole.
       ``join``: the ids with just those chains encoded whole instead, for ``--boundary joint``.
Keeps  rows and order: a chain keeps as many runs as it had; a token that lies across a cut goes to
       the side that is not trained.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

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

    is_local: bool  # whether text may be encoded in the pieces that the two cuts make
    ends_lines: bool  # and whether white space is always cut behind its last line end

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

    Where the tokenizer never looks far, only what lies around a boundary is encoded again, and
    nothing where the characters at the boundary say enough.
    """
    unclean = np.zeros(len(chains.first), np.bool_)
    local = encoder.is_local
    numbers = np.arange(len(unclean))
    if local:
        numbers = np.flatnonzero(
            ~_always_clean(texts, chains, LINES if encoder.ends_lines else MEETS)
        )
    if not len(numbers):
        return unclean
    firsts, lasts = chains.first[numbers], chains.last[numbers]
    begins, windows = [], []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        pieces = list(texts[first : last + 1])
        if local:
            pieces[-1] = pieces[-1][: first_cut(pieces[-1])]
            pieces[0] = pieces[0][last_cut(pieces[0]) :]
        begins.append(pieces[0])
        windows.append("".join(pieces))
    wholes = encoder.encode(windows, continued[firsts])
    # The tokens of the window in the runs as they are: from where its left part begins.
    starts = runs.offsets[firsts]
    if local:
        starts = runs.offsets[firsts + 1] - encoder.encode(begins).lengths
    lengths = runs.offsets[lasts + 1] - starts
    if local:  # a window may end before the chain
        lengths = np.minimum(wholes.lengths, lengths)
    apart = Ragged(runs.values[ragged_index(starts, lengths)], ends_to_offsets(lengths))
    unclean[numbers] = differing(apart, wholes)
    return unclean


# Where text is always cut by the pre-tokenizers of ``local_pattern``: a run of letters ends before
# a space, and what begins there does not depend on what came before.
BREAK = r"[A-Za-z](?= [A-Za-z])|[\u4e00-\u9fa5](?=[\uff0c\u3002])"
FIRST = re.compile(BREAK)
LAST = re.compile(rf"(?s:.*)(?:{BREAK})")
SEEN = "!-~\u3001\u3002\u4e00-\u9fa5\uff01\uff0c\uff1a\uff1b\uff1f"  # neither space nor line end
OPENS = "!-.0-~\u4e00-\u9fa5"  # o200k has a slash in one piece with the line end before it
HERE = "\ud800"  # the boundary; no text holds half a surrogate pair
MEETS = re.compile(
    rf"[\s\S]*?[{SEEN}](?:{HERE}[ \t]|\n{HERE}[{OPENS}])",
)
LINES = re.compile(
    rf"[\s\S]*?[{SEEN}](?:{HERE}[ \t]|\n+{HERE}(?:[{OPENS}]|[ \t]+[{SEEN}]))",
)
"""What meets at a boundary where those patterns always cut: white space behind what is none, and
text behind a line end. ``LINES`` is for patterns that cut white space behind its last line end:
then several may come before, and an indentation behind. GPT-2's takes these as one piece."""
BEFORE, BEHIND = 4, 32
"""How many characters are looked at for that."""
NEAR = 64
"""Characters on each side of a boundary in which a cut is looked for."""


def _always_clean(texts: Sequence[str], chains: Chains, meets: re.Pattern[str]) -> Mask:
    """Which chains have one boundary, and characters around it that say it is clean."""
    meeting = [
        f"{texts[first][-BEFORE:]}{HERE}{texts[last][:BEHIND]}"
        for first, last in zip(chains.first.tolist(), chains.last.tolist(), strict=True)
    ]
    clean: Mask = np.array([match is not None for match in map(meets.match, meeting)], np.bool_)
    clean &= chains.last == chains.first + 1
    return clean


def last_cut(text: str) -> int:
    """Where the last piece of a text begins that can be encoded alone; 0 if there is no such cut.

    >>> last_cut("one two three "), last_cut("one")
    (7, 0)
    """
    near = max(0, len(text) - NEAR)
    found = LAST.match(text, near)
    return found.end() if found else 0


def first_cut(text: str) -> int | None:
    """Where the first piece of a text ends that can be encoded alone; None for its end.

    >>> first_cut("one two three"), first_cut("one")
    (3, None)
    """
    found = FIRST.search(text, 0, NEAR)
    return found.end() if found else None


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
