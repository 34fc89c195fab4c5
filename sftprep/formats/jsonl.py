"""JSON Lines: one object per row, for people and for tools without Arrow."""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import IO, Any, BinaryIO

import numpy as np
import orjson

from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Ragged, lengths_to_offsets
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.places import in_data
from sftprep.text import shown

PLACES = in_data("jsonl")
CHUNK_BYTES = 1 << 20
"""The approximate number of bytes of text that are read for a chunk."""


def preload() -> None:
    """Do nothing: this module has already imported everything that a writer needs."""


class Writer:
    """Writes one line per row.

    Args:
        file: an empty file, open for writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
        bounds = [pairwise(column.offsets.tolist()) for column in group.values()]
        for row_bounds in zip(*bounds, strict=True):
            row = {
                name: column.values[start:end]
                for (name, column), (start, end) in zip(group.items(), row_bounds, strict=True)
            }
            self._file.write(orjson.dumps(row, option=option))

    def close(self) -> None:
        """Do nothing: a JSON Lines file has no footer."""


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, about one MiB of text at a time."""
    first, names = 0, tuple(expected)
    while lines := file.readlines(CHUNK_BYTES):
        names = names or _names(lines[0])
        rows = [_row(line, first + index, names) for index, line in enumerate(lines)]
        wanted = only or names
        yield Chunk({name: _ragged(name, [row[name] for row in rows], first) for name in wanted})
        first += len(rows)


def _names(line: bytes) -> tuple[str, ...]:
    """Return the columns of a file: the keys of its first row; without any, what a row has."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = None
    return (tuple(row) if isinstance(row, dict) else ()) or ("input_ids", "labels")


def _row(line: bytes, number: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Parse row ``number`` of the file, which should have columns of these names."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ShardError(
            f"is not valid JSON at column {error.colno}: {error.msg}", number
        ) from error
    if not isinstance(row, dict) or tuple(row) != names:
        found = ", ".join(map(shown, row)) if isinstance(row, dict) else shown(row)
        raise ShardError(f"has {found[:200] or 'no keys'}; expected {', '.join(names)}", number)
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
