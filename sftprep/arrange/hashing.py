"""Seeded hashes of 64-bit keys: the same on every machine, and for every version of a library.

The function is the finalizer of splitmix64. For one salt it is a bijection: different keys have
different hashes, so a sort by hash has no ties between different keys.
"""

import numpy as np

from sftprep.arrange.columns import Keys

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST = 31


def mix(keys: Keys, salt: int) -> Keys:
    """Return a hash for each key.

    Args:
        keys: uint64, any shape.
        salt: which of 2**64 hash functions to use.
    """
    hashes = keys ^ np.uint64(salt)
    hashes += np.uint64(GOLDEN)
    for shift, factor in _STEPS:
        hashes ^= hashes >> np.uint64(shift)
        hashes *= np.uint64(factor)
    hashes ^= hashes >> np.uint64(_LAST)
    return hashes


def salt_of(seed: int, purpose: int) -> int:
    """Return the salt for one purpose, so that steps with one seed decide independently."""
    first = mix(np.array([seed % WORD], np.uint64), 0)
    return int(mix(first, purpose)[0])
