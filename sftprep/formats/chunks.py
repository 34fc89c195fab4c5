"""Chunks: the rows that a shard file really holds, for readers that do not trust the file.

In     an open file, which may be damaged or may come from another program; the columns that it
       should have.
Out    ``Chunk``s in the order of the file: up to a few thousand rows each, with all columns.
Keeps  memory bounded by one chunk, whatever the size of the file.
Never  relies on the promises of the writer: the columns of a row may have different lengths.
Raises ShardError: the file cannot be read, has other columns, or holds values other than integers.

This module only defines the chunks. The module of each format has a function ``chunks`` that reads
them.
"""

from typing import NamedTuple

from sftprep.data.ragged import Ragged
from sftprep.text import ascii_safe


class Chunk(NamedTuple):
    """Consecutive rows of a shard.

    All columns have the same number of rows. A row may have different lengths in them.
    """

    columns: dict[str, Ragged]  # name -> rows, in the order of the file; int32 whatever the dtype

    @property
    def input_ids(self) -> Ragged:
        """The ids of the rows."""
        return self.columns["input_ids"]

    @property
    def labels(self) -> Ragged:
        """The labels of the rows."""
        return self.columns["labels"]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).offsets) - 1


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


def damage(error: Exception) -> str:
    """Say in words why a file cannot be read, given what a library raised.

    Arrow reports damage with many kinds of exceptions. One of them is OSError; unlike an OSError
    that the system raises, it has no ``errno``.

    Raises:
        OSError: the system failed to read the file: this is the error itself.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"cannot be read: {ascii_safe(reason)[:200].rstrip('.')}"
