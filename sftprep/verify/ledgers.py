"""The lists of lost records, as they are and as they should be.

In     ``rejects.jsonl`` and ``dropped.jsonl`` of a dataset; the manifest's counts, or the lists
       that the same inputs give again.
Out    problems: entries that are none, counts that differ, the first entry that differs.
Keeps  one line in memory at a time. What is compared is which record, and the reason's code: its
       words may change from version to version.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import orjson

from sftprep.dataset.manifest import Manifest
from sftprep.verify.folder import Facts, Folder, check_facts, facts_of
from sftprep.verify.manifest import LEDGERS
from sftprep.verify.report import Report


class Entry(NamedTuple):
    """A lost record."""

    file: str
    line: int
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.reason})"


def check_ledgers(files: Folder, manifest: Manifest, there: set[str], report: Report) -> None:
    """Check the ledgers that are there: their bytes, their form and what they count."""
    for name in sorted(LEDGERS.keys() & manifest.ledgers.keys() & there):
        facts = manifest.ledgers[name]
        with files.open(name) as file:
            check_facts(name, facts_of(file), Facts(facts["bytes"], facts["sha256"]), report)
            listed: Counter[tuple[str, str]] = Counter()
            for row, entry in enumerate(_entries(file)):
                if entry is None:
                    report.add(name, "is no entry with file, line, offset and reason", row)
                    break
                listed[entry.file, entry.reason] += 1
            else:
                _check_counts(name, listed, manifest, report)


def _check_counts(
    name: str, listed: Counter[tuple[str, str]], manifest: Manifest, report: Report
) -> None:
    wanted: Counter[tuple[str, str]] = Counter()
    for source in manifest.inputs:
        for reason, count in source[LEDGERS[name]].items():
            wanted[source["name"], reason] += count
    for key in sorted(listed.keys() | wanted.keys()):
        if listed[key] != wanted[key]:
            report.add(
                name,
                f"lists {listed[key]:,} records of {key[0]} as {key[1]}; the manifest says "
                f"{wanted[key]:,}",
            )


def compare_ledger(
    files: Folder, name: str, again: Path, report: Report, *, listed: bool, whole: bool
) -> None:
    """Note the first entry that differs from those that the inputs give again.

    Args:
        files: the dataset's.
        name: of the ledger.
        again: the folder with the ledgers of the inputs' records.
        report: for the problem.
        listed: whether the dataset has this ledger.
        whole: whether all inputs were gone through; if not, later entries are not missed.
    """
    with ExitStack() as stack:
        old: Iterable[bytes] = stack.enter_context(files.open(name)) if listed else ()
        path = again / name
        new: Iterable[bytes] = stack.enter_context(path.open("rb")) if path.exists() else ()
        for row, (found, expected) in enumerate(zip_longest(_entries(old), _entries(new))):
            if expected is None and not whole:
                return
            if found != expected:
                words = [f"lists {found}" if found else "lists no more"]
                words.append(f"the inputs give {expected}" if expected else "the inputs do not")
                report.add(name, "; ".join(words), row)
                return


def _entries(lines: Iterable[bytes]) -> Iterator[Entry | None]:
    """The entries; None for a line that is none."""
    for line in lines:
        try:
            value = orjson.loads(line)
            entry = Entry(*(value[key] for key in Entry._fields))
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
            yield None
            continue
        texts = isinstance(entry.file, str) and isinstance(entry.reason, str)
        yield entry if texts and type(entry.line) is type(entry.offset) is int else None
