"""Count what lies in more than one split, though it should lie in one."""

from collections.abc import Sequence

import numpy as np

from sftprep.arrange.columns import Keys

_AT_ONCE = 2**20  # keys looked up at a time; bounds the memory


def in_several(splits: Sequence[Keys]) -> int:
    """Return how many different keys occur in more than one split.

    >>> in_several([np.array(s, np.uint64) for s in ([1, 1, 2, 3], [2, 3], [3, 4, 4])])
    2
    """
    if len(splits) < 2:
        return 0
    *others, largest = sorted(splits, key=len)
    # Each split counts a key once, so a key that occurs again comes from another split.
    keys = np.sort(np.concatenate([_different(np.sort(keys)) for keys in others]))
    again = np.concatenate([[False], keys[1:] == keys[:-1]])[: len(keys)]
    several = [keys[again]]
    keys = _different(keys)
    for start in range(0, len(largest) if len(keys) else 0, _AT_ONCE):
        wanted = largest[start : start + _AT_ONCE]
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        several.append(_different(np.sort(wanted[keys[places] == wanted])))
    return len(_different(np.sort(np.concatenate(several))))


def _different(ordered: Keys) -> Keys:
    """Return the keys, which are sorted, without repetition."""
    # numpy's own function hashes the keys, which takes 30 times as long for millions of them.
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]
    found: Keys = ordered[first]
    return found
