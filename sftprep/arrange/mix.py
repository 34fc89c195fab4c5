"""Choose the rows of the training split, and how often each of them occurs.

In     the training split's rows, the share to keep, and the factors of sources.
Out    int32[rows]: how often each row occurs; 0 if it is left out.
Keeps  With a percentage or a factor, how often a row occurs depends on its text, the factor and the
       seed alone, so it stays when rows are added. Equal rows are told apart by counting them.
Raises UsageError: the share is more than all rows, or nothing is left.
"""

from collections.abc import Sequence

import numpy as np

from sftprep.arrange.columns import Columns, Keys, Numbers, Rows
from sftprep.arrange.equal_rows import equal_rows
from sftprep.arrange.hashing import mix, smallest
from sftprep.arrange.options import Repeat, Share
from sftprep.data.ragged import Mask
from sftprep.errors import UsageError


def row_keys(columns: Columns, rows: Rows) -> Keys:
    """Return a key for each of the rows: of its text, and of how many equal rows precede it."""
    keys = columns.record_key[rows]
    equal = equal_rows(keys)
    # The first of equal rows has the key that it would have without the others.
    again = equal.members[~equal.first]
    keys[again] = mix(keys[again], 0) + equal.places()[~equal.first].astype(np.uint64)
    return keys


def sample(keys: Keys, share: Share, salt: int) -> Mask:
    """Return bool[rows]: the rows that are kept, those with the smallest hashes."""
    hashes = mix(keys, salt)
    if share.fraction is not None:
        kept = smallest(hashes, share.fraction)
        if not kept.any():
            raise UsageError(
                f"--sample {share} of the {len(keys):,} rows of the training split is no row. Give "
                "a number of rows, or a larger percentage."
            )
        return kept
    number = share.rows or 0
    if not 0 < number <= len(keys):
        raise UsageError(
            f"--sample {number} must be at least 1 and at most {len(keys):,}, the rows of the "
            "training split. Give another number, or leave the option out."
        )
    kept = np.zeros(len(keys), np.bool_)
    # Stable, so that the first of two rows with one hash is taken.
    kept[np.argsort(hashes, kind="stable")[:number]] = True
    return kept


def copies(sources: Numbers, keys: Keys, repeat: Sequence[Repeat], salt: int) -> Numbers:
    """Return int32[rows]: how often each row occurs.

    Args:
        sources: the source of each row.
        keys: the key of each row.
        repeat: the factors; the rows of all other sources occur once.
        salt: decides which rows get the copy that a fraction stands for.
    """
    found = np.ones(len(sources), np.int32)
    hashes = mix(keys, salt)
    done: set[int] = set()
    for part in repeat:
        if done & part.sources:
            raise UsageError(
                "Two --repeat options match one input file. Make their patterns exclude each other."
            )
        done |= part.sources
        if not part.sources:
            raise UsageError(
                f"A --repeat with the factor {float(part.factor):g} matches no input file. Correct "
                "its pattern, or leave the option out."
            )
        rows = np.flatnonzero(np.isin(sources, sorted(part.sources)))
        whole = int(part.factor)
        again = smallest(hashes[rows], part.factor - whole)
        found[rows] = again.astype(np.int32) + whole
    if not found.any():
        raise UsageError("--repeat leaves no row of the training split. Make a factor larger.")
    return found


def passes(rows: Rows, times: Numbers) -> Rows:
    """Return the rows, each as often as it occurs, in whole passes one after the other.

    >>> passes(np.array([4, 5, 6]), np.array([2, 0, 3], np.int32)).tolist()
    [4, 6, 4, 6, 6]
    """
    found = []
    done = 0
    while len(rows):
        left = times > done
        rows, times = rows[left], times[left]
        found.append(rows)
        done += 1
    return np.concatenate(found)
