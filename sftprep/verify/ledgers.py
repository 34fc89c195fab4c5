"""Check the ledgers of a dataset: the lists of records that gave no row.

In     ``rejects.jsonl`` and ``dropped.jsonl``; the counts of the manifest; if the dataset is
       rebuilt, also the ledgers that the same inputs give now.
Out    problems: lines that are not entries, counts that differ, the first entry that differs.
Keeps  one line in memory at a time. Entries are compared by their record and the code of their
       reason only: the messages in a ledger may change from version to version.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import orjson

from sftprep.data.block import place_in
from sftprep.dataset.manifest import Manifest
from sftprep.text import number
from sftprep.verify.folder import DatasetFolder, check_digest, digest_of
from sftprep.verify.manifest import LEDGERS
from sftprep.verify.report import Report


class LedgerEntry(NamedTuple):
    """Which record gave no row, and why."""

    file: str
    line: int  # in a table, the number of the row
    offset: int | None  # of the record's first byte in the file; None in a table
    reason: str  # a code, such as too_long

    def __str__(self) -> str:
        return f"{place_in(self.file, self.line, self.offset)} ({self.reason})"


def check_ledgers(
    folder: DatasetFolder, manifest: Manifest, present: set[str], report: Report
) -> None:
    """Check the ledgers of a dataset against its manifest: hashes, entries and counts.

    Args:
        folder: the folder of the dataset.
        manifest: the manifest of the dataset.
        present: the files that exist; other ledgers are skipped.
        report: the problems are added to it.
    """
    for name in sorted(LEDGERS.keys() & manifest.ledgers.keys() & present):
        expected = manifest.ledgers[name]
        with folder.open(name) as file:
            check_digest(report, name, digest_of(file), expected["sha256"], expected["bytes"])
            listed: Counter[tuple[str, str]] = Counter()
            for row, entry in enumerate(_entries(file)):
                if entry is None:
                    report.add(name, "is not an entry with file, place and reason", row)
                    break
                listed[entry.file, entry.reason] += 1
            else:
                _check_counts(name, listed, manifest, report)


def _check_counts(
    name: str, listed: Counter[tuple[str, str]], manifest: Manifest, report: Report
) -> None:
    """Compare how often each reason is listed for each input with the counts of the manifest."""
    expected: Counter[tuple[str, str]] = Counter()
    for source in manifest.inputs:
        for reason, count in source[LEDGERS[name]].items():
            expected[source["name"], reason] += count
    for file, reason in sorted(listed.keys() | expected.keys()):
        found, wanted = listed[file, reason], expected[file, reason]
        if found != wanted:
            report.add(
                name,
                f"lists {number(found, 'record')} of {file} as {reason}; the manifest says "
                f"{wanted:,}",
            )


def compare_ledger(
    folder: DatasetFolder,
    name: str,
    rebuilt: Path,
    report: Report,
    *,
    listed: bool,
    complete: bool,
) -> None:
    """Compare a ledger with the one that the inputs give now, up to the first difference.

    Args:
        folder: the folder of the dataset.
        name: the name of the ledger.
        rebuilt: the ledger that the inputs give now; the file may not exist.
        report: the problem is added to it.
        listed: True if the dataset has this ledger.
        complete: True if all inputs were processed again. If not, the rebuilt ledger ends early,
            and the entries after its end are not compared.
    """
    with ExitStack() as stack:
        old: Iterable[bytes] = stack.enter_context(folder.open(name)) if listed else ()
        new: Iterable[bytes] = stack.enter_context(rebuilt.open("rb")) if rebuilt.exists() else ()
        for row, (found, expected) in enumerate(zip_longest(_entries(old), _entries(new))):
            if expected is None and not complete:
                return
            if found != expected:
                stored = f"lists {found}" if found else "lists no more records"
                given = f"give {expected}" if expected else "give no more records"
                report.add(name, f"{stored}; the inputs {given}", row)
                return


def _entries(lines: Iterable[bytes]) -> Iterator[LedgerEntry | None]:
    """Parse the lines of a ledger; a line that is not an entry gives None."""
    for line in lines:
        try:
            value = orjson.loads(line)
            is_row = "row" in value
            place = value["row" if is_row else "line"]
            offset = None if is_row else value["offset"]
            entry = LedgerEntry(value["file"], place, offset, value["reason"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            yield None
            continue
        texts = isinstance(entry.file, str) and isinstance(entry.reason, str)
        numbers = type(entry.line) is int and (is_row or type(entry.offset) is int)
        yield entry if texts and numbers else None
