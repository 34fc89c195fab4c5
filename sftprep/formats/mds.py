"""MDS shards, which MosaicML's ``streaming`` reads: a 32-bit array for each column of a row.

A file holds the number of samples, where each begins, a description of the columns as JSON, and the
samples. A sample holds the sizes of its columns and then their data. For an array that is its
number of dimensions, its length, and its values. Beside the shards of a split is ``index.json``,
which describes all of them.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import IO, Any, BinaryIO

import numpy as np

from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Offsets, Ragged
from sftprep.errors import UsageError
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.places import Described, Places

VERSION = 2
COUNT = np.dtype("<u4")
MOST_BYTES = 1 << 32
"""A shard must be smaller: it counts its bytes in 32 bits."""
BLOCK_BYTES = 1 << 22
CHUNK_ROWS = 1024
CHUNK_BYTES = 1 << 25


def preload() -> None:
    """Do nothing: this module has already imported everything that a writer needs."""


class Writer:
    """Writes each row as one sample.

    Args:
        file: an empty file, open for reading and writing.
    """

    encoding = "ndarray:int32"

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sizes: list[int] = []
        self._names: list[str] = []

    def write(self, group: Columns) -> None:
        """Write a group of rows. Until the file is closed, the samples stand at its start."""
        self._names = self.names(group)
        for sample in self.samples(group):
            self._sizes.append(len(sample))
            self._file.write(sample)

    def names(self, group: Columns) -> list[str]:
        """Return the columns of a sample."""
        return list(group)

    def samples(self, group: Columns) -> Iterator[bytes]:
        """Yield the sample of each row."""
        bounds = [pairwise(column.offsets.tolist()) for column in group.values()]
        data = [column.values.astype("<i4", copy=False).tobytes() for column in group.values()]
        for row in zip(*bounds, strict=True):
            arrays = [
                _shape(end - start) + flat[4 * start : 4 * end]
                for flat, (start, end) in zip(data, row, strict=True)
            ]
            yield sample_of(arrays)

    def close(self) -> None:
        """Put the header in front of the samples."""
        if not self._names:
            return
        description = json.dumps(
            description_of(self._names, self.encoding), sort_keys=True
        ).encode()
        head = 4 + 4 * (len(self._sizes) + 1) + len(description)
        ends = head + np.cumsum(np.array([0, *self._sizes], np.int64))
        if ends[-1] >= MOST_BYTES:
            raise UsageError(
                f"a shard would have {ends[-1]:,} bytes, and one of this format must be smaller "
                "than 4 GiB. Pass a smaller --shard-size."
            )
        move_back(self._file, int(ends[-1]) - head, head)
        self._file.seek(0)
        self._file.write(np.array([len(self._sizes)], COUNT).tobytes())
        self._file.write(ends.astype(COUNT).tobytes() + description)
        self._file.seek(0, os.SEEK_END)


def sample_of(parts: Sequence[bytes]) -> bytes:
    """Return a sample: the sizes of its columns, and the columns."""
    return np.array(list(map(len, parts)), COUNT).tobytes() + b"".join(parts)


def description_of(names: Sequence[str], encoding: str) -> dict[str, Any]:
    """Describe the columns of a shard."""
    return {
        "version": VERSION,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": None,
        "column_names": list(names),
        "column_encodings": [encoding] * len(names),
        "column_sizes": [None] * len(names),
    }


@cache
def _shape(length: int) -> bytes:
    """Return the shape of an array with one dimension, its length in as few bytes as will do."""
    code, kind = next((c, k) for c, k in enumerate(("<u1", "<u2", "<u4")) if length < 1 << 8 * 2**c)
    return bytes([1 << 2 | code]) + np.array([length], kind).tobytes()


def move_back(file: IO[bytes], size: int, by: int) -> None:
    """Move the first ``size`` bytes of a file ``by`` bytes towards its end, block by block."""
    for stop in range(size, 0, -BLOCK_BYTES):
        start = max(0, stop - BLOCK_BYTES)
        file.seek(start)
        block = file.read(stop - start)
        file.seek(start + by)
        file.write(block)


# --- reading ------------------------------------------------------------------------------------


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, some samples at a time."""
    for names, samples in stored_samples(file, Writer.encoding):
        if expected and names != list(expected):
            raise ShardError(
                f"has the columns {', '.join(names)[:200]}; expected {', '.join(expected)}"
            )
        wanted = [(name, at) for at, name in enumerate(names) if not only or name in only]
        yield Chunk(
            {
                name: Ragged.of_arrays([_array(parts[at]) for parts in samples])
                for name, at in wanted
            }
        )


def stored_samples(
    file: BinaryIO, encoding: str
) -> Iterator[tuple[list[str], list[list[memoryview]]]]:
    """Yield the names of the columns, and the columns of some samples, until all were read.

    Raises:
        ShardError: the file does not have the form of a shard with this encoding.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    count = int.from_bytes(file.read(4), "little")
    head = 4 + 4 * (count + 1)
    if head > size:
        raise ShardError("ends in its header")
    offsets = np.frombuffer(file.read(head - 4), COUNT).astype(np.int64)
    if offsets[0] < head or (np.diff(offsets) < 0).any() or offsets[-1] != size:
        raise ShardError("has samples that do not lie one behind the other up to its end")
    names = _names(file.read(int(offsets[0]) - head), encoding)
    for first, stop in pairwise(_borders(offsets)):
        places = offsets[first : stop + 1] - offsets[first]
        block = memoryview(file.read(int(places[-1])))
        yield (
            names,
            [
                _parts(block[start:end], len(names), first + number)
                for number, (start, end) in enumerate(pairwise(places.tolist()))
            ],
        )


def _borders(offsets: Offsets) -> list[int]:
    """Divide samples into runs that are read at a time; return the first of each, and the end."""
    borders, count = [0], len(offsets) - 1
    while (start := borders[-1]) < count:
        fits = int(np.searchsorted(offsets, offsets[start] + CHUNK_BYTES, side="right")) - 1
        borders.append(max(start + 1, min(fits, start + CHUNK_ROWS)))
    return borders


def _names(description: bytes, encoding: str) -> list[str]:
    found = json.loads(description)
    names: list[str] = found["column_names"]
    if found != description_of(names, encoding) or not names:
        raise ShardError("describes other columns than sftprep writes")
    return names


def _parts(sample: memoryview, count: int, row: int) -> list[memoryview]:
    sizes = np.frombuffer(sample[: 4 * count], COUNT).astype(np.int64)
    ends = 4 * count + np.cumsum(sizes)
    if len(sizes) != count or ends[-1] != len(sample):
        raise ShardError("the sizes of its columns are not those of its sample", row)
    return [
        sample[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
    ]


def _array(data: memoryview) -> Any:
    """Return the values of an array."""
    code = data[0]
    width = 2 ** (code & 3)
    length = int.from_bytes(data[1 : 1 + width], "little")
    values = np.frombuffer(data[1 + width :], "<i4")
    if code >> 2 != 1 or width > 4 or length != len(values):
        raise ShardError("holds an array whose shape is not that of its values")
    return values


# --- the files of a dataset ---------------------------------------------------------------------


def describing_files(
    splits: Mapping[str, Sequence[Described]], kinds: Kinds, encoding: str = Writer.encoding
) -> dict[str, bytes]:
    """Return the ``index.json`` of each split, by its path.

    Args:
        splits: the shards of each split, in order.
        kinds: the columns of a sample.
        encoding: that of each column.
    """
    files = {}
    for split, shards in splits.items():
        entries = [
            description_of(list(kinds), encoding)
            | {
                "samples": shard.rows,
                "raw_data": {
                    "basename": shard.path.removeprefix(f"{split}/"),
                    "bytes": shard.bytes,
                    "hashes": {},
                },
                "zip_data": None,
            }
            for shard in shards
        ]
        index = {"version": VERSION, "shards": entries}
        files[f"{split}/index.json"] = json.dumps(index, sort_keys=True).encode()
    return files


PLACES = Places(
    shard="{split}/shard.{index:05d}.mds",
    describing=("{split}/index.json",),
    describe=describing_files,
)
