"""OLMo-core's arrays: ids and masks without a header, and where each document lies in them.

A shard is three files. The array of ids has unsigned numbers of 16 or 32 bits, in the order of this
machine's bytes, as OLMo-core reads them. The array of masks has a byte for each id, 1 if it is
trained. The third file has a line ``start,end`` for each document, and is compressed.
"""

import gzip
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np

from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Ragged
from sftprep.formats.chunks import Chunk, ShardError

SMALL = 1 << 16
CHUNK_TOKENS = 1 << 20


class Files(NamedTuple):
    """The files of a shard, open."""

    ids: BinaryIO
    mask: BinaryIO
    borders: BinaryIO


def kind_of_ids(vocabulary_size: int) -> "np.dtype[Any]":
    """Return the smallest type of numbers for the ids of a vocabulary.

    >>> kind_of_ids(65536), kind_of_ids(65537)
    (dtype('uint16'), dtype('uint32'))
    """
    return np.dtype(np.uint16 if vocabulary_size <= SMALL else np.uint32)


def paths(split: str, index: int) -> tuple[str, str, str]:
    """Return the paths of a shard's files: ids, masks and borders.

    >>> paths("train", 1)[0]
    'train/token_ids_part_0001.npy'
    """
    part = f"part_{index:04d}"
    ids = f"{split}/token_ids_{part}"
    return f"{ids}.npy", f"{split}/labels_mask_{part}.npy", f"{ids}.csv.gz"


class Writer:
    """Writes one shard. The groups have ids and a loss mask.

    Args:
        files: three empty files, open for writing.
        vocabulary_size: the size of the vocabulary.
    """

    def __init__(self, files: Files, vocabulary_size: int) -> None:
        self._files = files
        self._kind = kind_of_ids(vocabulary_size)
        self._done = 0
        # Without a name and a time in the header, the same rows give the same bytes.
        self._borders = gzip.GzipFile(
            filename="", fileobj=files.borders, mode="wb", compresslevel=1, mtime=0
        )

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        ids, mask = group.values()
        self._files.ids.write(ids.values.astype(self._kind).tobytes())
        self._files.mask.write((mask.values != 0).tobytes())
        places = (ids.offsets + self._done).tolist()
        lines = "".join(f"{start},{end}\n" for start, end in pairwise(places))
        self._borders.write(lines.encode())
        self._done += len(ids.values)

    def close(self) -> None:
        """Write the end of the compressed file; leave the file objects open."""
        self._borders.close()


def chunks(files: Files, vocabulary_size: int, expected: Kinds) -> Iterator[Chunk]:
    """Read the rows, about a million tokens at a time.

    Raises:
        ShardError: the files do not belong together.
    """
    ids_name, mask_name = tuple(expected) or ("input_ids", "loss_mask")
    kind = kind_of_ids(vocabulary_size)
    for offsets in _borders(files.borders):
        count = int(offsets[-1])
        data = files.ids.read(count * kind.itemsize)
        mask = np.frombuffer(files.mask.read(count), np.uint8)
        if len(data) != count * kind.itemsize or len(mask) != count:
            raise ShardError("one of its files is too short")
        ids = np.frombuffer(data, kind)
        if (mask > 1).any():
            raise ShardError("its mask holds another number than 0 and 1")
        yield Chunk(
            {
                ids_name: Ragged(ids.astype(np.int32), offsets),
                mask_name: Ragged(mask.astype(np.int32), offsets),
            }
        )
    if files.ids.read(1) or files.mask.read(1):
        raise ShardError("one of its files is too long")


def _borders(file: IO[bytes]) -> Iterator["np.typing.NDArray[np.int64]"]:
    """Yield the offsets of some documents, each time from 0."""
    data = gzip.GzipFile(fileobj=BytesIO(file.read())).read()
    pairs = np.array([line.split(",") for line in data.decode().splitlines()], np.int64).reshape(
        -1, 2
    )
    ends = np.concatenate([np.zeros(1, np.int64), pairs[:, 1]])
    if (pairs[:, 0] != ends[:-1]).any() or (np.diff(ends) < 0).any():
        raise ShardError("its documents do not lie one behind the other")
    start = 0
    while start < len(pairs):
        stop = int(np.searchsorted(ends, ends[start] + CHUNK_TOKENS, side="right")) - 1
        stop = min(max(stop, start + 1), len(pairs))
        yield ends[start : stop + 1] - ends[start]
        start = stop
