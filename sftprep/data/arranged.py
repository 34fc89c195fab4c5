"""Rows as they stand in a shard: one document in a row or several, with padding or without.

A document is a row of the first half of a run: what one example gives. Without packing, a row of a
shard is one document. The targets turn these rows into the columns that a trainer reads.
"""

from dataclasses import dataclass

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged


@dataclass(frozen=True, slots=True)
class ArrangedRows:
    """Consecutive rows of a shard.

    The first token of a document has no loss if another document or padding may precede it in its
    row: a model must not predict it from them. Padding has no loss either.
    """

    input_ids: Ids  # int32[tokens], padding included
    loss_mask: Mask  # bool[tokens]: True for the tokens on which the model is trained
    offsets: Offsets  # int64[rows + 1]
    real: Mask | None = None  # bool[tokens]: False for padding; None if there is no padding
    seq_lengths: Ragged | None = None
    """The lengths of the documents in each row, without padding; None if rows are not packed."""

    @classmethod
    def of(cls, batch: Batch) -> "ArrangedRows":
        """Return the rows of a batch as they are: each a document, without padding."""
        return cls(batch.input_ids, batch.loss_mask, batch.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1
