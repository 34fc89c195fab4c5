"""Rows of a finished dataset, as text.

In     a dataset's folder, the number of the first row (from 0, over all shards), how many.
Out    text: what the dataset is, and its rows.
Keeps  reading small: the manifest says which shard holds a row; no other is opened.
Never  changes anything, or shows a label as trained that is neither the id nor the ignore index.
Raises UsageError: no such row. OutputError: no dataset. DataError, StorageError: a damaged one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftprep.dataset.manifest import load_manifest
from sftprep.errors import DataError, StorageError, UsageError
from sftprep.formats.chunks import ShardError
from sftprep.formats.table import Rows, read_shard
from sftprep.text import ascii_safe
from sftprep.views.token_text import Row, legend, show_row
from sftprep.views.vocabulary import Vocabulary

REBUILD = "The dataset is damaged: build it again."


def inspect_dataset(folder: str, *, row: int, rows: int, colour: bool) -> str:
    """Rows ``row`` to ``row + rows - 1`` of a dataset (fewer where it ends), for a terminal."""
    dataset = Dataset(Path(folder))
    found = list(dataset.rows(row, rows))
    vocabulary = dataset.vocabulary()
    shown = [show_row(each, vocabulary, colour=colour) for each in found]
    return "\n\n".join([f"{dataset.describe()}\n{legend(colour=colour)}", *shown])


class Dataset:
    """A finished dataset.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = load_manifest(folder)
        self.size = sum(shard["rows"] for shard in self.manifest.shards)
        self._open: tuple[str, Rows] | None = None  # the shard that was read last

    def vocabulary(self) -> Vocabulary:
        """Of the tokenizer that is kept beside the shards."""
        path = self.folder / "tokenizer" / "tokenizer.json"
        try:
            return Vocabulary(path.read_bytes(), str(path))
        except OSError as error:
            raise _unreadable(path, error) from error

    def describe(self) -> str:
        """One line: what the dataset is."""
        manifest, shards = self.manifest, len(self.manifest.shards)
        return ascii_safe(
            f"{self.folder}: {_number(self.size, 'row')} in {_number(shards, 'shard')}, template "
            f"{manifest.template['name']}, tokenizer {manifest.tokenizer['name']}"
        )

    def rows(self, first: int, count: int) -> Iterator[Row]:
        """The rows from ``first`` on, ``count`` at the most."""
        if count < 1:
            raise UsageError(f"--rows is {count}; expected 1 or more.")
        if not 0 <= first < self.size:
            raise UsageError(
                f"--row {first}: {self.folder} has {_number(self.size, 'row')}, "
                f"numbered 0 to {self.size - 1}. Choose one of them."
            )
        for number in range(first, min(first + count, self.size)):
            yield self._row(number)

    def _row(self, number: int) -> Row:
        shard, index = self._place(number)
        held = self._shard(shard)
        start, end = held.input_ids.offsets[index : index + 2].tolist()
        ids, labels = held.input_ids.values[start:end], held.labels[start:end]
        ignored = self.manifest.recipe["ignore_index"]
        trained = labels != ignored
        for position in (trained & (labels != ids)).nonzero()[0].tolist():
            raise DataError(
                f"{self.folder / shard['name']}: row {index}, token {position}: the label is "
                f"{labels[position]}; expected {ids[position]}, its id, or {ignored}. {REBUILD}"
            )
        return Row(
            number=number,
            ids=ids.tolist(),
            trained=trained.tolist(),
            place=f"row {index:,} of {shard['name']}" if len(self.manifest.shards) > 1 else "",
        )

    def _place(self, number: int) -> tuple[dict[str, Any], int]:
        """The shard of a row, and the row's number in it."""
        for shard in self.manifest.shards:
            if number < shard["rows"]:
                return shard, number
            number -= shard["rows"]
        raise IndexError(number)

    def _shard(self, shard: dict[str, Any]) -> Rows:
        name = shard["name"]
        if self._open is None or self._open[0] != name:
            path = self.folder / name
            try:
                rows = read_shard(path, self.manifest.recipe["format"])
            except (OSError, ShardError) as error:
                raise _unreadable(path, error) from error
            found = len(rows.input_ids.lengths)
            if found != shard["rows"]:
                raise DataError(
                    f"{path}: holds {_number(found, 'row')}; the manifest says {shard['rows']:,}. "
                    f"{REBUILD}"
                )
            self._open = name, rows
        return self._open[1]


def _unreadable(path: Path, error: OSError | ShardError) -> StorageError | DataError:
    if isinstance(error, OSError):
        return StorageError(f"{path}: cannot be read: {error.strerror}. {REBUILD}")
    return DataError(f"{path}: {error}. {REBUILD}")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
