"""The rows of a shard as the target ``hf`` has them, whatever the target of the dataset is.

In     the chunks of a shard, in order; its index, which says where each document lies; the recipe.
Out    the same rows as chunks with the columns of ``hf``, for those who check or show rows.
Never  trusts the shard or its index: every column is made again from the ids and the loss, and
       compared.
Raises ShardError: a row does not hold the documents of the index, or one of its columns is not what
       the target has for such a row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sftprep.data.arranged import ArrangedRows
from sftprep.data.ragged import Mask, Offsets, Ragged, lengths_to_offsets, ragged_index
from sftprep.dataset.index import BadIndexError, batches_of
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.table import shard_chunks
from sftprep.targets.table import TARGETS, form_of


def canonical_chunks(
    file: BinaryIO,
    recipe: Mapping[str, Any],
    open_index: Callable[[], AbstractContextManager[BinaryIO]],
    parts: Sequence[BinaryIO] = (),
) -> Iterator[Chunk]:
    """Read a shard of any target.

    Args:
        file: the open shard.
        recipe: the recipe in the manifest.
        open_index: opens the index of the shard, which not every target needs.
        parts: the shard's other files, open, if its format has several.

    Raises:
        ShardError: the shard is damaged, or is not what the target has.
        OSError: the system failed to read it.
    """
    form = form_of(recipe)
    chunks = shard_chunks(file, recipe["format"], form.kinds, parts=parts)
    if form.columns == TARGETS["hf"].form(packed=recipe["pack"]).columns:
        yield from chunks
        return
    with open_index() as index:
        canonical = Canonical(recipe, places_of(index))
    yield from map(canonical.chunk, chunks)


class DocumentPlaces(NamedTuple):
    """Where the documents of a shard lie, in order."""

    row: Offsets  # int64: the row of each
    position: Offsets  # int64: its first token in the row
    tokens: Offsets  # int64: its length
    begins_trained: Mask  # whether its first token is trained


def places_of(file: BinaryIO) -> DocumentPlaces:
    """Read from an index where documents lie.

    Raises:
        ShardError: the file is no index.
    """
    names = ("row", "position", "tokens")
    found: dict[str, list[Any]] = {name: [np.zeros(0, np.int64)] for name in names}
    segments = []
    try:
        for batch in batches_of(file):
            segments.append(batch.column("segments"))
            for name, values in found.items():
                values.append(batch.column(name).to_numpy())
    except BadIndexError as error:
        raise ShardError(f"has an index that cannot be used: {error.problem}") from error
    row, position, tokens = (np.concatenate(values).astype(np.int64) for values in found.values())
    return DocumentPlaces(row, position, tokens, begins_trained(segments))


def begins_trained(segments: Sequence[Any]) -> Mask:
    """Return bool[documents]: whether the first token of each is trained.

    Args:
        segments: the column of this name of an index, as Arrow arrays.
    """
    found: list[Mask] = [np.zeros(0, np.bool_)]
    for chunk in segments:
        offsets = chunk.offsets.to_numpy()
        trained = chunk.values.field("trained").to_numpy(zero_copy_only=False)
        found.append(trained[offsets[:-1]])
    return np.concatenate(found)


class Canonical:
    """Converts the chunks of one shard.

    Args:
        recipe: the recipe in the manifest.
        places: where the documents of the shard lie.
    """

    def __init__(self, recipe: Mapping[str, Any], places: DocumentPlaces) -> None:
        self._form = form_of(recipe)
        self._packed: bool = recipe["pack"]
        self._isolated: bool = self._packed or recipe["pad"] != "none"
        self._hf = TARGETS["hf"].form(packed=self._packed)
        self._ignore_index: int = recipe["ignore_index"]
        self._places = places
        self._rows = 0  # how many rows are done
        self._documents = 0

    def chunk(self, chunk: Chunk) -> Chunk:
        """Convert the next rows.

        Raises:
            ShardError: see above.
        """
        rows = self._arranged(chunk)
        expected = self._form.columns_of(rows, self._ignore_index)
        for name, column in expected.items():
            found = chunk.columns[name]
            self._compare(name, found, Ragged(column.values.astype(np.int32), column.offsets))
        self._rows += len(chunk)
        return Chunk(
            {
                name: Ragged(column.values.astype(np.int32, copy=False), column.offsets)
                for name, column in self._hf.columns_of(rows, self._ignore_index).items()
            }
        )

    def _arranged(self, chunk: Chunk) -> ArrangedRows:
        ids = self._form.ids_of(chunk.columns)
        loss = self._form.loss_of(chunk.columns)
        self._refuse(
            ids.lengths != loss.lengths, "has not one number for each token in every column"
        )
        mask = self._form.loss_mask_of(chunk.columns, self._ignore_index)
        first = self._documents
        starts, tokens, row = self._next_documents(ids.offsets)
        if not (self._isolated or self._form.keeps_first):
            mask[starts] = self._places.begins_trained[first : self._documents]
        real = np.zeros(len(ids.values), np.bool_)
        real[ragged_index(starts, tokens)] = True
        counts = np.bincount(row, minlength=len(chunk)).astype(np.int64)
        self._refuse(counts == 0, "holds no document of the index")
        return ArrangedRows(
            ids.values,
            mask,
            ids.offsets,
            None if real.all() else real,
            Ragged(tokens.astype(np.int32), lengths_to_offsets(counts)) if self._packed else None,
        )

    def _next_documents(self, offsets: Offsets) -> tuple[Offsets, Offsets, Offsets]:
        """Return where the documents of the next rows begin, their lengths, and their rows."""
        first, count = self._documents, len(offsets) - 1
        row = self._places.row[first:] - self._rows
        stop = int(np.searchsorted(row, count))
        row = row[:stop]
        part = slice(first, first + stop)
        position, tokens = self._places.position[part], self._places.tokens[part]
        wrong = np.zeros(count, np.bool_)
        if (row < 0).any() or (np.diff(row) < 0).any():
            raise ShardError("has an index whose rows are not in order")
        starts = offsets[row] + position
        ends = starts + tokens
        bad = (position < 0) | (tokens <= 0) | (ends > offsets[row + 1])
        bad[1:] |= starts[1:] < ends[:-1]
        wrong[row[bad]] = True
        self._refuse(wrong, "does not hold the documents of its index")
        self._documents = first + stop
        return starts, tokens, row

    def _refuse(self, wrong: Mask, problem: str) -> None:
        if wrong.any():
            raise ShardError(problem, self._rows + int(wrong.argmax()))

    def _compare(self, name: str, found: Ragged, wanted: Ragged) -> None:
        """Raise an error for the first value that differs."""
        self._refuse(
            found.lengths != wanted.lengths, f"has another number of {name} than it should"
        )
        wrong = found.values != wanted.values
        if wrong.any():
            at = int(wrong.argmax())
            row = int(np.searchsorted(wanted.offsets, at, side="right")) - 1
            raise ShardError(
                f"{name}[{at - int(wanted.offsets[row])}] is {found.values[at]}; expected "
                f"{wanted.values[at]}",
                self._rows + row,
            )
