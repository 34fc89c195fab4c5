"""A shard as it really is, by parts: for checks that trust nothing.

In     an open file, which may be damaged or made by somebody else.
Out    ``Chunk``s: some thousand rows each, all three columns, in the file's order.
Keeps  memory bounded by one part, whatever the file's size.
Never  assumes what the writer promises: columns may have different row lengths.
Raises ShardError: the file cannot be read, or holds other columns or other values than integers.
"""

from typing import NamedTuple

from sftprep.data.ragged import Ragged

COLUMNS = ("input_ids", "attention_mask", "labels")


class Chunk(NamedTuple):
    """Rows that follow each other; the columns have as many rows, but perhaps not as long ones."""

    input_ids: Ragged
    attention_mask: Ragged
    labels: Ragged


class ShardError(Exception):
    """A file is no shard.

    Args:
        problem: what is wrong, without the file's name and a full stop.
        row: where in the file, from 0; None where it is no single row.
    """

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.row = row
