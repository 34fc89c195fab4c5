"""Find rows that nearly repeat an earlier row.

In     the rows to look at, their numbers of tokens, and a function that returns their tokens.
Out    ``dedup.Repeated``, and counts for the manifest.
Keeps  The first row of each group. A row is dropped only if it was compared, in full, with a row
       that comes earlier and stays: of the shingles of both, at least the threshold's share is
       common to both (the Jaccard similarity), among the trained tokens and among the others alike.
       So two questions about one long text, or two answers to one question, are no duplicates.
Never  compares all pairs: MinHash finds candidates. A pair at the threshold is missed once in 600
       times, a more similar one less often. Where very many rows resemble each other without being
       duplicates, each is compared with three of them for each band, so more are missed.
Raises UsageError: rensa, which is optional, is not installed.

A *shingle* is five tokens in a row, as a 64-bit hash; fewer tokens than five are one shingle. A
*band* is a hash of some of a row's MinHash values: rows that agree in a band are candidates.
"""

from collections.abc import Callable, Iterator, Set
from fractions import Fraction
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Keys, Numbers, Rows
from sftprep.arrange.dedup import Repeated
from sftprep.arrange.hashing import mix
from sftprep.data.ragged import Ids, Mask, Offsets, lengths_to_offsets, ragged_index
from sftprep.errors import UsageError

SHINGLE = 5  # tokens
BANDS, BAND = 16, 5  # the number of bands, and of MinHash values in each
SEED = 42
TOKENS_AT_ONCE = 2**20  # bounds the memory: tokens that are read at a time
_NOTHING = 2**64 - 1  # stands behind the tokens of a row that is shorter than a shingle


class Tokens(NamedTuple):
    """The tokens of some rows, row by row."""

    ids: Ids  # int32[tokens]
    trained: Mask  # bool[tokens]
    offsets: Offsets  # int64[rows + 1]


TokensOf = Callable[[Rows], Tokens]
"""Returns the tokens of the rows with these numbers."""


class Shingles(NamedTuple):
    """The shingles of some rows, row by row; a shingle may occur twice in a row."""

    hashes: Keys  # uint64[shingles]
    offsets: Offsets  # int64[rows + 1]


class Near(NamedTuple):
    """What was found."""

    repeated: Repeated
    facts: dict[str, Any]  # threshold, compared (pairs), rensa (the version of its algorithm)


def rensa() -> ModuleType:
    """Return the library for MinHash, which is optional."""
    try:
        import rensa as library
    except ImportError as error:
        raise UsageError(
            "--dedup near needs the package rensa, which is not installed. Install it with: "
            "pip install 'sftprep[near]'. Or pass --dedup normalized, which needs no package."
        ) from error
    return library  # type: ignore[no-any-return]


def near(rows: Rows, tokens: Numbers, tokens_of: TokensOf, threshold: Fraction) -> Near:
    """Find the rows that nearly repeat an earlier one.

    Args:
        rows: the rows to look at, ascending.
        tokens: how many tokens each of them has.
        tokens_of: returns tokens.
        threshold: the least Jaccard similarity of duplicates.
    """
    library = rensa()
    pairs = _candidates(_bands(library, rows, tokens, tokens_of))
    keeper = np.arange(len(rows))  # the row that stays for each row, so far
    compared = 0
    for part in _parts(pairs, tokens):
        found = _compare(part, keeper, lambda places: tokens_of(rows[places]), threshold)
        compared += found
    dropped = np.flatnonzero(keeper != np.arange(len(rows)))
    facts = {
        "threshold": float(threshold),
        "compared": compared,
        "rensa": int(library.RMinHash.ALGORITHM_VERSION),
    }
    return Near(Repeated(rows[dropped], rows[keeper[dropped]]), facts)


def shingles(ids: Ids, offsets: Offsets, salt: int) -> Shingles:
    """Return the shingles of rows of ids."""
    lengths = np.diff(offsets)
    room = np.where(lengths > 0, np.maximum(lengths, SHINGLE), 0)
    starts = lengths_to_offsets(room)
    padded = np.full(starts[-1] + SHINGLE - 1, _NOTHING, np.uint64)
    padded[ragged_index(starts[:-1], lengths)] = ids
    hashes: Keys = np.full(starts[-1], salt, np.uint64)
    for place in range(SHINGLE):
        hashes = mix(hashes ^ padded[place : place + len(hashes)], place)
    counts = np.maximum(room - (SHINGLE - 1), 0)
    return Shingles(hashes[ragged_index(starts[:-1], counts)], lengths_to_offsets(counts))


def sides(tokens: Tokens) -> tuple[Shingles, Shingles]:
    """Return the shingles of the tokens that are not trained, and of those that are."""
    found = []
    for salt, mask in enumerate((~tokens.trained, tokens.trained)):
        offsets = lengths_to_offsets(mask.astype(np.int64))[tokens.offsets]
        found.append(shingles(tokens.ids[mask], offsets, salt))
    return found[0], found[1]


def alike(one: Set[int], other: Set[int], threshold: Fraction) -> bool:
    """Tell whether two sets are at least as similar as the threshold."""
    common = len(one & other)
    either = len(one) + len(other) - common
    return common * threshold.denominator >= either * threshold.numerator


def _bands(
    library: Any, rows: Rows, tokens: Numbers, tokens_of: TokensOf
) -> npt.NDArray[np.uint32]:
    """Return uint32[BANDS, rows]."""
    bands = np.empty((BANDS, len(rows)), np.uint32)
    for start, stop in _at_most(tokens.astype(np.int64), TOKENS_AT_ONCE):
        both = sides(tokens_of(rows[start:stop]))
        hashes = np.concatenate([side.hashes for side in both])
        # rensa wants the shingles of a row side by side.
        counts = np.stack([np.diff(side.offsets) for side in both], axis=1)
        begins = np.stack(
            [both[0].offsets[:-1], both[1].offsets[:-1] + len(both[0].hashes)], axis=1
        )
        joined = hashes[ragged_index(begins.ravel(), counts.ravel())]
        offsets = lengths_to_offsets(counts.sum(axis=1)).astype(np.uint64)
        matrix = library.RMinHash.digest_matrix_from_flat_token_hashes(
            joined, offsets, BANDS * BAND, SEED
        )
        values = np.array(matrix.to_rows(), np.uint64).reshape(stop - start, BANDS, BAND)
        for band in range(BANDS):
            found: Keys = np.full(stop - start, band, np.uint64)
            for place in range(BAND):
                found = mix(found ^ values[:, band, place], place)
            bands[band, start:stop] = (found >> np.uint64(32)).astype(np.uint32)
    return bands


def _candidates(bands: npt.NDArray[np.uint32]) -> Keys:
    """Return pairs of a row and an earlier row, each as row * 2**32 + earlier row, ascending.

    In each band, a row is paired with the two rows before it that have the same hash, and with the
    first that has it.
    """
    pairs = np.zeros(0, np.uint64)
    for band in bands:
        order = np.argsort(band, kind="stable")
        hashes = band[order]
        same = np.concatenate([[False], hashes[1:] == hashes[:-1]])[: len(hashes)]
        places = np.flatnonzero(same)
        starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))[places]
        earlier = [starts, places - 1, np.maximum(places - 2, starts)]
        row = order[places].astype(np.uint64) << np.uint64(32)
        found = [row | order[place].astype(np.uint64) for place in earlier]
        pairs = np.unique(np.concatenate([pairs, *found]))
    return pairs


def _parts(pairs: Keys, tokens: Numbers) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows and the earlier rows of the pairs, some at a time, a row's together."""
    rows = (pairs >> np.uint64(32)).astype(np.int64)
    earlier = (pairs & np.uint64(2**32 - 1)).astype(np.int64)
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    ends = np.append(begins[1:], len(rows))
    sizes = tokens.astype(np.int64)
    costs = sizes[rows[begins]]
    if len(begins):
        costs = costs + np.add.reduceat(sizes[earlier], begins)
    for start, stop in _at_most(costs, TOKENS_AT_ONCE):
        part = slice(int(begins[start]), int(ends[stop - 1]))
        yield rows[part], earlier[part]


def _at_most(costs: npt.NDArray[np.int64], limit: int) -> Iterator[tuple[int, int]]:
    """Yield consecutive slices of the items, each of them one item or at most ``limit`` in all."""
    ends = np.cumsum(costs)
    start = 0
    while start < len(costs):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + limit, side="right")), start + 1)
        yield start, stop
        start = stop


def _compare(
    pairs: tuple[Rows, Rows],
    keeper: Rows,
    tokens_of: TokensOf,
    threshold: Fraction,
) -> int:
    """Compare the pairs' rows, and note in ``keeper`` those that are dropped.

    A pair's earlier row stands for the row that stays for it, which may be a third one.

    Returns:
        how many pairs were compared.
    """
    rows, earlier = pairs
    # Rows of this part may be dropped while it is worked on; whatever stays for them is in it.
    wanted = np.unique(np.concatenate([rows, keeper[earlier]]))
    place = {row: index for index, row in enumerate(wanted.tolist())}
    both = sides(tokens_of(wanted))
    sets: dict[int, list[frozenset[int]]] = {}

    def sets_of(row: int) -> list[frozenset[int]]:
        if row not in sets:
            at = place[row]
            sets[row] = [
                frozenset(side.hashes[side.offsets[at] : side.offsets[at + 1]].tolist())
                for side in both
            ]
        return sets[row]

    compared = 0
    done: set[tuple[int, int]] = set()
    for row, before in zip(rows.tolist(), earlier.tolist(), strict=True):
        kept = int(keeper[before])
        if keeper[row] != row or (row, kept) in done:
            continue
        done.add((row, kept))
        compared += 1
        if all(map(alike, sets_of(row), sets_of(kept), (threshold, threshold))):
            keeper[row] = kept
    return compared
