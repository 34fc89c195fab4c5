"""Compare an arranged dataset with what its inputs give now, row by row.

In     the rows that the inputs give now; how the dataset was arranged; its shards and indexes,
       which all match the manifest.
Out    the plan that is made again; the first row or index entry that differs from it, with the
       record that gives it; and what the rows of the plan are counted as.
Keeps  memory flat: the rows wait in a temporary folder, as a run's rows wait in its staging folder,
       and are gathered by the code that gathers a run's.
Raises UsageError: these rows cannot be arranged as the manifest says.
       DataError: something else changes the dataset.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from sftprep.arrange.arrange import arrange
from sftprep.arrange.near import Tokens
from sftprep.arrange.options import Arrangement
from sftprep.arrange.plan import Plan
from sftprep.data.batch import Batch
from sftprep.data.block import place_in
from sftprep.data.columns import Columns, rows_in
from sftprep.data.ragged import Offsets, Ragged
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.gather import Gatherer, Layout, RowSlice, rows_of
from sftprep.dataset.index import BadIndexError, IndexWriter, batches_of, comparable, table_of
from sftprep.dataset.manifest import Manifest, files_of
from sftprep.dataset.outcome import Places
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.dataset.staged_rows import StagedRows
from sftprep.errors import DataError
from sftprep.formats import staged
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.table import shard_chunks
from sftprep.targets.table import form_of
from sftprep.text import ascii_safe
from sftprep.verify.folder import DatasetFolder
from sftprep.verify.layout import layout_of


class RebuiltRows:
    """Keeps the rows that the inputs give in a temporary folder, in the staged form.

    Args:
        folder: an existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = ShardPaths(folder / "tokens", folder / "index")
        self._tokens = self._paths.shard.open("xb")
        self._index_file = self._paths.index_file.open("xb")
        self._writer = staged.Writer(self._tokens)
        self._index = IndexWriter(self._index_file, "arrow")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tokens.close()
        self._index_file.close()

    def add(self, batch: Batch) -> None:
        """Add the next rows, in input order."""
        self._writer.write(staged.columns_of(batch))
        nowhere = np.zeros(len(batch), np.int64)
        self._index.write(table_of(batch, nowhere, nowhere.astype(np.int32)))
        self._count += len(batch)

    def finish(self) -> StagedRows:
        """Return all rows, after the last one was added; there is at least one."""
        self._writer.close()
        self._index.close()
        self._tokens.flush()
        self._index_file.flush()
        return StagedRows([self._paths])


def plan_again(rows: StagedRows, arrangement: Arrangement) -> Plan:
    """Plan what becomes of the rows that the inputs give now."""

    def tokens_of(wanted: Offsets) -> Tokens:
        found = rows.tokens(wanted)
        return Tokens(*staged.decoded(found.values), found.offsets)

    return arrange(rows.columns(), arrangement, tokens_of)


class Difference(NamedTuple):
    """The first place in which a dataset differs from what its inputs give."""

    file: str
    row: int | None  # the number of the row in the file
    problem: str


def compare_arranged(
    folder: DatasetFolder, manifest: Manifest, rows: StagedRows, plan: Plan
) -> tuple[Counter[str], Difference | None]:
    """Compare the shards of a dataset, and their indexes, with those that a plan gives.

    Args:
        folder: the folder of the dataset.
        manifest: its manifest.
        rows: the rows that the inputs give now.
        plan: what becomes of them.

    Returns:
        What the rows are counted as, up to the first difference, and this difference.
    """
    layout = layout_of(manifest)
    pad_left = layout.pad.side == "left"
    gatherer = Gatherer(
        rows,
        Layout(layout.packed, layout.padded, layout.pad_id or 0, pad_left),
        partial(form_of(manifest.recipe).columns_of, ignore_index=manifest.recipe["ignore_index"]),
    )
    records = _Records(rows, manifest, pad_left=pad_left)
    splits = {split.name: split for split in plan.splits}
    done: Counter[str] = Counter()  # split -> rows that were compared
    counts: Counter[str] = Counter()
    for shard in manifest.shards:
        name = shard["split"]
        start, stop = done[name], done[name] + shard["rows"]
        size = len(splits[name].lengths) if name in splits else 0
        if start < min(stop, size):
            expected = rows_of(splits[name], start, min(stop, size))
            stored, index = _StoredRows(folder, manifest, shard), _StoredIndex(folder, shard)
            try:
                written = gatherer.write(expected, stored, index, lambda: None)
            except _RowDiffersError as error:
                document = records.document_at(expected, error.row, error.token)
                return counts, records.name(error.difference, document)
            except _EntryDiffersError as error:
                return counts, records.name(error.difference, expected.documents[error.document])
            counts.update(written.counts)
            counts.update(tokens=written.tokens, trained_tokens=written.trained_tokens)
        if stop > size:
            problem = "no record of the inputs gives this row"
            return counts, Difference(shard["name"], max(size - start, 0), problem)
        done[name] = stop
    for name, split in splits.items():
        if done[name] < len(split.lengths):
            last = [shard["name"] for shard in manifest.shards if shard["split"] == name]
            problem = f"the {name} split lacks a row after its last one"
            missing = Difference(last[-1] if last else MANIFEST, None, problem)
            return counts, records.name(missing, split.rows[split.packs[done[name]]])
    return counts, None


class _RowDiffersError(Exception):
    """A row of a shard differs, so the rest need not be compared."""

    def __init__(self, difference: Difference, row: int, token: int) -> None:
        super().__init__(difference.problem)
        self.difference = difference
        self.row = row  # in the shard
        self.token = token  # in the row


class _EntryDiffersError(Exception):
    """An entry of an index differs, so the rest need not be compared."""

    def __init__(self, difference: Difference, document: int) -> None:
        super().__init__(difference.problem)
        self.difference = difference
        self.document = document  # its number in the shard


class _Records:
    """Says which record gives a document.

    Args:
        rows: the rows that the inputs give now.
        manifest: the manifest of the dataset.
        pad_left: whether the padding of a row is on its left.
    """

    def __init__(self, rows: StagedRows, manifest: Manifest, *, pad_left: bool) -> None:
        self._places = Places(rows, [entry["name"] for entry in manifest.inputs])
        self._tokens = rows.column("tokens")
        self._pad_left = pad_left

    def name(self, found: Difference, document: int) -> Difference:
        """Add the record of a document to a difference."""
        (place,) = self._places.of(np.array([document]))
        line = place["line"] if "line" in place else place["row"]
        record = place_in(place["file"], line, place.get("offset"))
        return found._replace(problem=f"{found.problem} (record {record})")

    def document_at(self, rows: RowSlice, row: int, token: int) -> int:
        """Return the document that should be at a token of a row."""
        documents = rows.documents[int(rows.packs[row]) : int(rows.packs[row + 1])]
        ends = np.cumsum(self._tokens[documents])
        padding = int(rows.lengths[row]) - int(ends[-1]) if self._pad_left else 0
        place = int(np.searchsorted(ends, token - padding, side="right"))
        return int(documents[min(place, len(documents) - 1)])


class _StoredRows:
    """Compares the rows of one shard with groups of columns, one group after the other.

    Args:
        folder: the folder of the dataset.
        manifest: its manifest.
        shard: the entry of the shard in it.
    """

    def __init__(self, folder: DatasetFolder, manifest: Manifest, shard: Mapping[str, Any]) -> None:
        self._name: str = shard["name"]
        self._files: list[str] = [entry["name"] for entry in files_of(shard)]
        self._format = manifest.recipe["format"]
        self._kinds = form_of(manifest.recipe).kinds
        self._chunks = self._read(folder)
        self._chunk = Chunk({"input_ids": Ragged.of([])})
        self._used = 0  # rows of the chunk that were compared
        self._row = 0  # the number of the next row in the shard

    def write(self, group: Columns) -> None:
        """Compare the next rows with a group; raise _RowDiffersError if one differs."""
        done, count = 0, rows_in(group)
        while done < count:
            if self._used == len(self._chunk):
                self._chunk, self._used = next(self._chunks), 0
            part = min(count - done, len(self._chunk) - self._used)
            for name, column in group.items():
                self._compare(
                    name,
                    _part(self._chunk.columns[name], self._used, part),
                    _part(Ragged(column.values, column.offsets), done, part),
                )
            done += part
            self._used += part
            self._row += part

    def _compare(self, name: str, found: Ragged, wanted: Ragged) -> None:
        place = _first_difference(found, wanted)
        if place is None:
            return
        row, at = place
        stored, expected = found.row(row), wanted.row(row)
        if at < min(len(stored), len(expected)):
            problem = f"{name}[{at}] is {stored[at]}; expected {expected[at]}"
        else:
            problem = f"holds {len(stored):,} {name}; expected {len(expected):,}"
        row += self._row
        token = 0 if name == "seq_lengths" else at
        raise _RowDiffersError(Difference(self._name, row, problem), row, token)

    def _read(self, folder: DatasetFolder) -> Iterator[Chunk]:
        with ExitStack() as stack:
            file, *parts = [stack.enter_context(folder.open(name)) for name in self._files]
            try:
                yield from shard_chunks(file, self._format, self._kinds, parts=parts)
            except ShardError as error:
                raise _changed(self._name, error.problem) from error
        raise _changed(self._name, "has fewer rows than before")


class _StoredIndex:
    """Compares the index of one shard with tables, one after the other.

    Args:
        folder: the folder of the dataset.
        shard: the entry of the shard in the manifest.
    """

    def __init__(self, folder: DatasetFolder, shard: Mapping[str, Any]) -> None:
        self._name: str = shard["index"]["name"]
        self._batches = self._read(folder)
        self._batch: Any = ()
        self._used = 0  # documents of the batch that were compared
        self._document = 0  # the number of the next document in the shard

    def write(self, group: Any) -> None:
        """Compare the next documents with a table; raise _EntryDiffersError if one differs."""
        done = 0
        while done < len(group):
            if self._used == len(self._batch):
                self._batch, self._used = next(self._batches), 0
            part = min(len(group) - done, len(self._batch) - self._used)
            self._compare(self._batch.slice(self._used, part), group.slice(done, part))
            done += part
            self._used += part
            self._document += part

    def _compare(self, found: Any, wanted: Any) -> None:
        for name in wanted.schema.names:
            if name not in found.schema.names:
                problem = f"has no column {name}, which the options ask for"
                raise _EntryDiffersError(Difference(self._name, None, problem), self._document)
            stored, expected = found.column(name), wanted.column(name).combine_chunks()
            if comparable(stored) != comparable(expected):
                pairs = zip(stored.to_pylist(), expected.to_pylist(), strict=True)
                at, (old, new) = next(
                    (at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1]
                )
                at += self._document
                problem = f"{name} is {_shortened(old)}; expected {_shortened(new)}"
                raise _EntryDiffersError(Difference(self._name, at, problem), at)

    def _read(self, folder: DatasetFolder) -> Iterator[Any]:
        with folder.open(self._name) as file:
            try:
                yield from batches_of(file)
            except BadIndexError as error:
                raise _changed(self._name, error.problem) from error
        raise _changed(self._name, "has fewer rows than before")


def _part(column: Ragged, start: int, count: int) -> Ragged:
    """Return some rows as a view."""
    offsets = column.offsets[start : start + count + 1]
    return Ragged(column.values[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0])


def _first_difference(found: Ragged, wanted: Ragged) -> tuple[int, int] | None:
    """Return the first row that differs, and the first value in it; None if none does."""
    uneven = found.lengths != wanted.lengths
    even = int(uneven.argmax()) if uneven.any() else len(uneven)  # rows before the first uneven one
    end = int(wanted.offsets[even])
    wrong = found.values[:end] != wanted.values[:end]
    if wrong.any():
        at = int(wrong.argmax())
        row = int(np.searchsorted(wanted.offsets, at, side="right")) - 1
        return row, at - int(wanted.offsets[row])
    if even == len(uneven):
        return None
    stored, expected = found.row(even), wanted.row(even)
    common = min(len(stored), len(expected))
    wrong = stored[:common] != expected[:common]
    return even, int(wrong.argmax()) if wrong.any() else common


def _shortened(value: Any) -> str:
    text = ascii_safe(repr(value))
    return text if len(text) <= 200 else text[:199] + "…"


def _changed(name: str, problem: str) -> DataError:
    return DataError(
        f"{name}: {problem}. It could be read a moment ago, so something else is writing to the "
        "dataset. Run verify again when nothing does."
    )
