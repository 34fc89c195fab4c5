"""The rows of a dataset's shards in order, beside the rows that should be there.

In     the shards, part by part; ``Batch``es with the number of the shard they belong to.
Out    the first token at which the two differ, if they do.
Keeps  numpy, and one part in memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ids, Ragged
from sftprep.dataset.manifest import Manifest
from sftprep.errors import DataError
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.table import shard_chunks
from sftprep.verify.folder import Folder


class Difference(NamedTuple):
    """Where a stored row is another than the one it should be."""

    file: str  # the shard
    row: int  # in the file
    at: int | None  # the row's place in the batch; None where no row should be there
    problem: str  # what was found, and then what was expected, up to who expects it


class _Place(NamedTuple):
    """A part that has been begun."""

    part: Chunk
    first: int  # number of its first row in the file


class StoredRows:
    """Goes through the shards once.

    Args:
        files: the dataset's, whose shards have as many rows as the manifest says.
        manifest: the dataset's.
    """

    def __init__(self, files: Folder, manifest: Manifest) -> None:
        self._files = files
        self._format = manifest.recipe["format"]
        self._ignore = manifest.recipe["ignore_index"]
        self._shards = iter(manifest.shards)
        self._shard = -1  # as the batches number them
        self._name = ""  # of the file
        self._size = 0  # rows in it
        self._row = 0  # the next row in it
        self._parts: Iterator[_Place] = iter(())
        self._place: _Place | None = None

    def compare(self, shard: int, batch: Batch) -> Difference | None:
        """Compare the next rows with a batch; nothing may be asked after a difference."""
        if shard != self._shard:
            if self._row < self._size:
                return self._difference(0, "the shard goes on; it should end before this row")
            following = next(self._shards, None)
            if following is None:
                return self._difference(0, "no shard holds this row")
            self._shard, self._name, self._size = shard, following["name"], following["rows"]
            self._row, self._parts, self._place = 0, self._read(self._name), None
        done = 0
        while done < len(batch):
            place = self._here()
            if place is None:
                return self._difference(done, "the shard ends; it should hold this row")
            start = self._row - place.first
            count = min(len(batch) - done, len(place.part.labels.lengths) - start)
            found = self._compare(batch, done, place.part, start, count)
            if found is not None:
                return found
            done += count
            self._row += count
        return None

    def rest(self) -> Difference | None:
        """Rows that are stored and should not be, once all batches were compared."""
        if self._row == self._size:
            following = next(self._shards, None)
            if following is None:
                return None
            self._name, self._row = following["name"], 0
        return Difference(self._name, self._row, None, "no record of the inputs gives this row")

    def _read(self, name: str) -> Iterator[_Place]:
        first = 0
        with self._files.open(name) as file:
            try:
                for part in shard_chunks(file, self._format):
                    yield _Place(part, first)
                    first += len(part.labels.lengths)
            except ShardError as error:
                raise DataError(
                    f"{name}: {error.problem}. It was sound a moment ago: something writes to the "
                    "dataset. Run again."
                ) from error

    def _here(self) -> _Place | None:
        """The part with the next row; None at the shard's end."""
        while self._place is None or self._row >= self._place.first + len(
            self._place.part.labels.lengths
        ):
            self._place = next(self._parts, None)
            if self._place is None:
                return None
        return self._place

    def _compare(
        self, batch: Batch, done: int, part: Chunk, start: int, count: int
    ) -> Difference | None:
        """Compare ``count`` rows of both."""
        wanted = Ragged(batch.input_ids, batch.offsets[done : done + count + 1])
        stored = Ragged(part.input_ids.values, part.input_ids.offsets[start : start + count + 1])
        uneven = wanted.lengths != stored.lengths
        even = int(uneven.argmax()) if uneven.any() else count  # rows that are as long
        labels = batch.labels(self._ignore)
        here = slice(*wanted.offsets[[0, even]].tolist())
        there = slice(*stored.offsets[[0, even]].tolist())
        wrong = (wanted.values[here] != stored.values[there]) | (
            labels[here] != part.labels.values[there]
        )
        row = even
        if wrong.any():
            at = int(wrong.argmax()) + here.start
            row = int(np.searchsorted(wanted.offsets, at, "right")) - 1
        elif even == count:
            return None
        words = _tokens(wanted, labels, stored, part.labels.values, row)
        return self._difference(done + row, words, row)

    def _difference(self, index: int, words: str, ahead: int = 0) -> Difference:
        return Difference(self._name, self._row + ahead, index, words)


def _tokens(wanted: Ragged, labels: Ids, stored: Ragged, found: Ids, row: int) -> str:
    """The first token at which two rows differ, in words."""
    here, there = int(wanted.offsets[row]), int(stored.offsets[row])
    size, other = int(wanted.lengths[row]), int(stored.lengths[row])
    both = min(size, other)
    wrong = (wanted.values[here : here + both] != stored.values[there : there + both]) | (
        labels[here : here + both] != found[there : there + both]
    )
    token = int(wrong.argmax()) if wrong.any() else both
    words = []
    for values, marks, at, length in (
        (stored.values, found, there, other),
        (wanted.values, labels, here, size),
    ):
        if token < length:
            words.append(f"id {values[at + token]} with label {marks[at + token]}")
        else:
            words.append("the row's end")
    return f"token {token} is {words[0]}; expected {words[1]}"
