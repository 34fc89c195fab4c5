"""Memory does not grow with the input: all processes of a run together stay below 1 GiB."""

import json
import time
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import FULL, Case
from faults.processes import Run, reaped, session

pytestmark = pytest.mark.faults
LIMIT = 1 << 30
RECORD = b'{"prompt": "%d + 1\\n", "completion": "%d is what it gives"}\n'


def peak(run: Run, longest: float) -> int:
    """Return the peak memory of all processes of a run together, in bytes.

    Ten times a second, their proportional set sizes (PSS) are summed: the private pages of each,
    and its share of shared pages.
    """
    most = 0
    until = time.monotonic() + longest
    while run.process.poll() is None:
        assert time.monotonic() < until, "the run takes too long"
        most = max(most, sum(held(pid) for pid in session(run.pid)))
        time.sleep(0.1)
    return most


def held(pid: int) -> int:
    """Return how many bytes a process holds; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if "Pss:" in line)


def measured(case: Case, *more: str) -> int:
    """Run with two workers; return the peak memory in bytes."""
    case.workers = 2
    run = case.start(*more)
    with reaped(run):
        most = peak(run, 1800)
        ran = run.ended()
    assert ran.code == 0, ran
    return most


def test_many_tiny_records(case: Case) -> None:
    """A full run has ten million records."""
    records = 10_000_000 if FULL else 300_000
    case.source = case.folder / "tiny.jsonl"
    with case.source.open("wb") as file:
        for start in range(0, records, 10_000):
            file.write(b"".join(RECORD % (n, n) for n in range(start, start + 10_000)))
    most = measured(case, "--shard-size", "64MiB")
    manifest = json.loads((case.out / "manifest.json").read_text())
    assert manifest["counts"]["read"] == manifest["counts"]["written"] == records
    assert most < LIMIT, f"{most >> 20} MiB"
    count("inputs")


def test_long_lines(case: Case) -> None:
    """Records of some megabytes each are truncated."""
    case.source = case.folder / "long.jsonl"
    with case.source.open("w") as file:
        for number in range(40 if FULL else 8):
            text = " ".join(str(n * number) for n in range(400_000))
            file.write(json.dumps({"prompt": "Count.\n", "completion": text}) + "\n")
    most = measured(case, "--shard-size", "64MiB", "--truncation", "completion-end")
    assert most < LIMIT, f"{most >> 20} MiB"
    count("inputs")


@pytest.mark.parametrize("records", [0, 1])
def test_hardly_any_records(case: Case, records: int) -> None:
    """An empty file is reported as such; a single record makes a dataset."""
    case.source = case.folder / "few.jsonl"
    case.source.write_bytes(b"".join(RECORD % (n, n) for n in range(records)))
    ran = case.fork()
    count("inputs")
    assert ran.code == (0 if records else 66), ran
    assert not case.staging.exists()
    assert case.out.exists() == bool(records)


def test_many_files(case: Case) -> None:
    """Only a few input files are open at a time."""
    files = 20_000 if FULL else 2_000
    folder = case.folder / "many"
    for number in range(files):
        if number % 1000 == 0:
            below = folder / f"{number:06d}"
            below.mkdir(parents=True)
        (below / f"{number:06d}.jsonl").write_bytes(RECORD % (number, number))
    case.source = folder
    ran = case.fork("--shard-size", "64MiB", limits={"RLIMIT_NOFILE": 64})
    assert ran.code == 0, ran
    manifest = json.loads((case.out / "manifest.json").read_text())
    assert manifest["counts"]["read"] == files
    count("inputs")
