"""What an arrangement did to the rows of each source, and the counts and ledger entries of it.

In     the plan; the staged rows; the counts of records as they were before the arrangement.
Out    the counts after it, in the form of the manifest; and an entry for each row that is in no
       split, in input order.
Keeps  the balance of each source: read + extra examples + repeated = written + dropped + rejected.
       A row that is written several times is counted each time, the copies as ``repeated``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sftprep.arrange.plan import DUPLICATE, NEAR_DUPLICATE, REASONS, Plan
from sftprep.data.ragged import Offsets
from sftprep.dataset.staged_rows import StagedRows

COUNTED = {
    "tokens": "tokens",
    "trained_tokens": "trained_tokens",
    "truncated": "truncated",
    "truncated_trained": "truncated_trained",
    "shortened": "shortened",
    "glued_answers": "glued_answer",
    "records_with_control_strings": "control_string",
    "exchanges_dropped": "exchanges_dropped",
    "rewritten_histories": "rewritten_history",
    "unclean_boundaries": "unclean_boundary",
}
"""Counts of the manifest that are made again from the index, and their names there."""
COUNTED_BY_NAME = {
    "control_strings": "control_string:",
    "tokens_as_text": "token_as_text:",
    "omitted": "omitted:",
}
"""Such counts by name, and how their names begin in the index.

Counts of answers, fields and roles are not among them: they say what is in the records.
"""
AT_ONCE = 1 << 16  # rows whose entries are made at a time; bounds the memory


@dataclass
class Outcome:
    """What became of the rows of one source."""

    written: int = 0  # copies included
    repeated: int = 0  # the copies beyond the first of each row
    dropped: Counter[str] = field(default_factory=Counter)


def outcomes(plan: Plan, source: Any, count: int) -> list[Outcome]:
    """Return what becomes of the rows of each source.

    Args:
        plan: the plan.
        source: int32[rows]: the source of each row.
        count: the number of sources.
    """
    times = np.zeros(len(source), np.int64)
    for split in plan.splits:
        times += np.bincount(split.rows, minlength=len(source))
    written = np.bincount(source, times, count).astype(np.int64).tolist()
    rows = np.bincount(source[times > 0], minlength=count).tolist()
    found = [Outcome(w, w - r) for w, r in zip(written, rows, strict=True)]
    for number, reason in enumerate(REASONS):
        dropped = np.bincount(source[plan.dropped_rows[plan.reason == number]], minlength=count)
        for outcome, lost in zip(found, dropped.tolist(), strict=True):
            if lost:
                outcome.dropped[reason] = lost
    return found


def arranged_inputs(
    inputs: Sequence[Mapping[str, Any]], found: Sequence[Outcome]
) -> list[dict[str, Any]]:
    """Return the manifest's inputs with the counts of records after the arrangement.

    Args:
        inputs: with the counts before it.
        found: what became of the rows of each.
    """
    return [
        {**entry, **_counted(entry, outcome)} for entry, outcome in zip(inputs, found, strict=True)
    ]


def arranged_counts(
    counts: Mapping[str, Any], found: Sequence[Outcome], written: Mapping[str, int]
) -> dict[str, Any]:
    """Return the manifest's counts after the arrangement.

    Args:
        counts: the counts before it.
        found: what became of the rows of each source.
        written: what was counted of the rows that were written, by the names of the index.
    """
    whole = Outcome()
    for outcome in found:
        whole.written += outcome.written
        whole.repeated += outcome.repeated
        whole.dropped += outcome.dropped
    again = {name: written.get(index_name, 0) for name, index_name in COUNTED.items()}
    by_name = {
        name: {
            reason.removeprefix(prefix): written[reason]
            for reason in sorted(written)
            if reason.startswith(prefix)
        }
        for name, prefix in COUNTED_BY_NAME.items()
    }
    return {**counts, **_counted(counts, whole), **again, **by_name}


def _counted(counts: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Return the counts that the arrangement changes."""
    dropped = Counter(counts["dropped"]) + outcome.dropped
    return {
        "repeated": outcome.repeated,
        "written": outcome.written,
        "dropped": dict(sorted(dropped.items())),
    }


def dropped_entries(
    plan: Plan, staged: StagedRows, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the ledger's entry of each row that is in no split, in input order.

    Args:
        plan: the plan.
        staged: the rows.
        names: the names of the sources.
    """
    places = Places(staged, names)
    tokens = staged.column("tokens")
    for start in range(0, len(plan.dropped_rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        rows, repeats = plan.dropped_rows[part], plan.repeats[part]
        entries = zip(
            places.of(rows),
            map(REASONS.__getitem__, plan.reason[part].tolist()),
            tokens[rows].tolist(),
            places.of(np.maximum(repeats, 0)),
            strict=True,
        )
        for place, reason, length, kept in entries:
            entry = {**place, "reason": reason, "tokens": length}
            if reason in (DUPLICATE, NEAR_DUPLICATE):
                entry["repeats"] = kept
            yield entry


class Places:
    """Where the rows come from, as ledgers say it.

    Args:
        staged: the rows.
        names: the names of the sources.
    """

    def __init__(self, staged: StagedRows, names: Sequence[str]) -> None:
        self._names = names
        self._columns = [staged.column(name) for name in ("source", "line", "offset", "answer")]

    def of(self, rows: Offsets) -> list[dict[str, Any]]:
        """Return the file and the place in it of each row; with ``--per-turn`` also the answer."""
        return [
            {
                "file": self._names[source],
                **({"row": line} if offset < 0 else {"line": line, "offset": offset}),
                **({"answer": answer} if answer else {}),
            }
            for source, line, offset, answer in zip(
                *(column[rows].tolist() for column in self._columns), strict=True
            )
        ]
