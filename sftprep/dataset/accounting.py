"""Count what became of every record, per source and in all, and list the losses.

In     ``BlockResult``s in input order.
Out    the counts of the manifest; ``rejects.jsonl`` and ``dropped.jsonl`` where there are any.
Keeps  read = written + dropped + rejected, per source.
Raises DataError where bad records are not allowed, or there are more than the limit.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sftprep.data.block import Source
from sftprep.data.result import BlockResult, LostRecord
from sftprep.dataset.ledger import Ledger
from sftprep.dataset.manifest import check_identity
from sftprep.errors import DataError, RecordError
from sftprep.text import ascii_safe

REJECTS = "rejects.jsonl"
DROPPED = "dropped.jsonl"
LISTED = 20
"""How many bad records an error lists; it names the total as well."""


@dataclass
class SourceCounts:
    """What became of one source's records."""

    schema: str = ""
    read: int = 0
    extra: int = 0  # examples beyond one a record
    blank: int = 0
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "read": self.read,
            "extra_examples": self.extra,
            "blank_lines": self.blank,
            "written": self.written,
            "dropped": dict(sorted(self.dropped.items())),
            "rejected": dict(sorted(self.rejected.items())),
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "SourceCounts":
        """The counts that ``as_dict`` and the schema tell."""
        return cls(
            schema=state["schema"],
            read=state["read"],
            extra=state["extra_examples"],
            blank=state["blank_lines"],
            written=state["written"],
            dropped=Counter(state["dropped"]),
            rejected=Counter(state["rejected"]),
        )


class Tally:
    """Counts, and the two ledgers.

    Args:
        sources: the run's sources.
        folder: where the ledgers are written.
        quarantine: whether bad records are set aside; if not, the first are kept for the error.
    """

    def __init__(self, sources: Sequence[Source], folder: Path, *, quarantine: bool) -> None:
        self.sources = [SourceCounts() for _ in sources]
        self.counts: Counter[str] = Counter()
        self.controls: Counter[str] = Counter()
        self.outputs: Counter[str] = Counter()
        self._places = sources
        self._quarantine = quarantine
        self._first: list[str] = []
        self._ledgers = {name: Ledger(folder / name) for name in (REJECTS, DROPPED)}

    @property
    def read(self) -> int:
        """Records read so far."""
        return sum(source.read for source in self.sources)

    @property
    def rejected(self) -> int:
        """Records rejected so far."""
        return sum(source.rejected.total() for source in self.sources)

    def add(self, result: BlockResult) -> None:
        """Count a block's records."""
        source = self.sources[result.source]
        source.schema = source.schema or result.schema
        source.read += result.read
        source.extra += result.counts["extra_examples"]
        source.blank += result.blank
        source.written += 0 if result.batch is None else len(result.batch)
        source.dropped.update(lost.reason for lost in result.dropped)
        source.rejected.update(lost.reason for lost in result.rejected)
        self.counts.update(result.counts)
        self.controls.update(result.controls)
        self.outputs.update(result.outputs)
        for lost in result.dropped:
            self._ledgers[DROPPED].add(self._entry(lost))
        for lost in result.rejected:
            if self._quarantine:
                self._ledgers[REJECTS].add(self._entry(lost) | _raw(lost.raw))
            elif len(self._first) < LISTED:
                self._first.append(self._message(lost))

    def ledgers(self) -> dict[str, dict[str, Any]]:
        """Entries, bytes and SHA-256 of each ledger that has entries, so far."""
        return {name: facts for name, ledger in self._ledgers.items() if (facts := ledger.facts())}

    def state(self) -> dict[str, Any]:
        """All counts so far, as plain values."""
        return {
            "sources": [{"schema": s.schema, **s.as_dict()} for s in self.sources],
            "counts": dict(self.counts),
            "controls": dict(self.controls),
            "outputs": dict(self.outputs),
            "first": list(self._first),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of an interrupted run, whose ledgers are in the folder."""
        self.sources = [SourceCounts.of(source) for source in state["sources"]]
        self.counts = Counter(state["counts"])
        self.controls = Counter(state["controls"])
        self.outputs = Counter(state["outputs"])
        self._first = list(state["first"])
        for ledger in self._ledgers.values():
            ledger.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for ledger in self._ledgers.values():
            ledger.abandon()

    def close(self) -> None:
        """Close the ledgers."""
        for ledger in self._ledgers.values():
            ledger.close()

    def check(self, limit: int | None) -> None:
        """Refuse bad records that are not allowed, and a sum that does not add up.

        Args:
            limit: with quarantine, the most rejected records; None for any number.
        """
        for place, source in zip(self._places, self.sources, strict=True):
            check_identity(place.path, source.as_dict())
        if not self._quarantine and self.rejected:
            more = self.rejected - len(self._first)
            lines = [
                f"{self.rejected:,} of {self.read:,} records cannot be used; nothing was "
                "published.",
                *self._first,
                *([f"... and {more:,} more; --on-error quarantine lists all"] if more else []),
            ]
            raise DataError("\n".join(lines))
        if limit is not None and self.rejected > limit:
            raise DataError(
                f"{self.rejected:,} of {self.read:,} records are bad, and --max-rejects allows "
                f"{limit:,}; nothing was published. Fix the data, or raise the limit."
            )

    def totals(self) -> dict[str, Any]:
        """The manifest's counts."""
        total = SourceCounts()
        for source in self.sources:
            total.read += source.read
            total.extra += source.extra
            total.blank += source.blank
            total.written += source.written
            total.dropped += source.dropped
            total.rejected += source.rejected
        names = ("truncated", "shortened", "exchanges_dropped", "tokens", "trained_tokens")
        return {
            **total.as_dict(),
            **{name: self.counts[name] for name in names},
            "rewritten_histories": self.counts["rewritten_histories"],
            "unclean_boundaries": self.counts["unclean_boundaries"],
            "records_with_control_strings": self.counts["control_records"],
            "control_strings": dict(sorted(self.controls.items())),
            "output_fields": dict(sorted(self.outputs.items())),
        }

    def _message(self, lost: LostRecord) -> str:
        error = lost.error or RecordError(lost.reason, lost.reason)
        return error.text(f"{ascii_safe(self._places[lost.source].path)}:{lost.line}")

    def _entry(self, lost: LostRecord) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "file": self._places[lost.source].name,
            "line": lost.line,
            "offset": lost.offset,
            "reason": lost.reason,
        }
        if lost.tokens is not None:
            entry["tokens"] = lost.tokens
        if lost.error is not None:
            if lost.error.column is not None:
                entry["column"] = lost.error.column
            entry |= {"message": lost.error.problem, "cure": lost.error.cure}
        return entry


def _raw(line: bytes) -> dict[str, str]:
    """The line as text, or in base64 where it is not valid UTF-8."""
    try:
        return {"raw": line.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(line).decode()}
