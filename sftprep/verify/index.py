"""Compare the index of a shard with its rows, document by document.

In     the index file, which may hold anything; the documents of the shard as they were found, a
       few rows at a time: where each begins, its length, and which of its tokens have a loss.
Out    for each broken rule, the first row of the index that breaks it, what was found there, and
       how many other rows break it; the digest of all documents that the index lists, and how many
       of them are counted under each name.
Keeps  the work in numpy and Arrow: no Python object is made for a document that breaks no rule.
       Memory is bounded by a batch of the index.
Never  raises on any index, however hostile; except OSError if the system cannot read it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.arrange import conservation
from sftprep.data.provenance import Part
from sftprep.data.ragged import Mask, Offsets, lengths_to_offsets, ragged_index
from sftprep.dataset.gather import counts_of
from sftprep.dataset.index import CUT_NAMES, BadIndexError, batches_of
from sftprep.text import number
from sftprep.verify.report import Problem
from sftprep.verify.rows import BrokenRules, FoundDocuments, and_more

NUMBERS = (
    "row",
    "position",
    "source",
    "line",
    "answer",
    "tokens",
    "trained_tokens",
    "cut_tokens",
    "cut_trained_tokens",
    "exchanges_dropped",
)
"""The columns that hold a number, 0 or more, for each document."""


@dataclass
class IndexChecker:
    """Compares the index of one shard with its documents, in their order.

    Args:
        file: the index, open for reading.
        inputs: how many inputs the manifest lists.
        isolated: True if the first label of a document says nothing, because another document or
            padding may precede it.
    """

    file: BufferedReader
    inputs: int
    isolated: bool
    documents: int = 0  # compared so far
    digest: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # documents read so far, by reason
    _broken: BrokenRules = field(default_factory=BrokenRules)
    _problem: str = ""  # why the rest of the file cannot be compared
    _row: int = 0  # the number of the next row of the index
    _batch: "_Batch | None" = None
    _used: int = 0  # rows of the batch that were compared

    def __post_init__(self) -> None:
        self._batches: Iterator[Any] = batches_of(self.file)

    def compare(self, found: FoundDocuments) -> None:
        """Compare the next documents with the next rows of the index."""
        offsets = lengths_to_offsets(found.lengths)
        done = 0
        while done < len(found.row) and not self._problem:
            batch = self._next()
            if batch is None:
                self._problem = self._problem or (
                    f"lists {number(self._row, 'document')}; the shard holds more"
                )
                return
            count = min(len(found.row) - done, len(batch) - self._used)
            tokens = slice(int(offsets[done]), int(offsets[done + count]))
            part = FoundDocuments(
                found.row[done : done + count],
                found.position[done : done + count],
                found.lengths[done : done + count],
                found.trained[tokens],
            )
            self._compare(batch.rows(self._used, self._used + count), part)
            self._used += count
            self._row += count
            done += count
        self.documents += done

    def finish(self) -> None:
        """Check that the index ends with the shard."""
        if self._problem:
            return
        rest = 0
        while (batch := self._next()) is not None:
            rest += len(batch) - self._used
            self._used = len(batch)
        if rest and not self._problem:
            self._problem = (
                f"lists {number(self._row + rest, 'document')}; the shard holds {self._row:,}"
            )

    @property
    def is_compared(self) -> bool:
        """Return True if every document of the index was compared."""
        return not self._problem

    def problems(self, file: str) -> list[Problem]:
        """Return what is wrong, sorted by row."""
        rules = self._broken.in_order()
        found = [Problem(file, r.row, r.problem + and_more(r.other_rows)) for r in rules]
        return [*found, Problem(file, None, self._problem)] if self._problem else found

    def _next(self) -> "_Batch | None":
        """Return the batch that holds the next row; None at the end, or if there is a problem."""
        while self._batch is None or self._used == len(self._batch):
            try:
                batch = next(self._batches, None)
            except BadIndexError as error:
                self._problem = error.problem
                return None
            if batch is None:
                return None
            self._batch, self._used = _Batch.of(batch), 0
            self.counts.update(counts_of(batch))
        return self._batch

    def _compare(self, index: "_Batch", found: FoundDocuments) -> None:
        """Compare as many rows of the index with as many documents."""
        self._check_numbers(index)
        # A number as large as these is never right, and would overflow in the hash.
        sizes = [np.clip(index.numbers[name], 0, 1 << 31) for name in ("tokens", "trained_tokens")]
        part = conservation.digest(index.keys, *sizes)
        self.digest = conservation.total(self.digest, part)
        ends = lengths_to_offsets(found.lengths)
        trained = lengths_to_offsets(found.trained.astype(np.int64))
        first = np.zeros(len(found.lengths), np.int64)
        filled = found.lengths > 0
        first[filled] = found.trained[ends[:-1][filled]]
        expected = {
            "row": found.row,
            "position": found.position,
            "tokens": found.lengths,
            "trained_tokens": np.diff(trained[ends]) - first,
        }
        for name, wanted in expected.items():
            self._differs(name, index.numbers[name], wanted)
        self._check_segments(index, found, ends)

    def _differs(self, name: str, listed: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> None:
        self._add(
            name,
            listed != wanted,
            lambda at: f"has {name} {listed[at]:,}; the shard has {wanted[at]:,}",
        )

    def _check_numbers(self, index: "_Batch") -> None:
        """Check what must be true of each row of an index, whatever the shard holds."""
        for name in NUMBERS:
            self._least(name, index.numbers[name], 0)
        self._least("offset", index.numbers["offset"], -1)
        source = index.numbers["source"]
        self._add(
            "source",
            source >= self.inputs,
            lambda at: (
                f"has source {source[at]:,}; the manifest lists {number(self.inputs, 'input')}"
            ),
        )
        cut, cut_trained = (index.numbers[f"cut_{n}"] for n in ("tokens", "trained_tokens"))
        self._add(
            "cut_trained_tokens",
            cut_trained > cut,
            lambda at: (
                f"has cut_trained_tokens {cut_trained[at]:,}; cut_tokens is only {cut[at]:,}"
            ),
        )
        known = np.isin(index.cut_at, CUT_NAMES)
        self._add(
            "cut_at", ~known, lambda at: "has a cut_at that names no place where a row can be cut"
        )
        placed = known & ((index.cut_at != "") != (cut > 0))
        self._add(
            "cut",
            placed,
            lambda at: f"has cut_at {str(index.cut_at[at])!r} and cut_tokens {cut[at]:,}",
        )

    def _least(self, name: str, values: npt.NDArray[Any], least: int) -> None:
        self._add(
            f"least {name}",
            values < least,
            lambda at: f"has {name} {values[at]:,}; expected 0 or more",
        )

    def _check_segments(self, index: "_Batch", found: FoundDocuments, ends: Offsets) -> None:
        """Check that the segments of each document are as long and as trained as the document."""
        row = np.repeat(np.arange(len(found.lengths)), np.diff(index.offsets))
        wrong = np.zeros(len(found.lengths), np.bool_)
        wrong[row[(index.tokens < 1) | (index.message < -1) | ~index.is_part]] = True
        self._add("segment", wrong, lambda at: "has a segment that no text can have written")
        sums = np.bincount(row, index.tokens, len(wrong)).astype(np.int64)
        uneven = ~wrong & (sums != found.lengths)
        self._add(
            "segments",
            uneven,
            lambda at: (
                f"has segments of {number(int(sums[at]), 'token')} in all; the document has "
                f"{found.lengths[at]:,}"
            ),
        )
        even = ~wrong & ~uneven & (found.lengths > 0)
        if not even.any():
            return
        kept = even[row]
        flags = np.repeat(index.trained[kept], index.tokens[kept])
        tokens = ragged_index(ends[:-1][even], found.lengths[even])
        differ = flags != found.trained[tokens]
        starts = lengths_to_offsets(found.lengths[even])
        if self.isolated:
            differ[starts[:-1]] = False
        if not differ.any():
            return
        at = int(np.argmax(differ))
        document = int(np.searchsorted(starts, at, "right")) - 1
        token = at - int(starts[document])
        rows = np.zeros(len(wrong), np.bool_)
        total = lengths_to_offsets(differ.astype(np.int64))
        rows[np.flatnonzero(even)[total[starts[1:]] > total[starts[:-1]]]] = True
        says, has = ("trained", "not trained") if flags[at] else ("not trained", "trained")
        self._add(
            "trained",
            rows,
            lambda _: f"says that token {token} is {says}; in the shard it is {has}",
        )

    def _add(self, rule: str, wrong: Mask, describe: Callable[[int], str]) -> None:
        """Note the rows of the index that break a rule."""
        self._broken.add(rule, wrong, describe, lambda first: self._row + first)


@dataclass(frozen=True)
class _Batch:
    """Rows of an index as numpy arrays."""

    numbers: dict[str, npt.NDArray[np.int64]]  # the offset of a row in a table is -1
    keys: npt.NDArray[np.uint64]  # record_key
    cut_at: npt.NDArray[Any]  # names
    # The segments of all rows.
    offsets: Offsets  # int64[rows + 1]: the first segment of each row
    tokens: npt.NDArray[np.int64]
    message: npt.NDArray[np.int64]
    is_part: Mask  # whether the part has a name that parts have
    trained: Mask

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, batch: Any) -> "_Batch":
        """Convert a ``pyarrow.RecordBatch`` that ``batches_of`` has validated."""
        names = (*NUMBERS, "offset")
        columns = {name: batch.column(name) for name in names}
        columns["offset"] = columns["offset"].fill_null(-1)
        segments = batch.column("segments")
        elements = segments.flatten()
        part = elements.field("part")
        is_part = np.array([name in set(Part) for name in part.dictionary.to_pylist()], np.bool_)
        offsets = segments.offsets.to_numpy().astype(np.int64)
        return cls(
            {name: column.to_numpy().astype(np.int64) for name, column in columns.items()},
            batch.column("record_key").to_numpy(),
            batch.column("cut_at").to_numpy(zero_copy_only=False).astype(str),
            offsets - offsets[0],
            elements.field("tokens").to_numpy().astype(np.int64),
            elements.field("message").to_numpy().astype(np.int64),
            is_part[part.indices.to_numpy()] if len(part) else np.zeros(0, np.bool_),
            elements.field("trained").to_numpy(zero_copy_only=False),
        )

    def rows(self, start: int, stop: int) -> "_Batch":
        """Return rows ``start`` to ``stop - 1``."""
        own = slice(int(self.offsets[start]), int(self.offsets[stop]))
        return _Batch(
            {name: column[start:stop] for name, column in self.numbers.items()},
            self.keys[start:stop],
            self.cut_at[start:stop],
            self.offsets[start : stop + 1] - self.offsets[start],
            self.tokens[own],
            self.message[own],
            self.is_part[own],
            self.trained[own],
        )
