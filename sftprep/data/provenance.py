"""Where rows come from: which record, which text wrote which tokens, and what was cut.

In     columns, one entry a row, that the stages from parsing to truncation fill in.
Out    ``RowFacts``: they travel in ``Batch.facts``, and are cut, filtered and joined with the ids
       and the loss mask.
Keeps  the number of tokens: the segments of a row together have as many as the row, and their
       trained ones are those of its loss mask. Keeps segments as few as possible: two that follow
       each other in a row differ in their writer or in their trained flag.
Never  creates a Python object per token or per segment.

A *segment* is a run of tokens of a row that one text has given, all trained or all not. A token
belongs to the text in which its first byte stands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntFlag, StrEnum
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Ids, Mask, Offsets, lengths_to_offsets

Keys = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.uint8]


class Part(StrEnum):
    """What kind of text a token comes from."""

    TEMPLATE = "template"  # text of the template
    CONTENT = "content"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    TOOLS = "tools"  # the tools that the record offers
    STOP = "stop"  # what ends a trained answer and stops the model
    BOS = "bos"
    PADDING = "padding"


class Writer(NamedTuple):
    """The text that a token comes from."""

    message: int  # the number of the message, from 0; -1: no message
    role: str  # of the message; "": no message
    part: Part


NO_MESSAGE = Writer(-1, "", Part.TEMPLATE)
"""The writer of a template's text that belongs to no message."""
BOS = Writer(-1, "", Part.BOS)
"""The writer of the BOS."""


class CutAt(IntFlag):
    """Where truncation has cut a row; a row may be cut in more than one place."""

    START = 1
    MIDDLE = 2
    END = 4


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of all rows: row i has the segments ``offsets[i]`` to ``offsets[i + 1] - 1``."""

    offsets: Offsets  # int64[rows + 1], starts with 0
    tokens: Ids  # int32[segments]: how many tokens each one has, more than 0
    writer: Ids  # int32[segments]: index into ``writers``
    trained: Mask  # bool[segments]
    writers: tuple[Writer, ...]

    @classmethod
    def of(cls, rows: Sequence[Sequence[tuple[int, Writer, bool]]]) -> Self:
        """Build from lists of (tokens, writer, trained) (for small data and tests)."""
        flat = [segment for row in rows for segment in row]
        numbers = {w: i for i, w in enumerate(dict.fromkeys(writer for _, writer, _ in flat))}
        return cls(
            lengths_to_offsets(np.array([len(row) for row in rows], np.int64)),
            np.array([tokens for tokens, _, _ in flat], np.int32),
            np.array([numbers[writer] for _, writer, _ in flat], np.int32),
            np.array([trained for _, _, trained in flat], np.bool_),
            tuple(numbers),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def row_tokens(self) -> Offsets:
        """int64[rows]: the number of tokens in each row."""
        return np.diff(lengths_to_offsets(self.tokens.astype(np.int64))[self.offsets])

    @property
    def row_trained(self) -> Offsets:
        """int64[rows]: how many tokens of each row have a loss; a row's first token has none."""
        trained = lengths_to_offsets((self.tokens * self.trained).astype(np.int64))
        counts = np.diff(trained[self.offsets])
        filled = np.diff(self.offsets) > 0
        counts[filled] -= self.trained[self.offsets[:-1][filled]]
        return counts

    def row(self, index: int) -> list[tuple[int, Writer, bool]]:
        """Return the segments of a row as (tokens, writer, trained)."""
        own = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        columns = (self.tokens[own], self.writer[own], self.trained[own])
        return [
            (tokens, self.writers[writer], trained)
            for tokens, writer, trained in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def keep_tokens(self, keep: Mask) -> "Segments":
        """Return the segments of only the tokens for which ``keep``, bool[tokens], is True."""
        kept = lengths_to_offsets(keep.astype(np.int64))
        borders = kept[lengths_to_offsets(self.tokens.astype(np.int64))]
        return replace(self, tokens=np.diff(borders).astype(np.int32)).merged()

    def keep_rows(self, keep: Mask) -> "Segments":
        """Return the segments of only the rows for which ``keep``, bool[rows], is True."""
        counts = np.diff(self.offsets)
        kept = np.repeat(keep, counts)
        return Segments(
            lengths_to_offsets(counts[keep]),
            self.tokens[kept],
            self.writer[kept],
            self.trained[kept],
            self.writers,
        )

    def rows(self, start: int, stop: int) -> "Segments":
        """Return the segments of rows ``start`` to ``stop - 1`` as views."""
        offsets = self.offsets[start : stop + 1]
        own = slice(int(offsets[0]), int(offsets[-1]))
        return Segments(
            offsets - offsets[0],
            self.tokens[own],
            self.writer[own],
            self.trained[own],
            self.writers,
        )

    def merged(self) -> "Segments":
        """Return the segments without empty ones, with equal neighbours in a row joined."""
        counts = np.diff(self.offsets)
        filled = self.tokens > 0
        rows = np.repeat(np.arange(len(counts)), counts)[filled]
        writer, trained = self.writer[filled], self.trained[filled]
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = (
            (rows[1:] != rows[:-1])
            | (writer[1:] != writer[:-1])
            | (trained[1:] != trained[:-1])
        )  # fmt: skip
        starts = np.flatnonzero(begins)
        tokens = self.tokens[filled]
        return Segments(
            lengths_to_offsets(np.bincount(rows[starts], minlength=len(counts))),
            np.add.reduceat(tokens, starts, dtype=np.int32) if len(starts) else tokens,
            writer[starts],
            trained[starts],
            self.writers,
        )

    @staticmethod
    def concatenate(parts: Sequence["Segments"]) -> "Segments":
        """Return the segments of all rows of all parts, in order."""
        writers = parts[0].writers
        numbers = [part.writer for part in parts]
        if any(part.writers != writers for part in parts):
            index: dict[Writer, int] = {}
            for part in parts:
                for writer in part.writers:
                    index.setdefault(writer, len(index))
            writers = tuple(index)
            numbers = [
                np.array([index[writer] for writer in part.writers], np.int32)[part.writer]
                for part in parts
            ]
        return Segments(
            lengths_to_offsets(np.concatenate([np.diff(part.offsets) for part in parts])),
            np.concatenate([part.tokens for part in parts]),
            np.concatenate(numbers),
            np.concatenate([part.trained for part in parts]),
            writers,
        )


class Reasons:
    """Collects the reasons under which the rows of a block are counted.

    Attributes:
        rows: name of a count -> bool[rows]: True if the row is counted under this name.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Mask] = {}

    def add(self, name: str, rows: Mask) -> int:
        """Count rows, bool[rows], under a name; return how many they are."""
        count = int(np.count_nonzero(rows))
        if count:
            self.rows[name] = self.rows[name] | rows if name in self.rows else rows
        return count


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What is known of each row beside its ids and its loss mask, in columns.

    The keys are XXH3 hashes of 64 bits of text as it was before truncation. They depend on the
    record, the template and what is trained, and on nothing else.
    """

    source: Ids  # int32[rows]: index into the list of sources
    line: Offsets  # int64[rows]: from 1; in a table, the number of the row
    offset: Offsets  # int64[rows]: of the record in its source, in bytes; -1 in a table
    answer: Ids  # int32[rows]: the number of the example of its record, from 0
    cut_tokens: Ids  # int32[rows]: how many tokens truncation has removed
    cut_trained: Ids  # int32[rows]: how many of them were trained
    cut_at: Bits  # uint8[rows]: ``CutAt``
    exchanges_dropped: Ids  # int32[rows]: how many of the oldest exchanges were left out
    prompt_key: Keys  # uint64[rows]: of the text before the first trained text
    record_key: Keys  # uint64[rows]: of the whole text, with the borders of what is trained
    segments: Segments
    # uint64[rows]: of the text with small differences removed; None if they are not asked for
    normalized_key: Keys | None = None
    normalized_prompt_key: Keys | None = None
    group_key: Keys | None = None  # uint64[rows]: of the field that groups records, if there is one
    # name of a count -> bool[rows]: True if the row is counted under this name
    reasons: dict[str, Mask] = field(default_factory=dict)

    @classmethod
    def of(cls, segments: Segments, **columns: Any) -> "RowFacts":
        """Build the facts of rows; a column that is not given has zeros (for tests)."""
        count = len(segments)
        zeros: dict[str, Any] = {name: np.zeros(count, kind) for name, kind in COLUMNS.items()}
        given = {
            name: np.asarray(value, COLUMNS.get(name, np.uint64))
            for name, value in columns.items()
            if name != "reasons"
        }
        reasons = {
            name: np.asarray(rows, np.bool_) for name, rows in columns.get("reasons", {}).items()
        }
        return cls(**{**zeros, **given}, segments=segments, reasons=reasons)

    def __len__(self) -> int:
        return len(self.source)

    def keep_tokens(self, keep: Mask) -> "RowFacts":
        """Return the facts of rows with only the tokens for which ``keep``, bool[tokens], is True.

        What was cut is for the caller to say.
        """
        return replace(self, segments=self.segments.keep_tokens(keep))

    def keep_rows(self, keep: Mask) -> "RowFacts":
        """Return the facts of only the rows for which ``keep``, bool[rows], is True."""
        return self._changed(lambda column: column[keep], self.segments.keep_rows(keep))

    def rows(self, start: int, stop: int) -> "RowFacts":
        """Return the facts of rows ``start`` to ``stop - 1`` as views."""
        return self._changed(lambda column: column[start:stop], self.segments.rows(start, stop))

    def _changed(self, change: Callable[[Any], Any], segments: Segments) -> "RowFacts":
        columns: dict[str, Any] = {}
        for name in NAMES:
            column = getattr(self, name)
            columns[name] = None if column is None else change(column)
        reasons = {name: change(rows) for name, rows in self.reasons.items()}
        return RowFacts(**columns, segments=segments, reasons=reasons)

    @staticmethod
    def concatenate(parts: Sequence["RowFacts"]) -> "RowFacts":
        """Return the facts of all rows of all parts, in order."""
        columns: dict[str, Any] = {}
        for name in NAMES:
            of_parts = [getattr(part, name) for part in parts]
            columns[name] = None if of_parts[0] is None else np.concatenate(of_parts)
        names = dict.fromkeys(name for part in parts for name in part.reasons)
        reasons = {
            name: np.concatenate(
                [part.reasons.get(name, np.zeros(len(part), np.bool_)) for part in parts]
            )
            for name in names
        }
        segments = Segments.concatenate([part.segments for part in parts])
        return RowFacts(**columns, segments=segments, reasons=reasons)


COLUMNS: dict[str, type[np.generic]] = {
    "source": np.int32,
    "line": np.int64,
    "offset": np.int64,
    "answer": np.int32,
    "cut_tokens": np.int32,
    "cut_trained": np.int32,
    "cut_at": np.uint8,
    "exchanges_dropped": np.int32,
    "prompt_key": np.uint64,
    "record_key": np.uint64,
}
"""The columns of ``RowFacts`` that are always there, and their types."""
NAMES = tuple(f.name for f in fields(RowFacts) if f.name not in ("segments", "reasons"))
"""The names of all columns."""
