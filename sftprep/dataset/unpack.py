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

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sftprep.data.ragged import Ids, Mask, Offsets, ragged_index
from sftprep.dataset.arranged_shards import MOST_THREADS
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.index import BadIndexError, IndexWriter, batches_of
from sftprep.dataset.manifest import Manifest, files_of
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.dataset.staged_rows import StagedRows
from sftprep.errors import DataError
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.staged import encoded
from sftprep.formats.table import shard_chunks
from sftprep.system.files import sha256_of
from sftprep.targets.table import form_of
from sftprep.text import ascii_safe

CURE = "Run sftprep verify on the dataset, and build it again"


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
    recipe = manifest.recipe
    with _checked(dataset, shard["index"]) as file:
        table = _index_of(file, shard, staged.index_file)
    form = form_of(recipe)
    ids = next(iter(form.columns))
    columns = _Documents(table, ids)
    with ExitStack() as stack:
        files = [stack.enter_context(_checked(dataset, entry)) for entry in files_of(shard)]
        tokens = stack.enter_context(staged.shard.open("xb"))
        try:
            for chunk in shard_chunks(files[0], recipe["format"], form.kinds, [ids], files[1:]):
                tokens.write(columns.tokens_of(chunk).data)
        except ShardError as error:
            raise DataError(f"{dataset / shard['name']}: {error}. {CURE}.") from error
    if columns.done != len(table):
        raise _other_documents(dataset / shard["name"])


def _index_of(file: BinaryIO, shard: Mapping[str, Any], staged: Path) -> Any:
    """Write an index in the staged form, and return what is needed of it."""
    import pyarrow as pa

    needed = []
    with staged.open("xb") as out:
        writer = IndexWriter(out, "arrow")
        try:
            for batch in batches_of(file):
                writer.write(pa.Table.from_batches([batch]))
                needed.append(batch.select(["row", "position", "tokens", "segments"]))
        except BadIndexError as error:
            raise DataError(f"{shard['index']['name']}: {error}. {CURE}.") from error
        writer.close()
    return pa.Table.from_batches(needed)


class _Documents:
    """Finds the documents of a shard in its rows.

    Which of their tokens are trained is told by the index. The labels do not tell it of the first
    token of a document that follows another one.

    Args:
        table: the index of the shard.
        ids: the name of the column of ids.
    """

    def __init__(self, table: Any, ids: str) -> None:
        self._ids = ids
        self._row, self._position, self._tokens = (
            table.column(name).to_numpy() for name in ("row", "position", "tokens")
        )
        self._segments = _Runs.of(table.column("segments"))
        self._rows = 0
        self.done = 0  # how many documents were found so far

    def tokens_of(self, chunk: Chunk) -> Ids:
        """Return the encoded tokens of the documents in the next rows, see ``formats.staged``."""
        ids = chunk.columns[self._ids]
        stop = int(np.searchsorted(self._row, self._rows + len(chunk)))
        part = slice(self.done, stop)
        lengths = self._tokens[part].astype(np.int64)
        starts = ids.offsets[self._row[part] - self._rows] + self._position[part]
        self._rows += len(chunk)
        self.done = stop
        values, mask = ids.values, self._segments.mask(part)
        if int(lengths.sum()) != len(values):  # the rest is padding
            values = values[ragged_index(starts, lengths)]
        if len(mask) != len(values):
            raise ShardError("holds other documents than its index says")
        return encoded(values, mask)


class _Runs(NamedTuple):
    """The segments of documents: runs of tokens that are all trained, or all not."""

    offsets: Offsets  # int64[documents + 1]
    tokens: Ids
    trained: Mask

    @classmethod
    def of(cls, segments: Any) -> "_Runs":
        """Build from the column of an index."""
        lists = segments.combine_chunks()
        runs = lists.flatten()
        return cls(
            lists.offsets.to_numpy().astype(np.int64) - lists.offsets[0].as_py(),
            runs.field("tokens").to_numpy(),
            runs.field("trained").to_numpy(zero_copy_only=False),
        )

    def mask(self, documents: slice) -> Mask:
        """Return bool[tokens]: which tokens of these documents are trained."""
        start, stop = self.offsets[documents.start], self.offsets[documents.stop]
        return np.repeat(self.trained[start:stop], self.tokens[start:stop])


@contextmanager
def _checked(dataset: Path, entry: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """Open a file of a dataset, if it is as the manifest describes it."""
    path = dataset / entry["name"]
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        name = ascii_safe(str(path))
        raise DataError(f"{name}: cannot be read: {error.strerror}. {CURE}.") from error
    with os.fdopen(handle, "rb") as file:
        if sha256_of(file) != entry["sha256"]:
            raise DataError(
                f"{ascii_safe(str(path))}: its SHA-256 is not the one in {MANIFEST}. {CURE}."
            )
        file.seek(0)
        yield file


def _other_documents(path: Path) -> DataError:
    return DataError(f"{path}: does not hold the documents of its index. {CURE}.")
