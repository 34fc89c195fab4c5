"""The order of calls in a good run: files are durable before they get their names."""

from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import Case
from faults.tracing import CALLS, Call, calls, needs_strace, traced

pytestmark = pytest.mark.faults
SYNCS = {"fsync", "fdatasync"}
NAMES = {"rename", "renameat", "renameat2", "link", "linkat"}
WRITES = {"write", "pwrite64", "writev", "ftruncate"}


def good_run(case: Case, *more: str) -> list[Call]:
    """Return the successful calls of an undisturbed run."""
    ran, lines = traced(case, ["-e", f"trace={','.join(CALLS)}"], *more)
    assert ran.code == 0, ran
    count("runs")
    case.assert_complete()
    return [call for call in calls(lines, case.folder) if " = -1 " not in call.text]


def assert_durable(trace: list[Call]) -> int:
    """Assert that data is synced before it, or a folder above it, is renamed; the new parent after.

    Returns:
        The number of renames.
    """
    dirty: set[Path] = set()
    unsettled: set[Path] = set()  # folders with a new name in them
    renames = 0
    for call in trace:
        paths = [Path(path) for path in call.paths]
        if call.name in WRITES:
            dirty.add(paths[0])
        elif call.name in SYNCS:
            dirty.discard(paths[0])
            unsettled.discard(paths[0])
        elif call.name in NAMES:
            old, new = paths[-2], paths[-1]
            inside = {path for path in dirty if path.is_relative_to(old)}
            assert not inside, f"{old.name} is renamed before these are durable: {inside}"
            unsettled.discard(old)
            unsettled.add(new.parent)
            renames += 1
    assert not unsettled, f"new names are not durable in {unsettled}"
    return renames


@needs_strace
def test_new_dataset(case: Case) -> None:
    """Files are synced first, then their folder, then the folder above."""
    assert assert_durable(good_run(case)) >= 9


@needs_strace
def test_replaced_dataset(case: Case) -> None:
    """The same holds when a dataset replaces another one."""
    assert case.with_options("--max-length", "50").fork().code == 0
    trace = good_run(case.with_options("--overwrite"))
    assert assert_durable(trace) >= 9
    assert [call for call in trace if "RENAME_EXCHANGE" in call.text]


@needs_strace
def test_the_manifest_is_last(case: Case) -> None:
    """No other file of the dataset is written after the manifest."""
    trace = good_run(case)
    opened = [
        c for c in trace if c.name == "openat" and ("O_WRONLY" in c.text or "O_RDWR" in c.text)
    ]
    written = [path for call in opened for path in call.paths if "/dataset/" in path]
    assert written
    assert Path(written[-1]).name.startswith("manifest.json")


@needs_strace
def test_the_journal_tells_the_truth(case: Case) -> None:
    """A shard and its index are durable before the journal lists them."""
    trace = good_run(case)
    synced: set[str] = set()
    lines = 0
    for call in trace:
        path = Path(call.paths[0])
        name = path.name
        if call.name in SYNCS:
            synced.add(f"{path.parent.name}/{name}")
        if call.name == "write" and name == "journal.jsonl":
            assert {f"{folder}/shard-{lines:05d}" for folder in ("data", "index")} <= synced
            lines += 1
    assert lines == 8
