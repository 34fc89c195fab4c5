"""Show rows of a finished dataset.

In     the folder of a dataset; the number of the first row, counted from 0 over all shards; how
       many rows.
Out    text: a line about the dataset, and the rows, each with the records that it comes from.
Keeps  reading to what is needed: the manifest says which shards hold the rows, and no others are
       opened.
Never  changes anything. Never shows a row in which a label is neither the id nor the ignore index.
Raises UsageError: there is no such row. NoInputError: there is no dataset. DataError, StorageError:
       the dataset is damaged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sftprep.data.block import place_in
from sftprep.dataset.files import TOKENIZER
from sftprep.dataset.index import BadIndexError, read_index
from sftprep.dataset.manifest import load_manifest
from sftprep.errors import DataError, StorageError, UsageError
from sftprep.formats.chunks import ShardError
from sftprep.formats.table import Rows, read_shard
from sftprep.text import ascii_safe, number
from sftprep.views.token_text import Row, legend, show_row
from sftprep.views.vocabulary import Vocabulary

CURE = "The dataset is damaged: build it again."
MOST_RECORDS = 3
"""How many records of a packed row are named."""


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
        return Row(
            number=row,
            ids=ids.tolist(),
            trained=trained.tolist(),
            place=", ".join(self._places(shard, index, records)),
        )

    def _places(self, shard: dict[str, Any], row: int, records: Any) -> Iterator[str]:
        """Yield where a row comes from, and where it is."""
        columns = {name: records.column(name).to_numpy() for name in ("row", "source", "line")}
        found = np.flatnonzero(columns["row"] == row)
        offset = records.column("offset").is_null().to_numpy()
        for at in found[:MOST_RECORDS].tolist():
            source, line = int(columns["source"][at]), int(columns["line"][at])
            if not 0 <= source < len(self.manifest.inputs):
                raise DataError(
                    f"{self.folder / shard['index']['name']}: row {at}: the source is {source}; "
                    f"the manifest lists {number(len(self.manifest.inputs), 'input')}. {CURE}"
                )
            yield place_in(self.manifest.inputs[source]["name"], line, None if offset[at] else 0)
        if len(found) > MOST_RECORDS:
            yield f"{len(found) - MOST_RECORDS:,} more"
        if len(self.manifest.shards) > 1:
            yield f"row {row:,} of {shard['name']}"

    def _place(self, row: int) -> tuple[dict[str, Any], int]:
        """Return the shard that holds a row, and the row's number in that shard."""
        for shard in self.manifest.shards:
            if row < shard["rows"]:
                return shard, row
            row -= shard["rows"]
        raise IndexError(row)

    def _read(self, shard: dict[str, Any]) -> tuple[Rows, Any]:
        """Return the rows of a shard, and its index as a ``pyarrow.Table``."""
        name = shard["name"]
        if self._last_read is None or self._last_read[0] != name:
            path = self.folder / name
            try:
                rows = read_shard(path, self.manifest.recipe["format"])
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
            return read_index(path, ["row", "source", "line", "offset"])
        except (OSError, BadIndexError) as error:
            raise _unreadable(path, error) from error


def _unreadable(
    path: Path, error: OSError | ShardError | BadIndexError
) -> StorageError | DataError:
    """Return the error for a file that the system cannot read, or that is not what it should be."""
    if isinstance(error, OSError):
        return StorageError(f"{path}: cannot be read: {error.strerror}. {CURE}")
    return DataError(f"{path}: {error}. {CURE}")
