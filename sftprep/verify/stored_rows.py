"""Compare the stored rows of a dataset with rows that were rebuilt from its inputs.

In     the shards of a dataset, read chunk by chunk; ``Batch``es in input order, each with the
       number of the shard that it belongs to.
Out    the first token that differs, if there is one.
Keeps  the work in numpy, and only one chunk in memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ids, Ragged
from sftprep.dataset.canonical import canonical_chunks
from sftprep.dataset.manifest import Manifest, files_of
from sftprep.errors import DataError
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.verify.folder import DatasetFolder


class RowDifference(NamedTuple):
    """The place of the first difference between the stored and the rebuilt rows."""

    file: str  # the shard
    row: int  # number of the stored row in the shard, from 0
    batch_row: int | None  # number of the rebuilt row in its batch; None if there is none
    problem: str


class _OpenChunk(NamedTuple):
    """The chunk that holds the next stored row."""

    chunk: Chunk
    first: int  # number of its first row in the shard

    @property
    def end(self) -> int:
        """The number of the row that follows its last row."""
        return self.first + len(self.chunk.labels.lengths)


class StoredRows:
    """Reads the rows of all shards once, in order, in step with the rebuilt rows.

    Args:
        folder: the folder of the dataset; its shards have as many rows as the manifest says.
        manifest: the manifest of the dataset.
    """

    def __init__(self, folder: DatasetFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._recipe = manifest.recipe
        self._ignore_index = manifest.recipe["ignore_index"]
        self._shards = iter(manifest.shards)
        self._shard = -1  # the number of the current shard, from 0, as the caller counts shards
        self._name = ""  # the name of its file
        self._size = 0  # how many rows it has
        self._row = 0  # the number of its next row
        self._chunks: Iterator[_OpenChunk] = iter(())
        self._open: _OpenChunk | None = None

    def compare(self, shard: int, batch: Batch) -> RowDifference | None:
        """Compare the next stored rows with a batch.

        Do not call this again after it returned a difference.

        Args:
            shard: the shard that the batch belongs to.
            batch: the next rebuilt rows.
        """
        if shard != self._shard:
            if self._row < self._size:
                problem = "the shard should end before this row: a new shard should start here"
                return self._difference(0, problem)
            following = next(self._shards, None)
            if following is None:
                return self._difference(0, "is missing: the dataset ends before it")
            self._shard, self._name, self._size = shard, following["name"], following["rows"]
            self._row, self._chunks, self._open = 0, self._read(following), None
        done = 0
        while done < len(batch):
            stored = self._next_chunk()
            if stored is None:
                return self._difference(done, "is missing: the shard ends before it")
            start = self._row - stored.first
            count = min(len(batch) - done, stored.end - self._row)
            found = self._compare(batch, done, stored.chunk, start, count)
            if found is not None:
                return found
            done += count
            self._row += count
        return None

    def rest(self) -> RowDifference | None:
        """Return the first stored row that is left after all batches; None if none is."""
        if self._row == self._size:
            following = next(self._shards, None)
            if following is None:
                return None
            self._name, self._row = following["name"], 0
        problem = "no record of the inputs gives this row"
        return RowDifference(self._name, self._row, None, problem)

    def _read(self, shard: Mapping[str, Any]) -> Iterator[_OpenChunk]:
        first, name, index = 0, shard["name"], shard["index"]["name"]
        with ExitStack() as stack:
            file, *parts = [
                stack.enter_context(self._folder.open(entry["name"])) for entry in files_of(shard)
            ]
            try:
                for chunk in canonical_chunks(
                    file, self._recipe, partial(self._folder.open, index), parts
                ):
                    stored = _OpenChunk(chunk, first)
                    yield stored
                    first = stored.end
            except ShardError as error:
                raise DataError(
                    f"{name}: {error.problem}. It could be read a moment ago, so something else "
                    "is writing to the dataset. Run verify again when nothing does."
                ) from error

    def _next_chunk(self) -> _OpenChunk | None:
        """Return the chunk that holds the next row; None at the end of the shard."""
        while self._open is None or self._row >= self._open.end:
            self._open = next(self._chunks, None)
            if self._open is None:
                return None
        return self._open

    def _compare(
        self, batch: Batch, done: int, chunk: Chunk, start: int, count: int
    ) -> RowDifference | None:
        """Compare ``count`` rows: the batch's from ``done`` on, the chunk's from ``start`` on."""
        expected = Ragged(batch.input_ids, batch.offsets[done : done + count + 1])
        stored = Ragged(chunk.input_ids.values, chunk.input_ids.offsets[start : start + count + 1])
        uneven = expected.lengths != stored.lengths
        even = int(uneven.argmax()) if uneven.any() else count  # rows before the first uneven one
        labels = batch.labels(self._ignore_index)
        here = slice(*expected.offsets[[0, even]].tolist())
        there = slice(*stored.offsets[[0, even]].tolist())
        wrong = (expected.values[here] != stored.values[there]) | (
            labels[here] != chunk.labels.values[there]
        )
        row = even
        if wrong.any():
            at = int(wrong.argmax()) + here.start
            row = int(np.searchsorted(expected.offsets, at, "right")) - 1
        elif even == count:
            return None
        problem = _first_difference(expected, labels, stored, chunk.labels.values, row)
        return self._difference(done + row, problem, row)

    def _difference(self, batch_row: int, problem: str, ahead: int = 0) -> RowDifference:
        return RowDifference(self._name, self._row + ahead, batch_row, problem)


def _first_difference(
    expected: Ragged, labels: Ids, stored: Ragged, stored_labels: Ids, row: int
) -> str:
    """Describe the first token in which two rows differ."""
    here, there = int(expected.offsets[row]), int(stored.offsets[row])
    size, stored_size = int(expected.lengths[row]), int(stored.lengths[row])
    common = min(size, stored_size)
    wrong = (expected.values[here : here + common] != stored.values[there : there + common]) | (
        labels[here : here + common] != stored_labels[there : there + common]
    )
    token = int(wrong.argmax()) if wrong.any() else common
    found, wanted = f"the row ends before token {token}", "the row to end before it"
    if token < stored_size:
        token_id, label = stored.values[there + token], stored_labels[there + token]
        found = f"token {token} is id {token_id} with label {label}"
    if token < size:
        token_id, label = expected.values[here + token], labels[here + token]
        wanted = f"id {token_id} with label {label}"
    return f"{found}; expected {wanted}"
