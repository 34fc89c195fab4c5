"""JSON Lines: one object per row, for people and for tools without Arrow."""

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import IO, Any, BinaryIO

import numpy as np
import orjson

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ragged, lengths_to_offsets
from sftprep.formats.chunks import COLUMNS, Chunk, ShardError
from sftprep.text import shown

ENDING = "jsonl"
CHUNK_BYTES = 1 << 20
"""The approximate number of bytes of text that are read for a chunk."""


def preload() -> None:
    """Do nothing: this module has already imported everything that a writer needs."""


class Writer:
    """Writes one line per row.

    Args:
        file: an empty file, open for writing.
        ignore_index: the label of a token without loss.
    """

    def __init__(self, file: IO[bytes], ignore_index: int) -> None:
        self._file = file
        self._ignore_index = ignore_index

    def write(self, group: Batch) -> None:
        """Write a group of rows."""
        option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
        labels = group.labels(self._ignore_index)
        for start, end in pairwise(group.offsets.tolist()):
            row = {
                "input_ids": group.input_ids[start:end],
                "attention_mask": np.ones(end - start, np.int8),
                "labels": labels[start:end],
            }
            self._file.write(orjson.dumps(row, option=option))

    def close(self) -> None:
        """Do nothing: a JSON Lines file has no footer."""


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Read the rows, about one MiB of text at a time."""
    first = 0
    while lines := file.readlines(CHUNK_BYTES):
        rows = [_row(line, first + index) for index, line in enumerate(lines)]
        yield Chunk(*(_ragged(name, [row[name] for row in rows], first) for name in COLUMNS))
        first += len(rows)


def _row(line: bytes, number: int) -> dict[str, Any]:
    """Parse row ``number`` of the file."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ShardError(
            f"is not valid JSON at column {error.colno}: {error.msg}", number
        ) from error
    if not isinstance(row, dict) or tuple(row) != COLUMNS:
        found = ", ".join(map(shown, row)) if isinstance(row, dict) else shown(row)
        raise ShardError(f"has {found[:200] or 'no keys'}; expected {', '.join(COLUMNS)}", number)
    return row


def _ragged(name: str, rows: list[Any], first: int) -> Ragged:
    """Convert a column of parsed rows. The first of them is row ``first`` of the file."""
    for index, row in enumerate(rows):
        # Comparing types is faster than isinstance, and does not accept true as an integer.
        if not isinstance(row, list) or set(map(type, row)) - {int}:
            raise ShardError(f"{name} is {shown(row)}; expected a list of integers", first + index)
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    try:
        values = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
    except OverflowError as error:
        number = next(i for i, row in enumerate(rows) if max(map(abs, row), default=0) >= 1 << 31)
        raise ShardError(
            f"{name} holds an integer that does not fit in 32 bits", first + number
        ) from error
    return Ragged(values, lengths_to_offsets(lengths))
