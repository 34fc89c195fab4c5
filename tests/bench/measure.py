"""The time and the peak memory of whole processes.

In     A ``Case``: commands that are started together, each as a new process.
Out    ``Ran``: seconds from the first start to the last end, and what the commands report.
Keeps  Other work out of the measured time: the disk is synced before, and the output removed
       after. Memory is sampled in runs whose time does not count.
Raises SystemExit: a command has failed; the message shows the end of its stderr.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

PAUSE = 0.02  # seconds between two samples of memory


class Report(NamedTuple):
    """What a command reports about its work."""

    records: int
    tokens: int
    ready: float | None = None  # when the work began, in seconds of the monotonic clock
    done: float | None = None  # when the work ended


def of_child(out: bytes) -> Report:
    """Parse the report of a program of this folder: a JSON object on its last line."""
    return Report(**orjson.loads(out.splitlines()[-1]))


def of_manifest(out: bytes) -> Report:
    """Make a report of the output of ``sftprep prepare --json``."""
    counts = orjson.loads(out)["counts"]
    return Report(counts["read"], counts["tokens"])


@dataclass(frozen=True, kw_only=True)
class Case:
    """Commands to be measured together."""

    name: str
    title: str
    kind: str = ""  # of data; rates are compared between cases of one kind
    commands: list[list[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    size: int = 0  # bytes of JSONL that the commands read
    fresh: tuple[Path, ...] = ()  # folders that must be empty at the start
    output: Path | None = None  # the folder of ``fresh`` that holds the result
    report: Callable[[bytes], Report] | None = None


class Ran(NamedTuple):
    """The figures of one run of a case."""

    seconds: float
    startup: float | None  # seconds until the work of the slowest command began
    work: float | None  # seconds from then to the end of the work
    records: int
    tokens: int
    output: int  # bytes


@dataclass
class Measured:
    """All runs of a case."""

    case: Case
    runs: list[Ran] = field(default_factory=list)
    peak: int | None = None  # bytes

    def of(self, what: str) -> list[float]:
        """Return one figure of all runs: ``seconds``, ``startup`` or ``work``."""
        return [getattr(run, what) for run in self.runs if getattr(run, what) is not None]


def run(case: Case) -> Ran:
    """Run a case once and take its time."""
    return _run(case, lambda processes: [process.wait() for process in processes])


def peak_memory(case: Case) -> int | None:
    """Run a case once and sample its memory.

    Returns:
        The largest sum over all its processes in bytes, with shared pages counted once (PSS); None
        if the system has no /proc/PID/smaps_rollup.
    """
    peak = 0

    def look(processes: list[subprocess.Popen[bytes]]) -> None:
        nonlocal peak
        while any(process.poll() is None for process in processes):
            peak = max(peak, sum(_memory(pid) for p in processes for pid in _tree(p.pid)))
            time.sleep(PAUSE)

    _run(case, look)
    return peak or None


def _run(case: Case, attend: Callable[[list[subprocess.Popen[bytes]]], object]) -> Ran:
    for folder in case.fresh:
        folder.mkdir(parents=True)
    with tempfile.TemporaryFile() as errors:
        outs = [tempfile.TemporaryFile() for _ in case.commands]  # noqa: SIM115 - closed below
        os.sync()
        began = time.monotonic()
        processes = [
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
                env={**os.environ, **case.env},
            )
            for command, out in zip(case.commands, outs, strict=True)
        ]  # fmt: skip
        try:
            attend(processes)
            seconds = time.monotonic() - began
            if any(process.returncode for process in processes):
                sys.exit(f"{case.name} failed:\n{_text(errors).decode(errors='replace')[-3000:]}")
            size = _size(case.output) if case.output else 0
            return _ran(case, began, seconds, [_text(out) for out in outs], size)
        finally:
            for process, out in zip(processes, outs, strict=True):
                process.kill()  # if the measurement was interrupted
                process.wait()
                out.close()
            for folder in case.fresh:
                shutil.rmtree(folder)


def _ran(case: Case, began: float, seconds: float, outs: list[bytes], size: int) -> Ran:
    reports = [case.report(out) for out in outs] if case.report else []
    ready = [report.ready for report in reports if report.ready is not None]
    done = [report.done for report in reports if report.done is not None]
    startup = max(ready) - began if ready else None
    work = max(done) - max(ready) if ready and done else None
    records, tokens = (sum(getattr(r, name) for r in reports) for name in ("records", "tokens"))
    return Ran(seconds, startup, work, records, tokens, size)


def _text(file: IO[Any]) -> bytes:
    file.seek(0)
    data: bytes = file.read()
    return data


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    try:
        listed = [p.read_text() for p in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # the process or one of its threads has ended
        return
    for child in " ".join(listed).split():
        yield from _tree(int(child))


def _memory(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
