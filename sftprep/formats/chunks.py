"""Chunks: the rows that a shard file really holds, for readers that do not trust the file.

In     an open file, which may be damaged or may come from another program.
Out    ``Chunk``s in the order of the file: up to a few thousand rows each, with all three columns.
Keeps  memory bounded by one chunk, whatever the size of the file.
Never  relies on the promises of the writer: the columns of a row may have different lengths.
Raises ShardError: the file cannot be read, has other columns, or holds values other than integers.

This module only defines the chunks. The module of each format has a function ``chunks`` that reads
them.
"""

from typing import NamedTuple

from sftprep.data.ragged import Ragged

COLUMNS = ("input_ids", "attention_mask", "labels")
"""The columns of every shard, in this order."""


class Chunk(NamedTuple):
    """Consecutive rows of a shard.

    All three columns have the same number of rows. A row may have different lengths in them.
    """

    input_ids: Ragged
    attention_mask: Ragged
    labels: Ragged


class ShardError(Exception):
    """A file is not a valid shard.

    Args:
        problem: what is wrong, without the file's name and without a full stop.
        row: the number of the row in the file, from 0; None if the problem is not in one row.
    """

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem if row is None else f"row {row}: {problem}")
        self.problem = problem
        self.row = row
