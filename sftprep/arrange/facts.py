"""The counts of a plan, as the manifest holds them; ``plan`` says what each of them is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Columns, Numbers, Rows
from sftprep.arrange.leaks import in_several
from sftprep.arrange.plan import SplitPlan


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
        found["efficiency"] = round(tokens / (packs * capacity), 6)
        found["documents_per_pack"] = _spread(np.diff(split.packs))
        found["trained_tokens_per_pack"] = _spread(per_pack)
    return found


def source_facts(columns: Columns, before: Rows, after: Rows) -> list[dict[str, Any]]:
    """Return what each source has of the training split, before and after rows were chosen."""
    number = int(columns.source.max(initial=-1)) + 1
    old, new = (_by_source(columns, rows, number) for rows in (before, after))
    return [
        {"source": source, "before": old[source], "after": new[source]}
        for source in range(number)
        if old[source]["rows"]
    ]


def leaks(columns: Columns, splits: Sequence[SplitPlan]) -> dict[str, int | None]:
    """Return how many prompts lie in more than one split."""
    exact = in_several([columns.prompt_key[split.rows] for split in splits])
    keys = columns.normalized_prompt_key
    normalized = None if keys is None else in_several([keys[split.rows] for split in splits])
    return {"exact": exact, "normalized": normalized}


def _by_source(columns: Columns, rows: Rows, number: int) -> list[dict[str, Any]]:
    sources = columns.source[rows]
    counts = np.bincount(sources, minlength=number)
    # Sums of floats are exact here: they stay far below 2**53.
    tokens = np.bincount(sources, columns.tokens[rows], minlength=number)
    trained = np.bincount(sources, columns.trained[rows], minlength=number)
    every = float(tokens.sum()) or 1.0
    return [
        {
            "rows": int(counts[source]),
            "tokens": int(tokens[source]),
            "trained_tokens": int(trained[source]),
            "share": round(float(tokens[source]) / every, 6),
        }
        for source in range(number)
    ]


def _spread(values: npt.NDArray[np.int64]) -> dict[str, float | int]:
    """Return the mean and two percentiles, which are values that occur."""
    low, high = np.percentile(values, [5, 95], method="inverted_cdf")
    return {"mean": round(_sum(values) / len(values), 2), "p5": int(low), "p95": int(high)}


def _sum(values: Numbers | npt.NDArray[np.int64]) -> int:
    return int(values.sum(dtype=np.int64))
