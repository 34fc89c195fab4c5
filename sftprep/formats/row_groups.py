"""Rows -> groups: what a file's row groups or record batches are made of.

In     the batches of a shard, in order, as they came from the blocks.
Out    the same rows in groups of at most ``GROUP_ROWS`` rows and ``GROUP_TOKENS`` tokens (a longer
       row is a group of its own), as soon as each is full.
Keeps  the groups the same for the same rows, however these were cut into batches: a file's bytes
       follow its groups. Memory is bounded by a group and a batch.
"""

from collections.abc import Iterator

import numpy as np

from sftprep.data.batch import Batch

GROUP_ROWS = 8192
GROUP_TOKENS = 1 << 21


class Grouper:
    """Collects batches and gives groups.

    >>> rows, grouper = Batch.of([[1, 2], [3]], [[True, True], [False]]), Grouper()
    >>> list(grouper.add(rows)), [group.input_ids.tolist() for group in grouper.rest()]
    ([], [[1, 2, 3]])
    """

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._rows = 0
        self._tokens = 0

    def add(self, batch: Batch) -> Iterator[Batch]:
        """Take rows; the groups that are full now."""
        self._batches.append(batch)
        self._rows += len(batch)
        self._tokens += len(batch.input_ids)
        if self._rows >= GROUP_ROWS or self._tokens >= GROUP_TOKENS:
            yield from self._groups(last=False)

    def rest(self) -> Iterator[Batch]:
        """What is left when there are no more rows."""
        if self._rows:
            yield from self._groups(last=True)

    def _groups(self, *, last: bool) -> Iterator[Batch]:
        rows = Batch.concatenate(self._batches)
        ends, count, start = rows.offsets, len(rows), 0
        while start < count:
            is_full = count - start >= GROUP_ROWS or ends[-1] - ends[start] >= GROUP_TOKENS
            if not (is_full or last):
                break
            fits = int(np.searchsorted(ends, ends[start] + GROUP_TOKENS, side="right")) - 1
            stop = max(start + 1, min(start + GROUP_ROWS, fits, count))
            yield rows.rows(start, stop)
            start = stop
        left = rows.rows(start, count)
        self._batches, self._rows, self._tokens = [left], len(left), len(left.input_ids)
