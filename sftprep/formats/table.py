"""The shards' file formats: a writer and a reader side by side in one file each.

In     the groups of a shard's rows and the ignore index.
Out    a file with the columns ``input_ids``, ``attention_mask`` and ``labels``: a list of integers
       a row. ``labels`` are unshifted: the id where trained, the ignore index elsewhere. The mask
       is all ones: rows are not padded.
Keeps  the same bytes for the same rows, however they were made.

A format is a module with what ``Format`` lists.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, Protocol

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ids, Ragged
from sftprep.formats import arrow, jsonl, parquet
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.text import ascii_safe


class Rows(NamedTuple):
    """What a shard holds: two columns with the same row lengths."""

    input_ids: Ragged
    labels: Ids  # int32, flat, as long as input_ids.values


class Writer(Protocol):
    """Writes one file."""

    def write(self, group: Batch) -> None:
        """Write a group of rows."""
        ...

    def close(self) -> None:
        """Write what comes last; the file stays open."""
        ...


class Format(Protocol):
    """What a format's module offers."""

    ENDING: str

    def load(self) -> None:
        """Load what a writer needs, before there is something to write."""
        ...

    def Writer(self, file: IO[bytes], ignore_index: int) -> Writer:  # noqa: N802 - a class there
        """Write to an empty file."""
        ...

    def read(self, path: Path) -> tuple[Ragged, Ids]:
        """All rows of a file: ids, and labels of the same shape, flat."""
        ...

    def chunks(self, file: BinaryIO) -> Iterator[Chunk]:
        """All columns of an open file, by parts of bounded size."""
        ...


FORMATS: dict[str, Format] = {"parquet": parquet, "arrow": arrow, "jsonl": jsonl}


def shard_name(index: int, count: int, name: str) -> str:
    """The file name of shard ``index`` of ``count`` in the format ``name``.

    >>> shard_name(1, 4, "parquet")
    'train-00001-of-00004.parquet'
    """
    return f"train-{index:05d}-of-{count:05d}.{FORMATS[name].ENDING}"


def read_shard(path: Path, name: str) -> Rows:
    """All rows of a shard in the format ``name``."""
    input_ids, labels = FORMATS[name].read(path)
    return Rows(input_ids, labels)


def shard_chunks(file: BinaryIO, name: str) -> Iterator[Chunk]:
    """A shard in the format ``name`` by parts, whatever the file holds.

    Raises:
        ShardError: it is damaged, or holds something else.
        OSError: the system failed to read it.
    """
    try:
        yield from FORMATS[name].chunks(file)
    except ShardError:
        raise
    except Exception as error:
        # Arrow raises what its parts raise: OSError too, but without a number of the system.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ShardError(f"cannot be read: {ascii_safe(reason)[:200].rstrip('.')}") from error
