"""The rows of a finished dataset as numbers, so that two datasets can be compared in memory.

In     the folder of a dataset.
Out    ``Rows``: one entry for each row that the input gave (a document of a pack is such a row),
       with its record's place, a hash of its text and a hash of its tokens; and where each copy
       of it lies.
Keeps  memory to about 100 bytes a row: tokens are hashed and forgotten.
Raises NoInputError: there is no dataset. DataError, StorageError: it is damaged.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from sftprep.data.provenance import Keys
from sftprep.data.ragged import Offsets, Ragged
from sftprep.dataset.documents import NEEDED, documents_of, index_of
from sftprep.dataset.manifest import Manifest
from sftprep.formats.staged import decoded

PLACE = ("source", "line", "offset", "answer")
COLUMNS = (*NEEDED, *PLACE, "record_key")
NO_OFFSET = -1


@dataclass(frozen=True)
class Rows:
    """The rows of a dataset, and their copies."""

    # Of each row, in the order of the input:
    source: Offsets  # int64: the number of its input in the manifest
    line: Offsets  # int64: the line of its record; in a table its row
    offset: Offsets  # int64: the first byte of its record; in a table ``NO_OFFSET``
    answer: Offsets  # int64: the number of the example of its record
    text: Keys  # uint64: hash of its texts, see ``data.provenance``
    ids: Keys  # uint64: hash of its ids
    tokens: Keys  # uint64: hash of its ids and its loss mask
    # Of each copy, in the order of the shards:
    row: Offsets  # int64: which row it is a copy of
    split: Offsets  # int64: the number of its split
    place: Offsets  # int64[copies, 2]: its row in the split, and its first token there
    shard: Offsets  # int64: the number of its shard
    number: Offsets  # int64: its number in the shard

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def first(self) -> Offsets:
        """int64[rows]: the first copy of each row."""
        found: Offsets = np.full(len(self), -1, np.int64)
        found[self.row[::-1]] = np.arange(len(self.row))[::-1]
        return found


def rows_of(dataset: Path, manifest: Manifest, splits: list[str]) -> Rows:
    """Read the rows of a dataset.

    Args:
        dataset: its folder.
        manifest: its manifest.
        splits: the names of splits; their numbers are their places in this list.
    """
    kept: list[dict[str, npt.NDArray[Any]]] = []
    done = dict.fromkeys(splits, 0)
    for at, shard in enumerate(manifest.shards):
        index = index_of(dataset, shard, COLUMNS)
        columns = {
            name: index.column(name).fill_null(NO_OFFSET).to_numpy().astype(np.int64)
            for name in ("row", "position", *PLACE)
        }
        count = len(index)
        hashes = np.empty((2, count), np.uint64)
        start = 0
        for documents in documents_of(dataset, manifest, shard, index):
            stop = start + len(documents.lengths)
            hashes[0, start:stop] = _hashes(Ragged(decoded(documents.values)[0], documents.offsets))
            hashes[1, start:stop] = _hashes(documents)
            start = stop
        kept.append(
            columns
            | {
                "text": index.column("record_key").to_numpy(),
                "ids": hashes[0],
                "tokens": hashes[1],
                "row": columns["row"] + done[shard["split"]],
                "split": np.full(count, splits.index(shard["split"])),
                "shard": np.full(count, at),
                "number": np.arange(count),
            }
        )
        done[shard["split"]] += shard["rows"]
    return _once({name: np.concatenate([each[name] for each in kept]) for name in kept[0]})


def _once(copies: dict[str, npt.NDArray[Any]]) -> Rows:
    """Bring copies together that are of one row."""
    line, offset = copies["line"], copies["offset"]
    keys = [copies["answer"], np.where(offset < 0, line, offset), copies["source"]]
    order = np.lexsort(keys)
    begins = np.ones(len(order), np.bool_)
    begins[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    row: Offsets = np.empty(len(order), np.int64)
    row[order] = np.cumsum(begins) - 1
    first = order[begins]
    return Rows(
        **{name: copies[name][first] for name in (*PLACE, "text", "ids", "tokens")},
        row=row,
        split=copies["split"],
        place=np.stack([copies["row"], copies["position"]], axis=1),
        shard=copies["shard"],
        number=copies["number"],
    )


def _hashes(lists: Ragged) -> Keys:
    """Return a hash of each list of numbers."""
    view = memoryview(np.ascontiguousarray(lists.values).data).cast("B")
    bounds = (4 * lists.offsets).tolist()
    hashes = (xxh3_64_intdigest(view[start:end]) for start, end in pairwise(bounds))
    return np.fromiter(hashes, np.uint64, len(bounds) - 1)
