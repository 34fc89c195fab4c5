"""Show rows of a finished dataset.

In     the folder of a dataset; the number of the first row, counted from 0 over all shards; how
       many rows.
Out    text: a line about the dataset, and the rows, each with the record that it comes from; the
       documents of a pack each with its own. Padding is only counted.
Keeps  reading to what is needed: the manifest says which shards hold the rows, and no others are
       opened.
Never  changes anything. Never shows a row in which a label is neither the id nor the ignore index.
Raises UsageError: there is no such row. NoInputError: there is no dataset. DataError, StorageError:
       the dataset is damaged.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sftprep.data.block import place_in
from sftprep.data.ragged import Ragged
from sftprep.dataset.canonical import canonical_chunks
from sftprep.dataset.files import TOKENIZER
from sftprep.dataset.index import BadIndexError, read_index
from sftprep.dataset.manifest import files_of, load_manifest
from sftprep.errors import DataError, StorageError, UsageError
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.table import Rows, read_shard
from sftprep.targets.contents import IDS, LABELS
from sftprep.targets.table import form_of
from sftprep.text import ascii_safe, number
from sftprep.views.token_text import Part, Row, legend, show_row
from sftprep.views.vocabulary import Vocabulary

CURE = "The dataset is damaged: build it again."
INDEX_COLUMNS = ("row", "position", "tokens", "source", "line", "offset", "answer")


def inspect_dataset(folder: str, *, row: int, rows: int, colour: bool) -> str:
    """Return rows of a dataset as text.

    Args:
        folder: the folder of the dataset.
        row: the number of the first row.
        rows: how many rows; fewer are shown if the dataset ends before that.
        colour: True to mark text with colours; False to mark it with plain characters.
    """
    dataset = Dataset(Path(folder))
    found = list(dataset.rows(row, rows))
    vocabulary = dataset.vocabulary()
    bodies = [show_row(each, vocabulary, colour=colour) for each in found]
    return "\n\n".join([f"{dataset.describe()}\n{legend(colour=colour)}", *bodies])


class Dataset:
    """A finished dataset, whose rows can be read by their number.

    Args:
        folder: the folder of the dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = load_manifest(folder)
        self.size = sum(shard["rows"] for shard in self.manifest.shards)
        self._last_read: tuple[str, Rows, Any] | None = None  # a shard's name, rows and index

    def vocabulary(self) -> Vocabulary:
        """Load the vocabulary of the tokenizer that is stored with the shards."""
        path = self.folder / TOKENIZER / "tokenizer.json"
        try:
            return Vocabulary(path.read_bytes(), str(path))
        except OSError as error:
            raise _unreadable(path, error) from error

    def describe(self) -> str:
        """Return one line about the dataset."""
        manifest, shards = self.manifest, len(self.manifest.shards)
        return ascii_safe(
            f"{self.folder}: {number(self.size, 'row')} in {number(shards, 'shard')}, template "
            f"{manifest.template['name']}, tokenizer {manifest.tokenizer['name']}"
        )

    def rows(self, first: int, count: int) -> Iterator[Row]:
        """Yield ``count`` rows from row ``first`` on, or fewer if the dataset ends before that."""
        if count < 1:
            raise UsageError(f"--rows is {count}; expected 1 or more.")
        if not 0 <= first < self.size:
            raise UsageError(
                f"--row {first}: {self.folder} has {number(self.size, 'row')}, "
                f"numbered 0 to {self.size - 1}. Choose one of them."
            )
        for row in range(first, min(first + count, self.size)):
            yield self._row(row)

    def _row(self, row: int) -> Row:
        shard, index = self._place(row)
        stored, records = self._read(shard)
        start, end = stored.input_ids.offsets[index : index + 2].tolist()
        ids, labels = stored.input_ids.values[start:end], stored.labels[start:end]
        ignore_index = self.manifest.recipe["ignore_index"]
        trained = labels != ignore_index
        for token in (trained & (labels != ids)).nonzero()[0].tolist():
            raise DataError(
                f"{self.folder / shard['name']}: row {index}, token {token}: the label is "
                f"{labels[token]}; expected {ids[token]}, its id, or {ignore_index}. {CURE}"
            )
        documents = self._documents(shard, index, records)
        is_whole = [(part.start, part.stop) for part in documents] == [(0, len(ids))]
        places = [documents[0].heading if is_whole else number(len(documents), "document")]
        if len(self.manifest.shards) > 1:
            places.append(f"row {index:,} of {shard['name']}")
        return Row(
            number=row,
            ids=ids.tolist(),
            trained=trained.tolist(),
            place=", ".join(places),
            parts=() if is_whole else tuple(self._parts(shard, index, documents, len(ids))),
        )

    def _documents(self, shard: dict[str, Any], row: int, index: Any) -> list[Part]:
        """Return the documents of a row, each with its record's place in the input."""
        found = np.flatnonzero(index.column("row").to_numpy() == row)
        documents = []
        for at, entry in zip(found.tolist(), index.take(found).to_pylist(), strict=True):
            source = entry["source"]
            if not 0 <= source < len(self.manifest.inputs):
                raise DataError(
                    f"{self.folder / shard['index']['name']}: row {at}: the source is {source}; "
                    f"the manifest lists {number(len(self.manifest.inputs), 'input')}. {CURE}"
                )
            place = place_in(self.manifest.inputs[source]["name"], entry["line"], entry["offset"])
            if entry["answer"]:
                place += f", example {entry['answer'] + 1}"
            start = entry["position"]
            documents.append(Part(place, start, start + entry["tokens"]))
        if not documents:
            raise self._contradiction(shard, row)
        return documents

    def _contradiction(self, shard: dict[str, Any], row: int) -> DataError:
        path = self.folder / shard["index"]["name"]
        return DataError(f"{path}: contradicts row {row} of {shard['name']}. {CURE}")

    def _parts(
        self, shard: dict[str, Any], row: int, documents: Sequence[Part], length: int
    ) -> Iterator[Part]:
        """Yield the documents of a row under their headings, and the padding between them."""
        end = 0
        for place, part in enumerate(documents, 1):
            if not end <= part.start < part.stop <= length:
                raise self._contradiction(shard, row)
            yield from _padding(end, part.start)
            of_several = f" {place} of {len(documents)}" if len(documents) > 1 else ""
            yield part._replace(heading=f"document{of_several}, {part.heading}")
            end = part.stop
        yield from _padding(end, length)

    def _place(self, row: int) -> tuple[dict[str, Any], int]:
        """Return the shard that holds a row, and the row's number in that shard."""
        for shard in self.manifest.shards:
            if row < shard["rows"]:
                return shard, row
            row -= shard["rows"]
        raise IndexError(row)

    def _rows_of(self, shard: dict[str, Any]) -> Rows:
        recipe, path = self.manifest.recipe, self.folder / shard["name"]
        columns = form_of(recipe).columns
        if columns.get("input_ids") is IDS and columns.get("labels") is LABELS:
            return read_shard(path, recipe["format"])
        with ExitStack() as stack:
            file, *parts = [
                stack.enter_context((self.folder / entry["name"]).open("rb"))
                for entry in files_of(shard)
            ]
            open_index = partial((self.folder / shard["index"]["name"]).open, "rb")
            return _joined(canonical_chunks(file, recipe, open_index, parts))

    def _read(self, shard: dict[str, Any]) -> tuple[Rows, Any]:
        """Return the rows of a shard, and its index as a ``pyarrow.Table``."""
        name = shard["name"]
        if self._last_read is None or self._last_read[0] != name:
            path = self.folder / name
            try:
                rows = self._rows_of(shard)
            except (OSError, ShardError) as error:
                raise _unreadable(path, error) from error
            found = len(rows.input_ids.lengths)
            if found != shard["rows"]:
                raise DataError(
                    f"{path}: holds {number(found, 'row')}; the manifest says {shard['rows']:,}. "
                    f"{CURE}"
                )
            self._last_read = name, rows, self._read_index(shard)
        return self._last_read[1:]

    def _read_index(self, shard: dict[str, Any]) -> Any:
        path = self.folder / shard["index"]["name"]
        try:
            return read_index(path, INDEX_COLUMNS)
        except (OSError, BadIndexError) as error:
            raise _unreadable(path, error) from error


def _joined(chunks: Iterator[Chunk]) -> Rows:
    parts = list(chunks)
    ids = Ragged.concatenate([Ragged.of([]), *(part.input_ids for part in parts)])
    return Rows(ids, np.concatenate([np.zeros(0, np.int32), *(p.labels.values for p in parts)]))


def _padding(start: int, stop: int) -> Iterator[Part]:
    """Yield the part for some tokens of padding, if there are any."""
    if stop > start:
        yield Part(f"{number(stop - start, 'token')} of padding", start, stop, is_shown=False)


def _unreadable(
    path: Path, error: OSError | ShardError | BadIndexError
) -> StorageError | DataError:
    """Return the error for a file that the system cannot read, or that is not what it should be."""
    if isinstance(error, OSError):
        return StorageError(f"{path}: cannot be read: {error.strerror}. {CURE}")
    return DataError(f"{path}: {error}. {CURE}")
