"""What an arrangement did to the rows: counts of each source, and entries of the ledger."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from staged_rows import documents, stage

from sftprep.arrange.plan import Plan, SplitPlan
from sftprep.dataset.accounting import imbalance
from sftprep.dataset.outcome import (
    Outcome,
    arranged_counts,
    arranged_inputs,
    dropped_entries,
    outcomes,
)


def plan_of(splits: dict[str, list[int]], dropped: list[tuple[int, int, int]]) -> Plan:
    """Return a plan: the rows of each split; and row, repeated row and reason of those in none."""
    rows, repeats, reasons = np.array(dropped, np.int64).reshape(-1, 3).T
    planned = tuple(
        SplitPlan(name, np.array(own), np.arange(len(own) + 1), np.ones(len(own), np.int32))
        for name, own in splits.items()
    )
    return Plan(planned, rows, repeats, reasons.astype(np.uint8), {})


SOURCE = np.array([0, 0, 0, 1, 1], np.int32)
PLAN = plan_of({"train": [0, 3, 0, 0], "validation": [1]}, [(2, 0, 0), (4, -1, 2)])
FOUND = [
    Outcome(4, 2, Counter(duplicate=1)),
    Outcome(1, 0, Counter(not_sampled=1)),
    Outcome(),
]


def test_each_row_is_written_or_dropped() -> None:
    """Rows are counted as often as they are written; copies beyond the first are repeated."""
    assert outcomes(PLAN, SOURCE, 3) == FOUND


def counts(written: int, **more: Any) -> dict[str, Any]:
    """Return the counts of a source before an arrangement."""
    return {
        "read": written + 1, "extra_examples": 0, "repeated": 0, "written": written,
        "dropped": {"too_long": 1}, "rejected": {}, **more,
    }  # fmt: skip


def test_counts_balance_after_an_arrangement() -> None:
    """Whatever is repeated and left out, each source is in balance, and so is the total."""
    inputs = [counts(3, name="a"), counts(2, name="b"), counts(0, name="c")]
    found = arranged_inputs(inputs, FOUND)
    assert [imbalance(entry) for entry in found] == ["", "", ""]
    assert [entry["name"] for entry in found] == ["a", "b", "c"]
    assert found[0]["dropped"] == {"duplicate": 1, "too_long": 1}
    whole = counts(5, read=8, dropped={"too_long": 3}, roles={"human as user": 4}, tokens=99)
    index = Counter(tokens=70, unclean_boundary=2) + Counter({"omitted:tools": 3})
    total = arranged_counts(whole, FOUND, index)
    assert imbalance(total) == ""
    assert (total["written"], total["repeated"]) == (5, 2)
    assert total["dropped"] == {"duplicate": 1, "not_sampled": 1, "too_long": 3}
    assert (total["tokens"], total["unclean_boundaries"], total["truncated"]) == (70, 2, 0)
    assert (total["omitted"], total["control_strings"]) == ({"tools": 3}, {})
    assert total["roles"] == {"human as user": 4}


def test_entries_name_the_row_and_what_it_repeats(tmp_path: Path) -> None:
    """A row of a table has no offset; an answer is named if it is not the first of its record."""
    batch = documents(5)
    assert batch.facts is not None
    batch.facts.source[3:] = 1
    batch.facts.offset[3:] = -1
    batch.facts.answer[2] = 4
    entries = list(dropped_entries(PLAN, stage(tmp_path, batch), ["a.jsonl", "b.parquet"]))
    assert entries == [
        {"file": "a.jsonl", "line": 3, "offset": 200, "answer": 4, "reason": "duplicate",
         "tokens": batch.lengths[2], "repeats": {"file": "a.jsonl", "line": 1, "offset": 0}},
        {"file": "b.parquet", "row": 5, "reason": "not_sampled", "tokens": batch.lengths[4]},
    ]  # fmt: skip
