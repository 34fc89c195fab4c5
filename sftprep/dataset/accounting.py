"""Account for every record: count the outcomes, per source and in total, and list lost records.

In     ``BlockResult``s in input order.
Out    the counts for the manifest; ``rejects.jsonl`` and ``dropped.jsonl``, if they have entries.
Keeps  the balance: read + extra examples = written + dropped + rejected, for each source.
Raises DataError: there are more bad records than allowed; without quarantine, none are allowed.
       Or more valid records were dropped than allowed.
       InternalError: the balance does not hold.
"""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sftprep.data.batch import DropReason
from sftprep.data.block import Source, place_in
from sftprep.data.result import BlockResult, LostRecord
from sftprep.dataset.causes import Causes
from sftprep.dataset.files import DROPPED, REJECTS
from sftprep.dataset.ledger import Ledger, LedgerInfo
from sftprep.dataset.long_records import LongRecords
from sftprep.errors import DataError, InternalError, RecordError
from sftprep.text import ascii_safe, number

MOST_NAMES = 200
"""How many names of fields or roles are counted each by itself."""
OTHER_NAMES = "(others)"
OVER_LIMIT = (DropReason.TOO_LONG.value, DropReason.CUT_TO_NOTHING.value)
"""Reasons for which a longer ``--max-length`` would have kept a record."""


@dataclass
class SourceCounts:
    """The numbers of records of one source, by outcome."""

    schema: str = ""
    read: int = 0
    extra: int = 0  # examples beyond the first of each record, with --per-turn
    repeated: int = 0  # copies of rows beyond the first of each, in an arranged dataset
    blank: int = 0
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts in the form of the manifest, without the schema."""
        return {
            "read": self.read,
            "extra_examples": self.extra,
            "repeated": self.repeated,
            "blank_lines": self.blank,
            "written": self.written,
            "dropped": dict(sorted(self.dropped.items())),
            "rejected": dict(sorted(self.rejected.items())),
        }

    @classmethod
    def from_dict(cls, counts: Mapping[str, Any]) -> "SourceCounts":
        """Build the counts from the result of ``as_dict`` with the key ``schema`` added."""
        return cls(
            schema=counts["schema"],
            read=counts["read"],
            extra=counts["extra_examples"],
            repeated=counts["repeated"],
            blank=counts["blank_lines"],
            written=counts["written"],
            dropped=Counter(counts["dropped"]),
            rejected=Counter(counts["rejected"]),
        )


class Accounting:
    """Counts the records of a run and writes its two ledgers.

    Args:
        sources: the sources of the run.
        folder: the folder in which the ledgers are written; None if there are to be none.
        quarantine: if True, bad records are written to ``rejects.jsonl``. If False, ``check``
            raises an error that lists the causes.
        private: whether only the owner may read the ledgers.

    Attributes:
        causes: why records were refused.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        folder: Path | None,
        *,
        quarantine: bool,
        private: bool = False,
    ) -> None:
        self.by_source = [SourceCounts() for _ in sources]
        self.counts: Counter[str] = Counter()
        self.controls: Counter[str] = Counter()
        self.outputs: Counter[str] = Counter()
        self.lookalikes: Counter[str] = Counter()
        self.omitted: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.fields: Counter[str] = Counter()
        self.other_stops: Counter[str] = Counter()
        self._sources = sources
        self._quarantine = quarantine
        self.causes = Causes()
        self._long = LongRecords()
        self._ledgers: dict[str, Ledger] = {}
        if folder is not None:
            self._ledgers = {
                name: Ledger(folder / name, private=private) for name in (REJECTS, DROPPED)
            }

    @property
    def read(self) -> int:
        """Return how many records were read so far."""
        return sum(counts.read for counts in self.by_source)

    @property
    def rejected(self) -> int:
        """Return how many records were rejected so far."""
        return sum(counts.rejected.total() for counts in self.by_source)

    @property
    def examples(self) -> int:
        """Return how many records, or with ``--per-turn`` examples, were read so far."""
        return self.read + sum(counts.extra for counts in self.by_source)

    def add(self, result: BlockResult) -> None:
        """Count the records of the next block, and list its lost records."""
        counts = self.by_source[result.source]
        counts.schema = counts.schema or result.schema
        counts.read += result.read
        counts.extra += result.counts["extra_examples"]
        counts.blank += result.blank
        counts.written += 0 if result.batch is None else len(result.batch)
        counts.dropped.update(lost.reason for lost in result.dropped)
        counts.rejected.update(lost.reason for lost in result.rejected)
        self.counts.update(result.counts)
        self.controls.update(result.controls)
        self.outputs.update(result.outputs)
        self.lookalikes.update(result.lookalikes)
        self.omitted.update(result.omitted)
        _add_names(self.ignored, result.ignored)
        _add_names(self.roles, result.roles)
        self.flags.update(result.flags)
        self.fields.update(result.fields)
        self.other_stops.update(result.other_stops)
        for lost in (*result.dropped, *result.rejected):
            if lost.reason in OVER_LIMIT and lost.tokens is not None:
                self._long.add(lost.tokens)
        for lost in result.rejected:
            self._note_cause(lost)
        if self._ledgers:
            self._list(result)

    def _list(self, result: BlockResult) -> None:
        """List the lost records of a block in the ledgers."""
        for lost in result.dropped:
            self._ledgers[DROPPED].add(self._entry(lost))
        if self._quarantine:
            for lost in result.rejected:
                self._ledgers[REJECTS].add(self._entry(lost) | _raw(lost.raw))

    def list_dropped(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """List rows that an arrangement leaves out; they are counted elsewhere."""
        for entry in entries:
            self._ledgers[DROPPED].add(entry)

    def ledgers(self) -> dict[str, LedgerInfo]:
        """Return the description of each ledger that has entries so far, by file name."""
        return {name: info for name, ledger in self._ledgers.items() if (info := ledger.info())}

    def described_ledgers(self) -> dict[str, dict[str, Any]]:
        """Return the manifest's description of each ledger that has entries."""
        return {name: {**info} for name, info in self.ledgers().items()}

    def state(self) -> dict[str, Any]:
        """Return all counts so far as plain JSON values, for the journal."""
        return {
            "sources": [{"schema": s.schema, **s.as_dict()} for s in self.by_source],
            "counts": dict(self.counts),
            "controls": dict(self.controls),
            "outputs": dict(self.outputs),
            "lookalikes": dict(self.lookalikes),
            "omitted": dict(self.omitted),
            "ignored": dict(self.ignored),
            "fields": dict(self.fields),
            "roles": dict(self.roles),
            "flags": dict(self.flags),
            "other_stops": dict(self.other_stops),
            "causes": self.causes.state(),
            "long_records": self._long.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the ``state`` of an interrupted run, and append to its ledgers."""
        self.by_source = [SourceCounts.from_dict(counts) for counts in state["sources"]]
        self.counts = Counter(state["counts"])
        self.controls = Counter(state["controls"])
        self.outputs = Counter(state["outputs"])
        self.lookalikes = Counter(state["lookalikes"])
        self.omitted = Counter(state["omitted"])
        self.ignored = Counter(state["ignored"])
        self.roles = Counter(state["roles"])
        self.flags = Counter(state["flags"])
        self.fields = Counter(state["fields"])
        self.other_stops = Counter(state["other_stops"])
        self.causes.restore(state["causes"])
        self._long = LongRecords(state["long_records"])
        for ledger in self._ledgers.values():
            ledger.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for ledger in self._ledgers.values():
            ledger.abandon()

    def close(self) -> None:
        """Make the ledgers durable and close them."""
        for ledger in self._ledgers.values():
            ledger.close()

    def check(self, limit: int | None) -> None:
        """Check that every record is accounted for, and that not too many are bad.

        Args:
            limit: with quarantine, the maximum number of rejected records; None for no limit.

        Raises:
            InternalError: the counts of a source do not balance.
            DataError: too many records are bad.
        """
        for source, counts in zip(self._sources, self.by_source, strict=True):
            check_balance(source.path, counts.as_dict())
        found = f"{self.rejected:,} of {self.read:,} records cannot be used"
        if not self._quarantine and self.rejected:
            more = self.causes.not_listed
            raise DataError(
                "\n".join(
                    [
                        f"{found}; nothing was published.",
                        *(f"{c.message} {c.others()}".rstrip() for c in self.causes.listed()),
                        *([f"... and {more:,} more; --on-error quarantine lists all"] * bool(more)),
                    ]
                )
            )
        if limit is not None and self.rejected > limit:
            raise DataError(
                f"{found}, and --max-rejects allows {limit:,}; nothing was published. Fix the "
                f"data, or raise the limit.\n{self.causes.most_frequent()}"
            )

    def check_dropped(self, limit: int | None) -> None:
        """Check that not too many valid records were dropped.

        Args:
            limit: the maximum number of dropped records, or examples; None for no limit.

        Raises:
            DataError: more were dropped.
        """
        counts = self.totals()
        dropped = sum(counts["dropped"].values())
        if limit is None or dropped <= limit:
            return
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts["dropped"].items())
        noun = "examples" if counts["extra_examples"] else "records"
        raise DataError(
            f"{dropped:,} of {self.examples:,} {noun} gave no row ({reasons}), and --max-dropped "
            f"allows {limit:,}; nothing was published. {longer_limit(counts)}Choose another "
            "--truncation, or raise the limit."
        )

    def totals(self) -> dict[str, Any]:
        """Return the counts of all sources together, in the form of the manifest."""
        total = SourceCounts()
        for counts in self.by_source:
            total.read += counts.read
            total.extra += counts.extra
            total.blank += counts.blank
            total.written += counts.written
            total.dropped += counts.dropped
            total.rejected += counts.rejected
        over_limit = sum((total.dropped + total.rejected)[reason] for reason in OVER_LIMIT)
        cuts = ("truncated", "truncated_trained", "shortened", "exchanges_dropped")
        names = (*cuts, "tokens", "trained_tokens")
        return {
            **total.as_dict(),
            **{name: self.counts[name] for name in names},
            "rewritten_histories": self.counts["rewritten_histories"],
            "unclean_boundaries": self.counts["unclean_boundaries"],
            "records_with_control_strings": self.counts["control_records"],
            "control_strings": dict(sorted(self.controls.items())),
            "output_fields": dict(sorted(self.outputs.items())),
            "tokens_as_text": dict(sorted(self.lookalikes.items())),
            "glued_answers": self.counts["glued_answers"],
            "empty_think_blocks": self.counts["empty_think_blocks"],
            "trained_think_blocks": self.counts["trained_think_blocks"],
            "omitted": dict(sorted(self.omitted.items())),
            "ignored_fields": dict(sorted(self.ignored.items())),
            "fields": dict(sorted(self.fields.items())),
            "roles": dict(sorted(self.roles.items())),
            "loss_flags": dict(sorted(self.flags.items())),
            "answers_without_stop": self.counts["answers_without_stop"],
            "other_stops": dict(sorted(self.other_stops.items())),
            "fitting_length": self._long.fitting_length(total.written + over_limit),
        }

    def _note_cause(self, lost: LostRecord) -> None:
        error = lost.error or RecordError(lost.reason, lost.reason)
        path = ascii_safe(self._sources[lost.source].path)
        where = place_in(path, lost.line, lost.offset)
        place = where if error.column is None else f"{where}:{error.column}"
        message = f"{place}: {error.problem}" if self._quarantine else error.text(where)
        self.causes.add(error, place, message)

    def _entry(self, lost: LostRecord) -> dict[str, Any]:
        """Return the ledger entry of a lost record, without the record itself."""
        is_row = lost.offset is None
        place = {"row": lost.line} if is_row else {"line": lost.line, "offset": lost.offset}
        entry: dict[str, Any] = {
            "file": self._sources[lost.source].name,
            **place,
            "reason": lost.reason,
        }
        if lost.tokens is not None:
            entry["tokens"] = lost.tokens
        if lost.error is not None:
            if lost.error.column is not None:
                entry["column"] = lost.error.column
            entry |= {"message": lost.error.problem, "cure": lost.error.cure}
        return entry


def _add_names(total: Counter[str], counts: Mapping[str, int]) -> None:
    """Add counts by name; those of new names are counted together once there are many names."""
    for name, count in counts.items():
        is_known = name in total or len(total) < MOST_NAMES
        total[name if is_known else OTHER_NAMES] += count


def _raw(line: bytes) -> dict[str, str]:
    """Return the record as text, or in base64 if it is not valid UTF-8."""
    try:
        return {"raw": line.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(line).decode()}


def longer_limit(counts: Mapping[str, Any]) -> str:
    """Name the limit that 99 % of the records would fit; "" if the present one is enough.

    Args:
        counts: the counts, in the form of the manifest.
    """
    length = counts["fitting_length"]
    return f"With --max-length {length}, 99% of the records would fit. " if length else ""


def imbalance(counts: Mapping[str, Any]) -> str:
    """Describe in words why the counts of records do not add up; return "" if they do.

    Args:
        counts: ``read`` and ``written``; ``dropped`` and ``rejected``, each by reason; with
            ``--per-turn`` also ``extra_examples``, the examples beyond the first of each record;
            with ``--repeat`` also ``repeated``, the copies beyond the first of each row.
    """
    dropped, rejected = sum(counts["dropped"].values()), sum(counts["rejected"].values())
    read, extra = counts["read"], counts.get("extra_examples", 0)
    repeated = counts.get("repeated", 0)
    if read + extra + repeated == counts["written"] + dropped + rejected:
        return ""
    more = f" + {extra:,} extra examples" if extra else ""
    more += f" + {repeated:,} repeated" if repeated else ""
    return (
        f"{number(read, 'record')} read{more}, but "
        f"{counts['written']:,} written + {dropped:,} dropped + {rejected:,} rejected"
    )


def check_balance(name: str, counts: Mapping[str, Any]) -> None:
    """Check that every record is accounted for.

    Args:
        name: the name of the records' source, for the message.
        counts: the same as for ``imbalance``.

    Raises:
        InternalError: the counts do not add up.
    """
    if problem := imbalance(counts):
        raise InternalError(
            f"{name}: {problem}. This is a bug in sftprep; nothing was published. Please report it."
        )
