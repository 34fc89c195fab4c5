"""Cut the record batches of a table into blocks of rows.

In     record batches, in the order of the rows.
Out    blocks of whole rows. A row that is too long gets a block of its own, which holds the start
       of its texts and an error.
Keeps  the shard of a row independent of the batches: see ``shards``. Small batches are joined.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from sftprep.data.block import Block, Rows
from sftprep.errors import DataError, SftprepError
from sftprep.reading.arrow_rows import batch_sizes, encode, plain_batch, schema_problem, start_of
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream
from sftprep.text import ascii_safe

SMALL_BYTES = 1 << 20
"""Batches are joined until they have this size."""


class TableBlocks:
    """Turns the batches of one source into blocks.

    Args:
        stream: the source; what the blocks hold is noted there.
        cut: how to cut.

    Attributes:
        next_row: the number of the row after the batches added so far, from 1.
    """

    def __init__(self, stream: PlainStream, cut: Cutting) -> None:
        self.next_row = 1
        self._stream = stream
        self._cut = cut
        self._row = 1  # of the first row that is not in a block yet
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0

    def check_schema(self, schema: pa.Schema) -> None:
        """Refuse a table whose rows cannot be records.

        Raises:
            DataError: two columns have the same name, or there are too many.
        """
        if problem := schema_problem(schema):
            raise DataError(
                f"{self._cut.path}: {problem}. Write the file again with the columns that are "
                "needed."
            )

    def add(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Add the next batch; yield the blocks that are complete."""
        self.next_row += len(batch)
        if len(batch):
            self._waiting.append(plain_batch(batch))
            self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= SMALL_BYTES:
            yield from self.rest()

    def rest(self) -> Iterator[Block]:
        """Yield the blocks of all rows that are not in a block yet."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        # Batches whose dictionaries may differ are not joined.
        if len(waiting) > 1 and not any(map(_has_dictionary, waiting[0].schema.types)):
            waiting = [pa.concat_batches(waiting)]
        for batch in waiting:
            yield from self._blocks(batch)

    def _blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        shards, longest = self._cut.shards, self._cut.limits.line
        sizes = batch_sizes(batch)
        ends = np.cumsum(sizes)
        start, done = 0, 0  # the first row that is left, and the bytes before it
        while start < len(batch):
            stop = min(len(batch), int(np.searchsorted(ends, done + shards.target())) + 1)
            long = np.flatnonzero(sizes[start:stop] > longest)
            too_long = None
            if len(long) and not long[0]:
                stop = start + 1
                too_long = self._cut.too_long(int(sizes[start]))
            elif len(long):
                stop = start + int(long[0])
            rows = batch.slice(start, stop - start)
            data = start_of(rows, self._cut.kept) if too_long else encode(rows)
            self._stream.note(data)
            yield Block(
                self._cut.source,
                shards.count(int(ends[stop - 1]) - done),
                self._row,
                0,
                data,
                too_long=too_long,
                rows=Rows("arrow", len(rows)),
            )
            self._row += len(rows)
            start, done = stop, int(ends[stop - 1])


def _has_dictionary(kind: Any) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_dictionary(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_dictionary(kind))


def table_error(error: Exception, path: str, row: int) -> Exception:
    """Return an error that tells the user why a table cannot be read.

    Args:
        error: what was raised while reading.
        path: the file's path.
        row: the number of the row that would have come next.
    """
    if isinstance(error, SftprepError) or (isinstance(error, OSError) and error.errno is not None):
        return error
    what = ascii_safe(" ".join(str(error).split())[:200]).rstrip(".")
    if isinstance(error, pa.ArrowNotImplementedError):
        return DataError(
            f"{path}: row {row}: cannot be read: {what}. Write the file again with columns of text."
        )
    return DataError(
        f"{path}: the file is damaged or incomplete at or after row {row} ({what}). Fetch the file "
        "again."
    )
