"""The proof that no document was lost, doubled or changed on its way through an arrangement.

In     the record key, the tokens and the trained tokens of documents, in any order.
Out    ``digest``: a number of 128 bits for a multiset of documents. The digest of two multisets
       together is the sum of their digests modulo 2**128, so what goes in must be what comes out,
       without the copies that were made, and with what was dropped.
Raises InternalError: the sums differ, which is a bug.

A digest does not depend on the order, so each shard can be counted alone. Each document's part is
a hash of its three numbers; so a document that is missing, doubled or cut changes the sum.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Keys
from sftprep.arrange.hashing import mix
from sftprep.errors import InternalError

MODULUS = 2**128
_SALTS = ((0x243F6A8885A308D3, 0x13198A2E03707344), (0xA4093822299F31D0, 0x082EFA98EC4E6C89))
_AT_ONCE = 2**20  # rows hashed at a time; bounds the memory


def digest(
    record_key: Keys, tokens: npt.NDArray[np.integer], trained: npt.NDArray[np.integer]
) -> int:
    """Return the digest of documents, each given by three numbers.

    >>> keys, tokens, trained = np.array([7, 8], np.uint64), np.array([5, 4]), np.array([3, 2])
    >>> parts = [digest(keys[i:][:1], tokens[i:][:1], trained[i:][:1]) for i in (1, 0)]
    >>> total(*parts) == digest(keys, tokens, trained)
    True
    """
    found = 0
    for start in range(0, len(record_key), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # Both numbers are below 2**31, so together they are one number of 64 bits.
        sizes = np.asarray(tokens[part], np.uint64) << np.uint64(32)
        sizes |= np.asarray(trained[part], np.uint64)
        high, low = (mix(mix(record_key[part], a) ^ mix(sizes, b), b) for a, b in _SALTS)
        found = total(found, (_sum(high) << 64) + _sum(low))
    return found


def total(*digests: int) -> int:
    """Return the digest of several multisets together."""
    return sum(digests) % MODULUS


def check_conserved(before: int, splits: Mapping[str, int], repeated: int, dropped: int) -> None:
    """Raise InternalError unless the splits hold what went in, and nothing else.

    Args:
        before: the digest of all rows before the arrangement.
        splits: the digest of each split's documents.
        repeated: the digest of the copies of rows beyond the first.
        dropped: the digest of the rows that are in no split.
    """
    after = total(*splits.values(), dropped, -repeated)
    if before != after:
        raise InternalError(
            f"The arrangement does not hold the rows that went in: their digest is {text(before)}, "
            f"but that of the splits ({', '.join(splits)}), with the dropped rows and without the "
            f"copies, is {text(after)}. Nothing was committed. Please report this."
        )


def check_written(name: str, planned: int, written: int) -> None:
    """Raise InternalError unless a split's shards hold the documents that were planned."""
    if planned != written:
        raise InternalError(
            f"The shards of the {name} split do not hold the documents that were planned: their "
            f"digest is {text(written)}, and the plan's is {text(planned)}. Nothing was committed. "
            "Please report this."
        )


def text(value: int) -> str:
    """Return a digest as 32 hexadecimal digits, as manifests hold it."""
    return f"{value:032x}"


def _sum(words: Keys) -> int:
    """Return the exact sum of 64-bit words."""
    low = int((words & np.uint64(2**32 - 1)).sum())
    return low + (int((words >> np.uint64(32)).sum()) << 32)
