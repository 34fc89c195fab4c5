"""The shards' file formats: a writer and a reader side by side in one file each.

In     a ``Batch`` and the ignore index.
Out    a file with the columns ``input_ids``, ``attention_mask`` and ``labels``: a list of integers
       a row. ``labels`` are unshifted: the id where trained, the ignore index elsewhere. The mask
       is all ones: rows are not padded.
Keeps  the same bytes for the same rows, however they were made.

A format is a module with ``ENDING``, ``write(path, batch, ignore_index)`` and ``read(path)``.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards import arrow, jsonl, parquet


class Rows(NamedTuple):
    """What a shard holds: two columns with the same row lengths."""

    input_ids: Ragged
    labels: Ids  # int32, flat, as long as input_ids.values


class Format(Protocol):
    """What a format's module offers."""

    ENDING: str

    def write(self, path: Path, batch: Batch, ignore_index: int) -> None:
        """Write a new file; it must not exist."""
        ...

    def read(self, path: Path) -> tuple[Ragged, Ids]:
        """All rows of a file: ids, and labels of the same shape, flat."""
        ...


FORMATS: dict[str, Format] = {"parquet": parquet, "arrow": arrow, "jsonl": jsonl}


def read_shard(path: Path, name: str) -> Rows:
    """All rows of a shard in the format ``name``."""
    input_ids, labels = FORMATS[name].read(path)
    return Rows(input_ids, labels)
