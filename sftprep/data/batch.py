"""Rows of ids with their loss mask. Truncation cuts them, and the formats write them.

A ``Batch`` holds both ids and loss mask, and every operation applies to both at once, and to the
facts on where the rows come from. Labels are not stored: they are computed from ids and loss mask
when a shard is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from sftprep.data.provenance import RowFacts
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, lengths_to_offsets


class DropReason(StrEnum):
    """Why a valid record has no row."""

    TOO_LONG = "too_long"  # longer than max_length, and the strategy drops such rows
    NOTHING_TO_TRAIN = "nothing_to_train"  # no trained token before truncation
    CUT_TO_NOTHING = "cut_to_nothing"  # no trained token left after truncation


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are ready for truncation or for writing.

    ``loss_mask`` is True for the tokens on which the model is trained.
    """

    input_ids: Ids  # int32[tokens]
    loss_mask: Mask  # bool[tokens]
    offsets: Offsets  # int64[rows + 1]
    record: Offsets  # int64[rows]: the number of the record in its block
    section: npt.NDArray[np.uint8] | None = None  # uint8[tokens]: Section; None if not needed
    facts: RowFacts | None = None  # where the rows come from; None if nothing is known

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
        """int64[rows]: the number of tokens in each row."""
        return np.diff(self.offsets)

    def labels(self, ignore_index: int) -> Ids:
        """int32[tokens]: a trained token's id, ``ignore_index`` for the others; unshifted."""
        labels = np.full(len(self.input_ids), ignore_index, np.int32)
        np.copyto(labels, self.input_ids, where=self.loss_mask)
        return labels

    def trained(self) -> Offsets:
        """int64[rows]: the number of tokens in each row that have a loss.

        A model predicts token i from the tokens before it, so a row's first token has no loss, even
        if the loss mask marks it as trained.
        """
        counts = np.zeros(len(self), np.int64)
        filled = self.lengths > 0
        starts = self.offsets[:-1][filled]
        if len(starts):
            # numpy sums int8 four times as fast as bool.
            sums = np.add.reduceat(self.loss_mask.view(np.int8), starts, dtype=np.int64)
            counts[filled] = sums - self.loss_mask[starts]
        return counts

    def keep_tokens(self, keep: Mask) -> "Batch":
        """Return the batch with only the tokens for which ``keep``, bool[tokens], is True."""
        kept = np.zeros(len(keep) + 1, np.int64)
        np.cumsum(keep, out=kept[1:])
        return Batch(
            self.input_ids[keep],
            self.loss_mask[keep],
            kept[self.offsets],
            self.record,
            None if self.section is None else self.section[keep],
            None if self.facts is None else self.facts.keep_tokens(keep),
        )

    def keep_rows(self, keep: Mask) -> "Batch":
        """Return the batch with only the rows for which ``keep``, bool[rows], is True."""
        if keep.all():
            return self
        tokens = np.repeat(keep, self.lengths)
        return Batch(
            self.input_ids[tokens],
            self.loss_mask[tokens],
            lengths_to_offsets(self.lengths[keep]),
            self.record[keep],
            None if self.section is None else self.section[tokens],
            None if self.facts is None else self.facts.keep_rows(keep),
        )

    def rows(self, start: int, stop: int) -> "Batch":
        """Return rows ``start`` to ``stop - 1`` as views, without their sections."""
        offsets = self.offsets[start : stop + 1]
        tokens = slice(int(offsets[0]), int(offsets[-1]))
        return Batch(
            self.input_ids[tokens],
            self.loss_mask[tokens],
            offsets - offsets[0],
            self.record[start:stop],
            facts=None if self.facts is None else self.facts.rows(start, stop),
        )

    @staticmethod
    def concatenate(batches: Sequence["Batch"]) -> "Batch":
        """Return all rows of all batches, in order, without their sections."""
        facts = [batch.facts for batch in batches if batch.facts is not None]
        return Batch(
            np.concatenate([batch.input_ids for batch in batches]),
            np.concatenate([batch.loss_mask for batch in batches]),
            lengths_to_offsets(np.concatenate([batch.lengths for batch in batches])),
            np.concatenate([batch.record for batch in batches]),
            facts=RowFacts.concatenate(facts) if len(facts) == len(batches) else None,
        )
