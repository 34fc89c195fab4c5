"""Whole processes: how long they take, and how much memory they hold at the most.

In     a ``Case``: commands that are started together, each a fresh process.
Out    ``Ran``: seconds from the first start to the last end, and what the commands say they did.
Keeps  the clock apart from all else: before it starts, the disk is settled; memory is looked at in
       runs whose time does not count; what a run wrote is removed after it stopped.
Raises SystemExit: a command failed; its last words are shown.
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

PAUSE = 0.02  # seconds between two looks at the memory


class Report(NamedTuple):
    """What a command says of itself."""

    records: int
    tokens: int
    ready: float | None = None  # when its work began, by the monotonic clock
    done: float | None = None  # when it ended


def of_child(out: bytes) -> Report:
    """The report of a program of this folder: an object on its last line."""
    return Report(**orjson.loads(out.splitlines()[-1]))


def of_manifest(out: bytes) -> Report:
    """The report of ``sftprep prepare --json``."""
    counts = orjson.loads(out)["counts"]
    return Report(counts["read"], counts["tokens"])


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something to measure."""

    name: str
    title: str
    kind: str = ""  # of data: rates are compared within a kind
    commands: list[list[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    size: int = 0  # bytes of JSONL that it reads
    fresh: tuple[Path, ...] = ()  # folders that it must find empty
    output: Path | None = None  # which of them is the result
    report: Callable[[bytes], Report] | None = None


class Ran(NamedTuple):
    """One run."""

    seconds: float
    startup: float | None  # until the work began, of the slowest command
    work: float | None  # from then to its end
    records: int
    tokens: int
    output: int  # bytes of the result


@dataclass
class Measured:
    """All runs of a case."""

    case: Case
    runs: list[Ran] = field(default_factory=list)
    peak: int | None = None  # bytes

    def of(self, what: str) -> list[float]:
        """One field of all runs: ``seconds``, ``startup``, ``work``."""
        return [getattr(run, what) for run in self.runs if getattr(run, what) is not None]


def run(case: Case) -> Ran:
    """Run a case once, with the clock on."""
    return _run(case, lambda processes: [process.wait() for process in processes])


def peak_memory(case: Case) -> int | None:
    """Run a case once, and look at its memory all the time.

    Returns:
        Bytes: the largest sum over all its processes, pages shared by several counted once (PSS);
        None where the system has no /proc/PID/smaps_rollup.
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
                process.kill()  # where this was interrupted
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
    """A process and all below it."""
    yield pid
    try:
        listed = [p.read_text() for p in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it ended, or one of its threads did
        return
    for child in " ".join(listed).split():
        yield from _tree(int(child))


def _memory(pid: int) -> int:
    """Bytes of a process, shared pages by their part; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
