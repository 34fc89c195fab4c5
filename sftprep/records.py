"""What travels between the stages: small immutable values, no behaviour beyond cutting and joining.

Up to rendering a record is a ``Conversation`` of ``Message``s. A rendered record is a list of
``Piece``s. From encoding on everything is columnar: a ``Ragged`` array of ids, and a ``Batch`` in
which ids and loss mask live together and are only ever cut together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

Record = dict[str, Any]
"""A record as it was parsed."""

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str  # system, user or assistant
    content: str
    input: str = ""  # the separate input of an instruction record
    train: bool | None = None  # said by the record itself; None: the run's policy decides


class Turn(NamedTuple):
    """A message without its texts."""

    role: str
    has_input: bool = False
    train: bool | None = None  # as ``Message.train``


class Conversation(NamedTuple):
    """One record, whatever its schema was: an optional system turn, then user/assistant in turn.

    Turns and texts lie apart: records of one form share their turns, and a stage looks at those
    once.

    >>> Conversation.of(Message("user", "Hi"), Message("assistant", "Hello")).contents
    ('Hi', '', 'Hello', '')
    """

    turns: tuple[Turn, ...]
    contents: tuple[str, ...]  # content and input of each turn: two a turn

    @classmethod
    def of(cls, *messages: Message) -> Self:
        """Build from messages."""
        turns = tuple(Turn(m.role, m.input != "", m.train) for m in messages)
        return cls(turns, tuple(text for m in messages for text in (m.content, m.input)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns with their texts."""
        return tuple(
            Message(turn.role, content, extra, turn.train)
            for turn, content, extra in zip(
                self.turns, self.contents[::2], self.contents[1::2], strict=True
            )
        )


class Chat(NamedTuple):
    """One record as a model's own chat template reads it."""

    messages: list[dict[str, Any]]  # keys without value left out
    tools: list[Any] | None
    train: tuple[bool | None, ...]  # of each message, as ``Message.train``
    size: int  # bytes of the record, about


Dialogue = Conversation | Chat
"""A record as a template of either kind takes it."""


class Part(IntEnum):
    """What truncation may do to a token."""

    KEPT = 0  # BOS, the system turn, the scaffolding of a chat turn: survives a cut of the prompt
    PROMPT = 1  # cut from its start
    COMPLETION = 2  # from the last trained turn on: cut at its end


class Piece(NamedTuple):
    """A stretch of a rendered record: literal text of the template, or a place for content."""

    text: str  # literal text; "" for a slot
    slot: int  # which of the record's contents goes here; LITERAL or IMPLICIT_BOS otherwise
    trained: bool
    part: Part


LITERAL = -1
IMPLICIT_BOS = -2  # a BOS that the tokenizer adds, and that is not part of the text


class DropReason(StrEnum):
    """Why a good record gave no row."""

    TOO_LONG = "too_long"  # longer than max_length, and the strategy says drop
    NOTHING_TO_TRAIN = "nothing_to_train"  # no trained token, before any cut
    CUT_TO_NOTHING = "cut_to_nothing"  # no trained token left after the cut


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in a flat array: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: Ids  # int32, flat
    offsets: Offsets  # int64, one more than there are rows, starts with 0

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Build from lists (for small data and tests)."""
        lengths = [len(row) for row in rows]
        flat = [value for row in rows for value in row]
        return cls(np.array(flat, np.int32), ends_to_offsets(np.array(lengths, np.int64)))

    @classmethod
    def of_arrays(cls, rows: Sequence[Ids]) -> Self:
        """Build from arrays."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.concatenate(rows) if rows else np.zeros(0, np.int32)
        return cls(values, ends_to_offsets(lengths))

    @property
    def lengths(self) -> Offsets:
        """How long each row is, int64."""
        return np.diff(self.offsets)

    def row(self, index: int) -> Ids:
        """Row ``index`` as a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, rows: npt.NDArray[np.intp]) -> "Ragged":
        """The given rows in the given order."""
        lengths = self.lengths[rows]
        return Ragged(
            self.values[ragged_index(self.offsets[:-1][rows], lengths)], ends_to_offsets(lengths)
        )

    @staticmethod
    def concatenate(parts: Sequence["Ragged"]) -> "Ragged":
        """All rows of all parts, in order."""
        lengths = np.concatenate([part.lengths for part in parts])
        return Ragged(np.concatenate([part.values for part in parts]), ends_to_offsets(lengths))


def ends_to_offsets(lengths: Offsets) -> Offsets:
    """Offsets of rows with these lengths.

    >>> ends_to_offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ragged_index(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Offsets:
    """The flat positions of slices that begin at ``starts`` and are ``lengths`` long.

    >>> ragged_index(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    offsets = ends_to_offsets(lengths)
    return np.arange(offsets[-1], dtype=np.int64) + np.repeat(starts - offsets[:-1], lengths)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows ready to be cut or written: ids and loss mask side by side.

    ``loss_mask`` is True where the model is trained. Labels are never stored: they are the id where
    the mask is True and the ignore index elsewhere, unshifted, made when a shard is written.
    """

    input_ids: Ids  # int32[tokens]
    loss_mask: Mask  # bool[tokens]
    offsets: Offsets  # int64[rows + 1]
    record: Offsets  # int64[rows]: which record of its block each row came from
    part: npt.NDArray[np.uint8] | None = None  # Part of each token, where truncation needs it

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], trained: Sequence[Sequence[bool]]) -> Self:
        """Build from lists (for small data and tests)."""
        ids = Ragged.of(rows)
        mask = np.array([flag for row in trained for flag in row], np.bool_)
        return cls(ids.values, mask, ids.offsets, np.arange(len(rows), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.record)

    @property
    def lengths(self) -> Offsets:
        """Tokens in each row."""
        return np.diff(self.offsets)

    def labels(self, ignore_index: int) -> Ids:
        """int32[tokens]: the id where trained, ``ignore_index`` elsewhere, unshifted."""
        labels = np.full(len(self.input_ids), ignore_index, np.int32)
        np.copyto(labels, self.input_ids, where=self.loss_mask)
        return labels

    def trained(self) -> Offsets:
        """Tokens in each row whose loss counts: trained, and not the row's first.

        A model predicts token i from the tokens before it, so the first token never has a loss.
        """
        counts = np.zeros(len(self), np.int64)
        filled = self.lengths > 0
        starts = self.offsets[:-1][filled]
        if len(starts):
            # int8 is summed four times as fast as bool.
            sums = np.add.reduceat(self.loss_mask.view(np.int8), starts, dtype=np.int64)
            counts[filled] = sums - self.loss_mask[starts]
        return counts

    def keep_tokens(self, keep: Mask) -> "Batch":
        """Only the tokens where ``keep`` is True, in every column at once."""
        kept = np.zeros(len(keep) + 1, np.int64)
        np.cumsum(keep, out=kept[1:])
        return Batch(
            self.input_ids[keep],
            self.loss_mask[keep],
            kept[self.offsets],
            self.record,
            None if self.part is None else self.part[keep],
        )

    def keep_rows(self, rows: Mask) -> "Batch":
        """Only the rows where ``rows`` is True."""
        if rows.all():
            return self
        cut = self.keep_tokens(np.repeat(rows, self.lengths))
        lengths = self.lengths[rows]
        return Batch(
            cut.input_ids, cut.loss_mask, ends_to_offsets(lengths), self.record[rows], cut.part
        )

    def rows(self, start: int, stop: int) -> "Batch":
        """The rows from ``start`` to before ``stop``, as views; without truncation marks."""
        offsets = self.offsets[start : stop + 1]
        tokens = slice(int(offsets[0]), int(offsets[-1]))
        return Batch(
            self.input_ids[tokens],
            self.loss_mask[tokens],
            offsets - offsets[0],
            self.record[start:stop],
        )

    @staticmethod
    def concatenate(parts: Sequence["Batch"]) -> "Batch":
        """All rows of all parts, in order; the parts' truncation marks are not kept."""
        return Batch(
            np.concatenate([p.input_ids for p in parts]),
            np.concatenate([p.loss_mask for p in parts]),
            ends_to_offsets(np.concatenate([p.lengths for p in parts])),
            np.concatenate([p.record for p in parts]),
        )
