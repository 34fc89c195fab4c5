"""The documents of a shard of a finished dataset, whatever their arrangement.

In     the folder of a dataset, its manifest, and one of its shards.
Out    the documents, in the order of the shard: what the index says of them, and their tokens in
       the staged form, which says also which of them are trained.
Keeps  memory bounded by the index of one shard and a group of its rows.
Never  trusts a file: its SHA-256 is compared before it is read.
Raises DataError: a file is damaged, or does not hold what its index says.
       OSError: a file cannot be read; the error names it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sftprep.data.ragged import Ids, Offsets, Ragged, lengths_to_offsets, ragged_index
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.index import BadIndexError, batches_of
from sftprep.dataset.manifest import Manifest, files_of
from sftprep.errors import DataError
from sftprep.formats.buffers import flags, in_one, numbers, offsets
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.staged import signs
from sftprep.formats.table import shard_chunks
from sftprep.system.files import sha256_of
from sftprep.targets.table import form_of
from sftprep.text import ascii_safe

CURE = "Run sftprep verify on the dataset, and build it again"
NEEDED = ("row", "position", "tokens", "segments")
"""The columns of the index that say where documents lie, and which of their tokens are trained."""


def index_of(
    dataset: Path,
    shard: Mapping[str, Any],
    columns: tuple[str, ...] = NEEDED,
    also: Callable[[Any], None] = lambda batch: None,
) -> Any:
    """Return columns of the index of a shard, as a ``pyarrow.Table``.

    Args:
        dataset: the folder of the dataset.
        shard: the manifest's entry of the shard.
        columns: the columns.
        also: gets each batch of the index, with all columns.
    """
    import pyarrow as pa

    entry, needed = shard["index"], []
    with checked(dataset, entry) as file:
        try:
            for batch in batches_of(file):
                also(batch)
                needed.append(batch.select(list(columns)))
        except BadIndexError as error:
            raise DataError(f"{dataset / entry['name']}: {error}. {CURE}.") from error
    if not needed:
        raise DataError(f"{dataset / entry['name']}: holds no row. {CURE}.")
    return pa.Table.from_batches(needed)


def documents_of(
    dataset: Path, manifest: Manifest, shard: Mapping[str, Any], index: Any
) -> Iterator[Ragged]:
    """Yield the tokens of the documents of a shard, a group of rows at a time.

    Args:
        dataset: the folder of the dataset.
        manifest: its manifest.
        shard: the manifest's entry of the shard.
        index: the columns ``NEEDED`` of its index.

    Yields:
        int32 tokens as ``formats.staged.encoded`` gives them, a list for each document.
    """
    recipe = manifest.recipe
    form = form_of(recipe)
    ids = next(iter(form.columns))
    documents = _Documents(index, ids)
    path = dataset / shard["name"]
    with ExitStack() as stack:
        files = [stack.enter_context(checked(dataset, entry)) for entry in files_of(shard)]
        try:
            for chunk in shard_chunks(files[0], recipe["format"], form.kinds, [ids], files[1:]):
                yield documents.tokens_of(chunk)
        except ShardError as error:
            raise DataError(f"{path}: {error}. {CURE}.") from error
    if documents.done != len(index):
        raise DataError(f"{path}: does not hold the documents of its index. {CURE}.")


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
            numbers(in_one(table.column(name))) for name in ("row", "position", "tokens")
        )
        self._segments = _Runs.of(table.column("segments"))
        self._rows = 0
        self.done = 0  # how many documents were found so far

    def tokens_of(self, chunk: Chunk) -> Ragged:
        """Return the encoded tokens of the documents in the next rows, see ``formats.staged``."""
        ids = chunk.columns[self._ids]
        stop = int(np.searchsorted(self._row, self._rows + len(chunk)))
        part = slice(self.done, stop)
        lengths = self._tokens[part].astype(np.int64)
        starts = ids.offsets[self._row[part] - self._rows] + self._position[part]
        self._rows += len(chunk)
        self.done = stop
        values, encoded = ids.values, self._segments.of_tokens(part)
        if int(lengths.sum()) != len(values):  # the rest is padding
            values = values[ragged_index(starts, lengths)]
        if len(encoded) != len(values):
            raise ShardError("holds other documents than its index says")
        encoded ^= values
        return Ragged(encoded, lengths_to_offsets(lengths))


class _Runs(NamedTuple):
    """The segments of documents: runs of tokens that are all trained, or all not."""

    offsets: Offsets  # int64[documents + 1]
    tokens: Ids
    signs: Ids  # of each run, what its tokens are combined with, see ``formats.staged``

    @classmethod
    def of(cls, segments: Any) -> "_Runs":
        """Build from the column of an index."""
        lists = in_one(segments)
        runs = lists.flatten()
        begins = offsets(lists)
        return cls(
            begins - begins[0], numbers(runs.field("tokens")), signs(flags(runs.field("trained")))
        )

    def of_tokens(self, documents: slice) -> Ids:
        """Return int32[tokens]: the sign of each token of these documents."""
        start, stop = self.offsets[documents.start], self.offsets[documents.stop]
        return np.repeat(self.signs[start:stop], self.tokens[start:stop])


@contextmanager
def checked(dataset: Path, entry: Mapping[str, Any]) -> Iterator[BinaryIO]:
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
