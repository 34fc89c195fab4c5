"""Seeded hashes of 64-bit keys: the same on every machine, and for every version of a library.

The function is the finalizer of splitmix64. For one salt it is a bijection: different keys have
different hashes, so a sort by hash has no ties between different keys.
"""

from fractions import Fraction

import numpy as np

from sftprep.arrange.columns import Keys
from sftprep.data.ragged import Mask

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST = 31
_AT_ONCE = 2**16  # hashes computed at a time, which stay in the processor's cache


def mix(keys: Keys, salt: int) -> Keys:
    """Return a hash for each key.

    Args:
        keys: uint64, any shape.
        salt: which of 2**64 hash functions to use.
    """
    hashes = keys ^ np.uint64(salt)
    flat = hashes.reshape(-1)
    for start in range(0, len(flat), _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        part += np.uint64(GOLDEN)
        for shift, factor in _STEPS:
            part ^= part >> np.uint64(shift)
            part *= np.uint64(factor)
        part ^= part >> np.uint64(_LAST)
    return hashes


def salt_of(seed: int, purpose: int) -> int:
    """Return the salt for one purpose, so that steps with one seed decide independently."""
    first = mix(np.array([seed % WORD], np.uint64), 0)
    return int(mix(first, purpose)[0])


def smallest(hashes: Keys, fraction: Fraction) -> Mask:
    """Return bool, True for hashes in the lowest part of all numbers, of this size.

    >>> smallest(np.array([0, 2**63 - 1, 2**63], np.uint64), Fraction(1, 2)).tolist()
    [True, True, False]
    """
    if fraction >= 1:
        return np.ones(len(hashes), np.bool_)
    found: Mask = hashes < np.uint64(int(fraction * WORD))
    return found
