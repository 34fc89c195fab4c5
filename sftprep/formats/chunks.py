"""Chunks: the rows of a shard file as they really are, for readers that trust nothing.

In     an open file, which may be damaged or may come from another program.
Out    ``Chunk``s in the file's order: up to a few thousand rows each, with all three columns.
Keeps  memory bounded by one chunk, whatever the size of the file.
Never  relies on what the writer promises: a row's columns may have different lengths.
Raises ShardError: the file cannot be read, has other columns, or holds values that are no integers.

This module defines what is read; each format's module has the function ``chunks`` that reads it.
"""

from typing import NamedTuple

from sftprep.data.ragged import Ragged

COLUMNS = ("input_ids", "attention_mask", "labels")
"""The columns of every shard, in this order."""


class Chunk(NamedTuple):
    """Consecutive rows of a shard.

    All three columns have the same number of rows. The lengths of a row may differ between them.
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
