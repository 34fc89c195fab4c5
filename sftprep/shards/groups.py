"""Rows -> groups: what a file's row groups or record batches are made of.

In     the batches of a shard, in order, as they came from the blocks.
Out    the same rows in groups of at most ``GROUP_ROWS`` rows and about ``GROUP_TOKENS`` tokens.
Keeps  the groups the same for the same rows, however these were cut into batches: a file's bytes
       follow its groups. Memory is bounded by one group.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from sftprep.records import Batch, ends_to_offsets

GROUP_ROWS = 8192
GROUP_TOKENS = 1 << 21


def groups(batches: Sequence[Batch]) -> Iterator[Batch]:
    """The rows in groups.

    >>> rows = [Batch.of([[1, 2], [3]], [[True, True], [False]])] * 2
    >>> [group.input_ids.tolist() for group in groups(rows)]
    [[1, 2, 3, 1, 2, 3]]
    """
    ends = ends_to_offsets(np.concatenate([batch.lengths for batch in batches]))
    firsts = ends_to_offsets(np.array([len(batch) for batch in batches], np.int64))
    start, count = 0, len(ends) - 1
    while start < count:
        full = int(np.searchsorted(ends, ends[start] + GROUP_TOKENS, side="right")) - 1
        stop = max(start + 1, min(start + GROUP_ROWS, full, count))
        first = int(np.searchsorted(firsts, start, side="right")) - 1
        last = int(np.searchsorted(firsts, stop, side="left")) - 1
        yield Batch.concatenate(
            [
                batches[i].rows(max(start - int(firsts[i]), 0), stop - int(firsts[i]))
                for i in range(first, last + 1)
            ]
        )
        start = stop
