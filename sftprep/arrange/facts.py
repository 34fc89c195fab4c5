"""The counts of a plan, as the manifest holds them; ``plan`` says what each of them is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Columns, Numbers, Rows
from sftprep.arrange.leaks import in_several
from sftprep.arrange.plan import SplitPlan

_AT_ONCE = 2**20  # rows counted at a time; bounds the memory


def split_facts(columns: Columns, split: SplitPlan, capacity: int | None) -> dict[str, Any]:
    """Return the counts of one split.

    Args:
        columns: the columns of all rows.
        split: the split.
        capacity: the most tokens in a pack; None if the split is not packed.
    """
    tokens = _sum(columns.tokens[split.rows])
    trained = columns.trained[split.rows]
    packs = len(split.lengths)
    found: dict[str, Any] = {
        "packs": packs,
        "documents": len(split.rows),
        "tokens": tokens,
        "trained_tokens": _sum(trained),
        "padding": _sum(split.lengths) - tokens,
    }
    if capacity is not None:
        per_pack = np.add.reduceat(trained, split.packs[:-1], dtype=np.int64)
        found["efficiency"] = _ratio(tokens, packs * capacity)
        found["documents_per_pack"] = _spread(np.diff(split.packs))
        found["trained_tokens_per_pack"] = _spread(per_pack)
    return found


def by_source(columns: Columns, rows: Rows) -> list[dict[str, Any]]:
    """Return what each source has of some rows, source by source."""
    number = int(columns.source.max(initial=-1)) + 1
    sums = np.zeros((3, number), np.int64)  # rows, tokens and trained tokens
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        sources = columns.source[part]
        for row, weights in enumerate((None, columns.tokens[part], columns.trained[part])):
            # Sums of floats are exact here: they stay far below 2**53.
            sums[row] += np.bincount(sources, weights, minlength=number).astype(np.int64)
    every = int(sums[1].sum()) or 1
    return [
        {
            "rows": rows_of,
            "tokens": tokens,
            "trained_tokens": trained,
            "share": _ratio(tokens, every),
        }
        for rows_of, tokens, trained in sums.T.tolist()
    ]


def source_facts(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what each source has of the training split, before and after rows were chosen."""
    return [
        {"source": source, "before": old, "after": new}
        for source, (old, new) in enumerate(zip(before, after, strict=True))
        if old["rows"]
    ]


def leaks(columns: Columns, splits: Sequence[SplitPlan]) -> dict[str, int | None]:
    """Return how many prompts lie in more than one split."""
    exact = in_several([columns.prompt_key[split.rows] for split in splits])
    keys = columns.normalized_prompt_key
    normalized = None if keys is None else in_several([keys[split.rows] for split in splits])
    return {"exact": exact, "normalized": normalized}


def _spread(values: npt.NDArray[np.int64]) -> dict[str, float | int]:
    """Return the mean and two percentiles, which are values that occur."""
    low, high = np.percentile(values, [5, 95], method="inverted_cdf")
    return {"mean": round(_sum(values) / len(values), 2), "p5": int(low), "p95": int(high)}


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 6)


def _sum(values: Numbers | npt.NDArray[np.int64]) -> int:
    return int(values.sum(dtype=np.int64))
