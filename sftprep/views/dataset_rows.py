"""The rows of a finished dataset, found by their number or by a choice.

In     the folder of a dataset, of any target and format.
Out    ``Row``: ids, what is trained, the record's place, who wrote which tokens, what was cut.
Keeps  reading to what is needed: the manifest says which shards hold the rows, and no others are
       opened. A choice reads the indexes, and the tokens only to find a text in them.
Never  gives a row in which a label is neither the id nor the ignore index.
Raises UsageError: there is no such row. NoInputError: there is no dataset. DataError, StorageError:
       the dataset is damaged.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sftprep.data.block import place_in
from sftprep.data.provenance import Part as DataPart
from sftprep.data.provenance import Writer
from sftprep.data.ragged import Ragged
from sftprep.dataset.canonical import canonical_chunks
from sftprep.dataset.documents import documents_of, index_of
from sftprep.dataset.files import TOKENIZER
from sftprep.dataset.index import BadIndexError, read_index
from sftprep.dataset.manifest import files_of, load_manifest
from sftprep.errors import DataError, StorageError, UsageError
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.staged import decoded
from sftprep.formats.table import Rows, read_shard
from sftprep.targets.contents import IDS, LABELS
from sftprep.targets.table import form_of
from sftprep.text import ascii_safe, number
from sftprep.views.choice import Candidate, Choice, nothing_found
from sftprep.views.token_text import Cut, Part, Row, cut_in_words
from sftprep.views.vocabulary import Vocabulary
from sftprep.views.why import Run, runs_of

CURE = "The dataset is damaged: build it again."
INDEX_COLUMNS = (
    "row", "position", "tokens", "source", "line", "offset", "answer", "cut_tokens",
    "cut_trained_tokens", "cut_at", "exchanges_dropped", "reasons", "segments",
)  # fmt: skip


class Dataset:
    """A finished dataset, whose rows can be read by their number.

    Args:
        folder: the folder of the dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = load_manifest(folder)
        self.size = sum(shard["rows"] for shard in self.manifest.shards)
        self._vocabulary: Vocabulary | None = None
        self._last_read: tuple[str, Rows, Any] | None = None  # a shard's name, rows and index

    def vocabulary(self) -> Vocabulary:
        """Load the vocabulary of the tokenizer that is stored with the shards, once."""
        if self._vocabulary is None:
            self._vocabulary = self._load_vocabulary()
        return self._vocabulary

    def _load_vocabulary(self) -> Vocabulary:
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

    def chosen(self, choice: Choice, first: int | None) -> Iterator[Row]:
        """Yield the rows that are chosen.

        Args:
            choice: the choice.
            first: the number of the first row; None if the choice decides alone.
        """
        if choice.is_plain:
            yield from self.rows(first or 0, choice.rows)
            return
        if first is not None:
            raise UsageError(
                f"--row chooses by number, and {choice.in_words()} otherwise. Choose one of them."
            )
        looked_at, reasons = 0, set[str]()

        def wanted() -> Iterator[Candidate]:
            nonlocal looked_at
            for at, shard in enumerate(self.manifest.shards):
                candidates = list(self._candidates(at, shard))
                looked_at += len(candidates)
                reasons.update(name for row in candidates for name in row.reasons)
                rows = [row for row in candidates if choice.wants(row)]
                yield from self._with_text(shard, rows, choice.grep) if choice.grep else rows

        picked = choice.pick(wanted())
        if not picked:
            raise nothing_found(choice, looked_at, reasons)
        yield from map(self._document, picked)

    def _candidates(self, number: int, shard: dict[str, Any]) -> Iterator[Candidate]:
        """Yield the documents of a shard."""
        columns = ("source", "line", "tokens", "cut_tokens", "reasons")
        table = self._index_of(shard, columns)
        names = [entry["name"] for entry in self.manifest.inputs]
        source, line, tokens, cut = (table.column(name).to_pylist() for name in columns[:4])
        reasons = table.column("reasons").to_pylist()
        for at, found in enumerate(reasons):
            yield Candidate((number, at), names[source[at]], line[at], tokens[at], cut[at], found)

    def _with_text(
        self, shard: dict[str, Any], rows: Sequence[Candidate], text: str
    ) -> Iterator[Candidate]:
        """Yield the rows that hold a text."""
        if not rows:
            return
        vocabulary, wanted = self.vocabulary(), text.encode()
        known: dict[int, bytes] = {}
        candidates = {row.key[1]: row for row in rows}
        done = 0
        index = index_of(self.folder, shard)
        for documents in documents_of(self.folder, self.manifest, shard, index):
            ids = decoded(documents.values).input_ids
            for token in np.unique(ids).tolist():
                known.setdefault(token, vocabulary.token(token).data)
            for at, (start, stop) in enumerate(pairwise(documents.offsets.tolist()), done):
                if at in candidates:
                    data = b"".join(map(known.__getitem__, ids[start:stop].tolist()))
                    if wanted in data:
                        yield candidates[at]
            done += len(documents.lengths)

    def _document(self, chosen: Candidate) -> Row:
        """Return a document, alone also if it is in a pack."""
        number, at = chosen.key
        shard = self.manifest.shards[number]
        before = sum(each["rows"] for each in self.manifest.shards[:number])
        _, records = self._read(shard)
        in_shard = records.column("row")[at].as_py()
        row = self._row(before + in_shard)
        if not row.parts:
            return row
        documents = self._documents(shard, in_shard, records)
        first = int(np.searchsorted(records.column("row").to_numpy(), in_shard))
        document = documents[at - first]
        part = document.part
        alone = _Document(part._replace(start=0, stop=part.stop - part.start), document.entry)
        return Row(
            number=row.number,
            ids=row.ids[part.start : part.stop],
            trained=row.trained[part.start : part.stop],
            place=f"{part.heading}, document {at - first + 1} of {len(documents)} of the row",
            remarks=tuple(alone.remarks()),
            runs=tuple(alone.runs()),
            cuts=tuple(alone.cuts()),
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
        parts = [document.part for document in documents]
        is_whole = [(part.start, part.stop) for part in parts] == [(0, len(ids))]
        places = [parts[0].heading if is_whole else number(len(documents), "document")]
        if len(self.manifest.shards) > 1:
            places.append(f"row {index:,} of {shard['name']}")
        return Row(
            number=row,
            ids=ids.tolist(),
            trained=trained.tolist(),
            place=", ".join(places),
            remarks=tuple(documents[0].remarks()) if is_whole else (),
            parts=() if is_whole else tuple(self._parts(shard, index, parts, len(ids))),
            runs=tuple(run for document in documents for run in document.runs()),
            cuts=tuple(cut for document in documents for cut in document.cuts()),
        )

    def _documents(self, shard: dict[str, Any], row: int, index: Any) -> list["_Document"]:
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
            part = Part(place, start, start + entry["tokens"])
            documents.append(_Document(part, entry))
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
            self._last_read = name, rows, self._index_of(shard, INDEX_COLUMNS)
        return self._last_read[1:]

    def _index_of(self, shard: dict[str, Any], columns: Sequence[str]) -> Any:
        path = self.folder / shard["index"]["name"]
        try:
            return read_index(path, columns)
        except (OSError, BadIndexError) as error:
            raise _unreadable(path, error) from error


class _Document(NamedTuple):
    """A document of a row, and its entry in the index."""

    part: Part  # its place in the row, with its record's place as heading
    entry: dict[str, Any]

    def runs(self) -> tuple[Run, ...]:
        """Return who wrote which of its tokens."""
        segments = [
            (
                each["tokens"],
                Writer(each["message"], each["role"], DataPart(each["part"])),
                each["trained"],
            )
            for each in self.entry["segments"]
        ]
        return runs_of(segments, self.part.start)

    def cuts(self) -> Iterator[Cut]:
        """Yield what truncation has removed at its ends."""
        entry = self.entry
        if not entry["cut_tokens"]:
            return
        lost = number(entry["cut_tokens"], "token")
        places = entry["cut_at"].split("+")
        words = cut_in_words(lost, entry["cut_trained_tokens"], len(places))
        if "start" in places:
            yield Cut(self.part.start, words)
        elif "end" in places:
            yield Cut(self.part.stop, words)

    def remarks(self) -> Iterator[str]:
        """Yield what is to be said of it as a whole."""
        entry = self.entry
        if entry["cut_tokens"]:
            where = entry["cut_at"].replace("+", " and ")
            yield (
                f"cut to --max-length at its {where}: {number(entry['cut_tokens'], 'token')}, "
                f"{entry['cut_trained_tokens']:,} of them trained"
            )
        if entry["exchanges_dropped"]:
            yield f"lost its oldest {number(entry['exchanges_dropped'], 'exchange')}"
        if entry["reasons"]:
            yield f"counted under: {', '.join(entry['reasons'])}"


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
