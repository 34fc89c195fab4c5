"""A shuffled order that depends on the number of items and a salt alone."""

import numpy as np

from sftprep.arrange.columns import Rows
from sftprep.arrange.hashing import mix


def shuffled(number: int, salt: int) -> Rows:
    """Return int64[number]: the items 0 to number - 1 in the order of the hashes of their places.

    Different places have different hashes, so there are no ties.
    """
    order: Rows = np.argsort(mix(np.arange(number, dtype=np.uint64), salt))
    return order
