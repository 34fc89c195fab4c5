"""OLMo-core's arrays: ids and masks without a header, and where each document lies in them.

A shard is three files. The array of ids has unsigned numbers of 16 or 32 bits: OLMo-core takes the
smaller ones for a vocabulary that they can number. The array of masks has a byte for each id, 1 if
it is trained. The third file has a line ``start,end`` for each document, and is compressed.
"""

import gzip
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Offsets, Ragged
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.places import Places

SMALL = 1 << 16
KINDS: dict[int, "np.dtype[Any]"] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}
"""The numbers of an array of ids, by how many bytes each takes."""
CHUNK_TOKENS = 1 << 20
TEXT_BYTES = 1 << 20
"""How much text of the third file is read at a time."""
PLACES = Places(
    shard="{split}/token_ids_part_{index:04d}.npy",
    parts=("{split}/labels_mask_part_{index:04d}.npy", "{split}/token_ids_part_{index:04d}.csv.gz"),
)


def kind_of_ids(vocabulary_size: int) -> "np.dtype[Any]":
    """Return the smallest type of numbers for the ids of a vocabulary.

    >>> kind_of_ids(65536), kind_of_ids(65537)
    (dtype('uint16'), dtype('uint32'))
    """
    return KINDS[2 if vocabulary_size <= SMALL else 4]


def preload() -> None:
    """Do nothing: this module has already imported everything that a writer needs."""


class Writer:
    """Writes one shard. The groups have ids and a loss mask.

    Args:
        ids: an empty file, open for writing.
        mask: another one.
        borders: another one.
        kind: the type of the ids.
    """

    def __init__(
        self, ids: BinaryIO, mask: BinaryIO, borders: BinaryIO, kind: "np.dtype[Any]" = KINDS[4]
    ) -> None:
        self._ids = ids
        self._mask = mask
        self._kind = kind
        self._done = 0
        # Without a name and a time in the header, the same rows give the same bytes.
        self._borders = gzip.GzipFile(
            filename="", fileobj=borders, mode="wb", compresslevel=1, mtime=0
        )

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        ids, mask = group.values()
        self._ids.write(ids.values.astype(self._kind).tobytes())
        self._mask.write((mask.values != 0).tobytes())
        places = (ids.offsets + self._done).tolist()
        lines = "".join(f"{start},{end}\n" for start, end in pairwise(places))
        self._borders.write(lines.encode())
        self._done += len(ids.values)

    def close(self) -> None:
        """Write the end of the compressed file; leave the file objects open."""
        self._borders.close()


class Sized:
    """This format for the ids of one vocabulary.

    Args:
        vocabulary_size: the size of the vocabulary.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._kind = kind_of_ids(vocabulary_size)

    def preload(self) -> None:
        """Do nothing: everything is imported."""

    def Writer(self, ids: BinaryIO, mask: BinaryIO, borders: BinaryIO) -> Writer:  # noqa: N802
        """Return a writer for empty, open files."""
        return Writer(ids, mask, borders, self._kind)


def chunks(
    ids_file: BinaryIO,
    expected: Kinds,
    only: Sequence[str],
    mask_file: BinaryIO,
    borders_file: BinaryIO,
) -> Iterator[Chunk]:
    """Read the rows, about a million tokens at a time.

    Raises:
        ShardError: the files do not belong together.
    """
    ids_name, mask_name = tuple(expected) or ("input_ids", "loss_mask")
    sizes = [file.seek(0, os.SEEK_END) for file in (ids_file, mask_file)]
    kind = next((k for width, k in KINDS.items() if sizes[0] == width * sizes[1]), None)
    if kind is None or not sizes[1]:
        raise ShardError("its ids and its mask are not of the same number of tokens")
    for file in (ids_file, mask_file, borders_file):
        file.seek(0)
    done = 0
    for offsets in _documents(borders_file, sizes[1]):
        count = int(offsets[-1])
        ids = np.frombuffer(ids_file.read(count * kind.itemsize), kind)
        mask = np.frombuffer(mask_file.read(count), np.uint8)
        if (mask > 1).any():
            raise ShardError("its mask holds another number than 0 and 1")
        columns = {
            ids_name: Ragged(ids.astype(np.int32), offsets),
            mask_name: Ragged(mask.astype(np.int32), offsets),
        }
        yield Chunk({name: column for name, column in columns.items() if not only or name in only})
        done += count
    if done != sizes[1]:
        raise ShardError("its documents end before its tokens")


def _documents(file: BinaryIO, tokens: int) -> Iterator[Offsets]:
    """Yield the offsets of some documents, each time from 0.

    Args:
        file: the file with their borders.
        tokens: where the last one may end.
    """
    end = 0
    for lines in _lines(file):
        numbers = np.array(lines.replace(b"\n", b",").split(b",")[:-1]).astype(np.int64)
        if lines.count(b",") != lines.count(b"\n") or len(numbers) % 2:
            raise ShardError("has borders that are not two numbers in a line")
        pairs = numbers.reshape(-1, 2)
        ends = np.concatenate([np.array([end], np.int64), pairs[:, 1]])
        lie_in_order = (pairs[:, 0] == ends[:-1]).all() and (np.diff(ends) >= 0).all()
        end = int(ends[-1])
        if not lie_in_order or end > tokens:
            raise ShardError("its documents do not lie one behind the other")
        start = 0
        while start < len(pairs):
            stop = int(np.searchsorted(ends, ends[start] + CHUNK_TOKENS, side="right")) - 1
            stop = min(max(stop, start + 1), len(pairs))
            yield ends[start : stop + 1] - ends[start]
            start = stop


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines of a compressed file, some at a time."""
    text = gzip.GzipFile(fileobj=file, mode="rb")
    rest = b""
    while data := text.read(TEXT_BYTES):
        lines, border, rest = (rest + data).rpartition(b"\n")
        if not border:
            raise ShardError("has borders that are not two numbers in a line")
        yield lines + border
    if rest:
        raise ShardError("has borders that end in the middle of a line")
