"""The table of file formats, and functions that work with all of them.

In     a format's name; the columns of a shard; for reading, also a shard's file.
Out    shards, or their rows. A shard has a list of integers in each column for each row. Which
       columns these are is decided by a target; ``input_ids`` and ``labels`` are always among them.
Keeps  a file's bytes the same for the same rows, however the rows were divided into batches.

To add a format: write a module with the attributes of ``Format``, add it to ``FORMATS``, and add
its name to ``formats.names.FORMAT_NAMES``.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from sftprep.data.columns import ANY_COLUMNS, Columns, Kinds
from sftprep.data.ragged import Ids, Ragged
from sftprep.formats import (
    arrow,
    arrow_folder,
    jsonl,
    mds,
    mds_turns,
    megatron_parquet,
    olmo,
    parquet,
)
from sftprep.formats.chunks import Chunk, ShardError, damage
from sftprep.formats.places import Places


class Rows(NamedTuple):
    """All rows of a shard. Each row has the same length in both columns."""

    input_ids: Ragged
    labels: Ids  # int32, flat, as long as input_ids.values


class FormatWriter(Protocol):
    """Writes the groups of one shard to its files."""

    def write(self, group: Columns) -> None:
        """Write a group of rows."""
        ...

    def close(self) -> None:
        """Write the end of the data, such as a footer; leave the file objects open."""
        ...


class WritableFormat(Protocol):
    """The attributes of a module that can write the shards of a run."""

    def preload(self) -> None:
        """Import the libraries that a writer needs, so that the first write need not wait."""
        ...

    @property
    def Writer(self) -> Callable[..., FormatWriter]:  # noqa: N802 - a class
        """The writer, which is given the empty, open files of a shard: one in most formats."""
        ...


class Format(WritableFormat, Protocol):
    """The attributes that the module of a format must have."""

    PLACES: Places
    """Where the files of its shards lie in the dataset's folder."""

    @property
    def chunks(self) -> Callable[..., Iterator[Chunk]]:
        """The reader, which reads an open shard in chunks of bounded size.

        Its arguments, by position, are those of ``shard_chunks`` without the format: the shard's
        file, ``expected``, ``only``, and its other files, if the format has several.

        Raises:
            ShardError: the file has columns or values that a shard cannot have.
            OSError: the system failed to read the file; the error has an ``errno``.
            Exception: any other exception means that the file is damaged; ``shard_chunks`` converts
                it to a ``ShardError``.
        """
        ...


FORMATS: dict[str, Format] = {
    "parquet": parquet,
    "arrow": arrow,
    "jsonl": jsonl,
    "arrow-folder": arrow_folder,
    "megatron-parquet": megatron_parquet,
    "mds": mds,
    "mds-turns": mds_turns,
    "olmo": olmo,
}

SIZED: dict[str, Callable[[int], WritableFormat]] = {"olmo": olmo.Sized}
"""Formats whose numbers are only as wide as a vocabulary needs; see ``writable``."""


def writable(format_name: str, vocabulary_size: int) -> WritableFormat:
    """Return what writes shards with the ids of a vocabulary.

    Args:
        format_name: one of ``FORMATS``.
        vocabulary_size: the size of the vocabulary.
    """
    sized = SIZED.get(format_name)
    return sized(vocabulary_size) if sized else FORMATS[format_name]


def read_shard(path: Path, format_name: str) -> Rows:
    """Read all rows of a shard that has labels.

    Args:
        path: the shard's file. Formats with several files for a shard have no labels.
        format_name: one of ``FORMATS``.

    Raises:
        ShardError: the file is damaged, or is not a shard of this format.
        OSError: the system failed to read it.
    """
    ids, labels = [Ragged.of([])], [np.zeros(0, np.int32)]
    first = 0
    with path.open("rb") as file:
        for chunk in shard_chunks(file, format_name, ANY_COLUMNS):
            if missing := [name for name in ("input_ids", "labels") if name not in chunk.columns]:
                raise ShardError(f"has no column {missing[0]}")
            uneven = chunk.input_ids.lengths != chunk.labels.lengths
            if uneven.any():
                problem = "has different numbers of input_ids and labels"
                raise ShardError(problem, first + int(uneven.argmax()))
            ids.append(chunk.input_ids)
            labels.append(chunk.labels.values)
            first += len(uneven)
    return Rows(Ragged.concatenate(ids), np.concatenate(labels))


def shard_chunks(
    file: BinaryIO,
    format_name: str,
    expected: Kinds,
    only: Sequence[str] = (),
    parts: Sequence[BinaryIO] = (),
) -> Iterator[Chunk]:
    """Read an open shard in chunks; the file may hold anything.

    Args:
        file: the open file.
        format_name: one of ``FORMATS``.
        expected: the columns that the shard should have; ``ANY_COLUMNS`` for those that it has.
        only: the columns that are read; () for all.
        parts: the shard's other files, open, if the format has several.

    Raises:
        ShardError: the file is damaged, or is not a shard of this format.
        OSError: the system failed to read it; the error has an ``errno``.
    """
    if len(parts) != len(FORMATS[format_name].PLACES.parts):
        raise ShardError("cannot be read without its other files")
    try:
        yield from FORMATS[format_name].chunks(file, expected, only, *parts)
    except ShardError:
        raise
    except Exception as error:
        raise ShardError(damage(error)) from error
