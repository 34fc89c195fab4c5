"""Rows of ids with their loss mask: the one object that is cut, and the one that is written.

Ids and loss mask live in one ``Batch`` and are only ever cut together. Labels are not stored: they
follow from the two when a shard is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, ends_to_offsets


class DropReason(StrEnum):
    """Why a good record gave no row."""

    TOO_LONG = "too_long"  # longer than max_length, and the strategy says drop
    NOTHING_TO_TRAIN = "nothing_to_train"  # no trained token, before any cut
    CUT_TO_NOTHING = "cut_to_nothing"  # no trained token left after the cut


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
    section: npt.NDArray[np.uint8] | None = None  # Section of each token, where truncation needs it

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
            None if self.section is None else self.section[keep],
        )

    def keep_rows(self, rows: Mask) -> "Batch":
        """Only the rows where ``rows`` is True."""
        if rows.all():
            return self
        cut = self.keep_tokens(np.repeat(rows, self.lengths))
        lengths = self.lengths[rows]
        return Batch(
            cut.input_ids, cut.loss_mask, ends_to_offsets(lengths), self.record[rows], cut.section
        )

    def rows(self, start: int, stop: int) -> "Batch":
        """The rows from ``start`` to before ``stop``, as views, without their sections."""
        offsets = self.offsets[start : stop + 1]
        tokens = slice(int(offsets[0]), int(offsets[-1]))
        return Batch(
            self.input_ids[tokens],
            self.loss_mask[tokens],
            offsets - offsets[0],
            self.record[start:stop],
        )

    @staticmethod
    def concatenate(batches: Sequence["Batch"]) -> "Batch":
        """All rows of all batches, in order, without their sections."""
        return Batch(
            np.concatenate([p.input_ids for p in batches]),
            np.concatenate([p.loss_mask for p in batches]),
            ends_to_offsets(np.concatenate([p.lengths for p in batches])),
            np.concatenate([p.record for p in batches]),
        )
