"""The plan of a dataset: all that the writers need to gather its rows.

The plan's facts, which go to the manifest, are plain JSON::

    rows                  rows before anything was done
    dropped               {reason: rows}
    repeated              copies of rows beyond the first
    splits                {name: {packs, documents, tokens, trained_tokens, padding, efficiency,
                          documents_per_pack, trained_tokens_per_pack}}: the last three only
                          if packed; "per pack" is {mean, p5, p95}; efficiency is tokens : capacity
    sources               of the training split: [{source, before, after}], each of the two is
                          {rows, tokens, trained_tokens, share}; share is the share of all tokens
    prompts_in_two_splits {exact, normalized}: normalized is null if there are no such keys
    digests               {in, dropped, repeated, splits: {name: ...}}, see ``conservation``
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Numbers, Rows

DUPLICATE, NEAR_DUPLICATE, NOT_SAMPLED = "duplicate", "near_duplicate", "not_sampled"
REASONS = (DUPLICATE, NEAR_DUPLICATE, NOT_SAMPLED)
"""Why a row is in no split. ``Plan.reason`` holds a reason's number in this list."""


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """One split: its documents in the order of the output, and which of them share a pack.

    Without packing, each document is a pack of its own.
    """

    name: str  # train, validation or test
    rows: Rows  # int64[documents]: the row of each; a repeated row occurs more than once
    packs: Rows  # int64[packs + 1]: pack i holds documents packs[i] to packs[i + 1] - 1
    lengths: Numbers  # int32[packs]: tokens with padding


@dataclass(frozen=True, slots=True)
class Plan:
    """All splits, and the rows that are in none."""

    splits: tuple[SplitPlan, ...]  # train, validation, test, if they are asked for; none is empty
    dropped_rows: Rows  # int64[dropped], ascending
    repeats: Rows  # int64[dropped]: the row that it repeats; -1 if it repeats none
    reason: npt.NDArray[np.uint8]  # uint8[dropped]: its number in REASONS
    facts: dict[str, Any]  # see above
