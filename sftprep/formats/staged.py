"""Staged tokens: what the first half of a run leaves on disk for the second half to gather.

In     rows with their loss mask, one staged shard after another; later the numbers of rows.
Out    a file for each staged shard with one int32 a token, rows one after the other: the id of a
       trained token, and for another token the bitwise complement of its id, which is below 0.
       Later the tokens of any rows, in any order.
Keeps  memory flat: files are mapped into memory, not read; ``release`` gives back the pages that
       were touched. No Python object is made for a row.
Never  is one of the formats that a user can choose: a file has no borders of rows and no name of a
       column. The lengths of the rows are in the index beside it.
"""

import mmap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.batch import Batch
from sftprep.data.columns import Columns, ListColumn
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, lengths_to_offsets
from sftprep.formats.buffers import array_of

TOKEN_BYTES = 4
KIND = np.dtype("<i4")
ROWS_AT_ONCE = 512
"""How many rows are read before memory is given back: each may touch 64 KiB of its file."""


def preload() -> None:
    """Do nothing: a writer needs no library."""


def encoded(input_ids: Ids, loss_mask: Mask) -> Ids:
    """Return one number for each token: its id, or the complement of it if it is not trained.

    >>> encoded(np.array([0, 7, 7], np.int32), np.array([True, True, False])).tolist()
    [0, 7, -8]
    """
    return input_ids ^ signs(loss_mask)


def signs(loss_mask: Mask) -> Ids:
    """Return what an id is combined with by an exclusive or: 0 if it is trained, else -1."""
    return loss_mask.view(np.int8).astype(np.int32) - 1


class Decoded(NamedTuple):
    """Tokens as they were before ``encoded``."""

    input_ids: Ids
    loss_mask: Mask


def decoded(tokens: Ids) -> Decoded:
    """Return the ids and the loss mask of encoded tokens.

    >>> decoded(np.array([0, 7, -8], np.int32)).input_ids.tolist()
    [0, 7, 7]
    """
    input_ids = tokens >> 31
    input_ids ^= tokens
    return Decoded(input_ids, tokens >= 0)


def columns_of(batch: Batch) -> Columns:
    """Return the only column of a staged shard."""
    return {"tokens": ListColumn(encoded(batch.input_ids, batch.loss_mask), batch.offsets)}


class Writer:
    """Writes the tokens of one staged shard.

    Args:
        file: an empty file, open for writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        (column,) = group.values()
        self._file.write(np.ascontiguousarray(column.values, KIND).data)

    def close(self) -> None:
        """Do nothing: the file has no footer."""


class StagedTokens:
    """The tokens of all staged shards, found by the number of their row.

    Rows are numbered from 0 through all shards. ``gather`` may be called by several threads at the
    same time.

    Args:
        paths: the files of the shards, in order.
        lengths: for each file, int32[rows]: the number of tokens in each row.

    Raises:
        ValueError: a file does not have the size that its lengths add up to.
    """

    def __init__(self, paths: Sequence[Path], lengths: Sequence[npt.NDArray[np.int32]]) -> None:
        self._maps = list(map(mapped, paths))
        self._shards = [
            _as_binary(path, file, row_lengths)
            for path, file, row_lengths in zip(paths, self._maps, lengths, strict=True)
        ]
        self._first = lengths_to_offsets(np.array(list(map(len, lengths)), np.int64))

    def gather(self, rows: Offsets) -> Ragged:
        """Return the encoded tokens of these rows, in this order; a row may occur more than once.

        Args:
            rows: int64: the numbers of the rows.
        """
        import pyarrow as pa

        order, parts = by_file(rows, self._first)
        taken, touched = [], 0
        for part in parts:
            for start in range(0, len(part.rows), ROWS_AT_ONCE):
                some = part.rows[start : start + ROWS_AT_ONCE]
                taken.append(self._shards[part.file].take(array_of(some)))
                touched += len(some)
            if touched >= ROWS_AT_ONCE:
                self.release()
                touched = 0
        found = pa.concat_arrays(taken) if taken else _no_rows()
        if order is not None:
            found = found.take(array_of(order))
        return _as_ragged(found)

    def release(self) -> None:
        """Give back the memory of all pages that were read; they are read again when needed."""
        for file in self._maps:
            if file is not None:
                file.madvise(mmap.MADV_DONTNEED)


class Part(NamedTuple):
    """The rows that are in one file."""

    file: int
    rows: Offsets  # int64: their numbers in this file


def by_file(rows: Offsets, first: Offsets) -> tuple[Offsets | None, list[Part]]:
    """Divide rows among the files that hold them.

    Args:
        rows: int64: the numbers of the rows.
        first: int64[files + 1]: the number of each file's first row, and that of all rows.

    Returns:
        where each row is among those of all parts, one part after the other, or None if the rows
        lie in this order already; and the parts.

    >>> order, parts = by_file(np.array([5, 0, 4]), np.array([0, 3, 9]))
    >>> order.tolist(), [(part.file, part.rows.tolist()) for part in parts]
    ([1, 0, 2], [(0, [0]), (1, [2, 1])])
    """
    file = np.searchsorted(first, rows, side="right") - 1
    if (file[1:] < file[:-1]).any():
        sort = np.argsort(file, kind="stable")
        order = np.empty(len(rows), np.int64)
        order[sort] = np.arange(len(rows))
        rows, file = rows[sort], file[sort]
    else:
        order = None
    borders = [0, *(np.flatnonzero(np.diff(file)) + 1).tolist(), len(rows)] if len(rows) else []
    return order, [
        Part(int(file[start]), rows[start:end] - first[file[start]])
        for start, end in pairwise(borders)
    ]


def mapped(path: Path) -> mmap.mmap | None:
    """Map a file into memory, for reading; None if it is empty, which cannot be mapped."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return None
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


def _as_binary(path: Path, file: mmap.mmap | None, lengths: npt.NDArray[np.int32]) -> Any:
    """Return the rows of a file as an Arrow array of binary values: copying one is a memcpy."""
    import pyarrow as pa

    offsets = lengths_to_offsets(lengths.astype(np.int64)) * TOKEN_BYTES
    size = 0 if file is None else len(file)
    if offsets[-1] != size:
        raise ValueError(f"{path} has {size:,} bytes; its rows have {offsets[-1]:,}")
    data = pa.py_buffer(b"" if file is None else file)
    buffers = [None, pa.py_buffer(offsets), data]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers)


def _no_rows() -> Any:
    import pyarrow as pa

    return pa.array([], pa.large_binary())


def _as_ragged(binary: Any) -> Ragged:
    """Return the rows of an Arrow array of binary values; they share its memory."""
    _, offset_buffer, data = binary.buffers()
    count = len(binary) + 1
    offsets = np.frombuffer(offset_buffer, np.int64, count, binary.offset * 8) // TOKEN_BYTES
    start, end = int(offsets[0]), int(offsets[-1])
    tokens = (
        np.zeros(0, KIND) if data is None else np.frombuffer(data, KIND, end - start, 4 * start)
    )
    return Ragged(tokens.astype(np.int32, copy=False), offsets - start)
