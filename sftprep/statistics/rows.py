"""The numbers of all rows of a dataset from which the figures are made, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Columns, Keys, Numbers

Splits = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RowNumbers:
    """One entry for each document: an unpacked row, or one of the rows that share a pack."""

    split: Splits  # uint8[documents]: its number in ``splits``
    source: Numbers  # int32[documents]: the number of its input
    tokens: Numbers  # int32[documents]
    trained: Numbers  # int32[documents]: tokens that have a loss
    prompt_key: Keys
    record_key: Keys
    splits: tuple[str, ...]  # the names of the splits

    def __len__(self) -> int:
        return len(self.tokens)

    def columns(self) -> Columns:
        """Return the columns in the form in which the stage ``arrange`` takes them."""
        return Columns(self.source, self.tokens, self.trained, self.prompt_key, self.record_key)


class Collected:
    """Collects one column of many parts, without holding them twice for long."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._kind = kind
        self._parts: list[npt.NDArray[np.generic]] = []

    def add(self, values: npt.NDArray[np.generic]) -> None:
        """Add the next part."""
        self._parts.append(np.ascontiguousarray(values, self._kind))

    def take(self) -> npt.NDArray[np.generic]:
        """Return the whole column, and forget the parts."""
        parts: Sequence[npt.NDArray[np.generic]] = self._parts or [np.zeros(0, self._kind)]
        self._parts = []
        return np.concatenate(parts)
