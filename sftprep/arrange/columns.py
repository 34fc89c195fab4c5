"""What is known about every row before the dataset is arranged: a few numbers a row."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """One entry for each row of the dataset, in input order.

    A key is a 64-bit hash of a text. Equal texts have equal keys.
    """

    source: Numbers  # int32[rows]: the number of the input file
    tokens: Numbers  # int32[rows]: how many tokens the row has
    trained: Numbers  # int32[rows]: how many of them have a loss
    prompt_key: Keys  # uint64[rows]: of all text before the first trained token
    record_key: Keys  # uint64[rows]: of the whole text, with the borders of what is trained
    normalized_key: Keys | None = None  # uint64[rows]: of the whole text, normalized
    normalized_prompt_key: Keys | None = None  # uint64[rows]: of the prompt, normalized
    group_key: Keys | None = None  # uint64[rows]: of the field of --split-by
    record: Rows | None = None  # int64[rows], ascending: the number of its record, if one may give
    # several rows, which then follow each other

    def __len__(self) -> int:
        return len(self.tokens)
