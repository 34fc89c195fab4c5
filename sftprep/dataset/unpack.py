"""Unpack a finished dataset: its documents become staged rows again, whatever their arrangement.

In     the folder of a dataset and its manifest.
Out    in a folder of its own, for each shard its tokens and its index in the staged form; the rows
       in input order, each once; and how the splits were made up of them.
Keeps  memory bounded by a group of rows for each thread. Documents are not moved: the rows get
       their order from the index.
Never  trusts a file: its SHA-256 is compared before it is read.
Raises DataError: a file is damaged, or does not hold what its index says.
       OSError: a file cannot be read or written; the error names it.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sftprep.data.ragged import Ids, Offsets
from sftprep.dataset.arranged_shards import MOST_THREADS
from sftprep.dataset.documents import documents_of, index_of
from sftprep.dataset.index import IndexWriter
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.dataset.staged_rows import StagedRows


class Unpacked(NamedTuple):
    """The rows of a dataset, and how they were arranged."""

    rows: StagedRows  # in input order, each once
    splits: dict[str, Ids]  # of each split, int32[rows]: how often each row is in it


def unpack(dataset: Path, manifest: Manifest, folder: Path, workers: int) -> Unpacked:
    """Unpack a dataset.

    Args:
        dataset: its folder.
        manifest: its manifest.
        folder: an existing folder, to which the staged rows are written.
        workers: how many cores may be used.
    """
    shards = [
        ShardPaths(folder / f"{number:05d}.tokens", folder / f"{number:05d}.index")
        for number in range(len(manifest.shards))
    ]
    work = partial(_unpack_shard, dataset, manifest)
    with ThreadPoolExecutor(max(1, min(workers, MOST_THREADS))) as threads:
        list(threads.map(work, manifest.shards, shards))
    rows = StagedRows(shards)
    split_of = np.repeat(
        np.arange(len(manifest.shards)), [shard["documents"] for shard in manifest.shards]
    )
    order, number = _input_order(rows)
    if order is not None:
        rows.reorder(order)
    names = [shard["split"] for shard in manifest.shards]
    splits = {}
    for name in dict.fromkeys(names):
        is_in = np.array([other == name for other in names])[split_of]
        splits[name] = np.bincount(number[is_in], minlength=len(rows)).astype(np.int32)
    return Unpacked(rows, splits)


def _input_order(rows: StagedRows) -> tuple[Offsets | None, Offsets]:
    """Bring documents into the order of the input.

    Returns:
        the place of each row among the documents, or None if each document is a row, in this order;
        and for each document the number of its row.
    """
    source, line, offset, answer = map(rows.column, ("source", "line", "offset", "answer"))
    place = np.where(offset < 0, line, offset)
    keys = (answer, place, source)  # the last one counts most
    before, after = slice(None, -1), slice(1, None)
    ascends = np.zeros(max(0, len(source) - 1), np.bool_)
    for key in keys:
        ascends = (key[after] > key[before]) | ((key[after] == key[before]) & ascends)
    if ascends.all():
        return None, np.arange(len(source))
    sort = np.lexsort(keys)
    begins = np.ones(len(sort), np.bool_)
    begins[1:] = np.any([key[sort[after]] != key[sort[before]] for key in keys], axis=0)
    number = np.empty(len(sort), np.int64)
    number[sort] = np.cumsum(begins) - 1
    return sort[begins], number


def _unpack_shard(
    dataset: Path, manifest: Manifest, shard: Mapping[str, Any], staged: ShardPaths
) -> None:
    """Write the tokens and the index of one shard in the staged form."""
    import pyarrow as pa

    with staged.index_file.open("xb") as out:
        writer = IndexWriter(out, "arrow")
        index = index_of(
            dataset, shard, also=lambda batch: writer.write(pa.Table.from_batches([batch]))
        )
        writer.close()
    with staged.shard.open("xb") as tokens:
        for documents in documents_of(dataset, manifest, shard, index):
            tokens.write(documents.values.data)
