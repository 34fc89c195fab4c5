"""Row groups: collect a shard's rows into groups, the units in which a file is written.

In     the batches of one shard, in order: one batch per block.
Out    the same rows in groups. A group has at most ``max_rows`` rows and ``max_tokens`` tokens; a
       longer row is a group of its own. Each group is yielded as soon as it is full.
Keeps  the groups independent of how the rows were divided into batches, because the bytes of a file
       depend on its groups. Keeps memory bounded by one group and one batch.

A group is written to Parquet as one row group, and to Arrow as one record batch.
"""

from collections.abc import Iterator

import numpy as np

from sftprep.data.batch import Batch

GROUP_ROWS = 8192
GROUP_TOKENS = 1 << 21


class Grouper:
    """Collects batches and yields groups.

    >>> rows, grouper = Batch.of([[1, 2], [3]], [[True, True], [False]]), Grouper()
    >>> list(grouper.add(rows)), [group.input_ids.tolist() for group in grouper.rest()]
    ([], [[1, 2, 3]])

    Args:
        max_rows: the maximum number of rows in a group.
        max_tokens: the maximum number of tokens in a group of more than one row.
    """

    def __init__(self, max_rows: int = GROUP_ROWS, max_tokens: int = GROUP_TOKENS) -> None:
        self._max_rows = max_rows
        self._max_tokens = max_tokens
        self._batches: list[Batch] = []
        self._rows = 0
        self._tokens = 0

    def add(self, batch: Batch) -> Iterator[Batch]:
        """Add the next rows, and yield the groups that are now full."""
        self._batches.append(batch)
        self._rows += len(batch)
        self._tokens += len(batch.input_ids)
        if self._rows >= self._max_rows or self._tokens >= self._max_tokens:
            yield from self._groups(last=False)

    def rest(self) -> Iterator[Batch]:
        """Yield the remaining rows; call this after the last batch."""
        if self._rows:
            yield from self._groups(last=True)

    def _groups(self, *, last: bool) -> Iterator[Batch]:
        """Yield all full groups; with ``last``, also the final group, which may not be full."""
        rows = Batch.concatenate(self._batches)
        ends, count, start = rows.offsets, len(rows), 0
        while start < count:
            is_full = count - start >= self._max_rows or ends[-1] - ends[start] >= self._max_tokens
            if not (is_full or last):
                break
            fits = int(np.searchsorted(ends, ends[start] + self._max_tokens, side="right")) - 1
            stop = max(start + 1, min(start + self._max_rows, fits, count))
            yield rows.rows(start, stop)
            start = stop
        left = rows.rows(start, count)
        self._batches, self._rows, self._tokens = [left], len(left), len(left.input_ids)
