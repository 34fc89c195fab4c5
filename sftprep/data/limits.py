"""What other limits and strategies of truncation would do to the rows of a block."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Offsets

LIMITS = (512, 1024, 2048, 4096, 8192, 16384, 32768)
"""The maximum lengths that are tried by default, ascending."""
STRATEGIES = (
    "drop",  # ``error`` refuses the rows that it drops
    "keep-start",
    "keep-end",
    "prompt-start",
    "completion-end",
    "balanced",
    "oldest-turns",
)
"""The strategies that are tried."""


@dataclass(frozen=True, slots=True)
class LimitCounts:
    """What each strategy would do at each limit.

    The columns have one entry for each strategy and limit. A row is cut, dropped or left as it is.
    """

    lengths: npt.NDArray[np.int32]  # int32[rows]: in tokens, before anything is cut; only rows
    # with a trained token
    cut: Offsets  # int64[strategies, limits]: rows that are cut
    dropped: Offsets  # int64[strategies, limits]: rows that are dropped
    tokens_cut: Offsets  # int64[strategies, limits]: tokens that are cut off
    tokens_dropped: Offsets  # int64[strategies, limits]: tokens of dropped rows
    uncounted: Offsets  # int64[limits]: rows that oldest-turns cuts, and whose tokens that are cut
    # off are not in ``tokens_cut``: it would have to render them once more to count them

    @classmethod
    def none(cls, limits: int, lengths: npt.NDArray[np.int32]) -> "LimitCounts":
        """Return the counts for this number of limits if no row is longer than any of them."""
        cut, dropped, tokens_cut, tokens_dropped = np.zeros((4, len(STRATEGIES), limits), np.int64)
        uncounted = np.zeros(limits, np.int64)
        return cls(lengths, cut, dropped, tokens_cut, tokens_dropped, uncounted)

    def add(self, other: "LimitCounts") -> None:
        """Add the counts of other rows; leave the lengths as they are."""
        for name in ("cut", "dropped", "tokens_cut", "tokens_dropped", "uncounted"):
            total = getattr(self, name)
            total += getattr(other, name)
