"""Runs under ``strace``: which system calls they make, and what happens if one fails or kills.

A fault strikes one call on the output's files, for example the third ``fsync`` of a thread. First
the calls of an undisturbed run are recorded: so a sweep knows how many calls of each name there are
and on which paths. Only calls on those paths are counted and broken.
"""

import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.harness import Case
from faults.processes import LONGEST, Ran

# Without "access" and "stat": if they fail, the file does not exist.
CALLS = (
    *("openat", "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "fallocate"),
    *("close", "flock", "rename", "renameat", "renameat2", "link", "linkat", "mkdir", "mkdirat"),
    *("rmdir", "unlink", "unlinkat", "chmod", "fchmod", "fchmodat"),
)
LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
QUOTED = re.compile(r'[<"](/[^">]*)[">]')


class Call(NamedTuple):
    """A system call on the output's files, from a trace."""

    thread: int
    name: str
    paths: tuple[str, ...]  # that it names, or of the descriptors that it uses; without links
    text: str  # its arguments and its result


def why_no_strace() -> str:
    """Return why no run can be traced here; empty if one can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "this system does not let processes be traced"


WHY_NOT = why_no_strace()
needs_strace = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def traced(case: Case, options: list[str], *more: str) -> tuple[Ran, list[str]]:
    """Run a fork under ``strace``; return its result and the lines of the trace.

    Args:
        case: the run's folder and command.
        options: of strace: what to trace and what to break.
        more: further arguments of the run.
    """
    trace = case.folder / "trace"
    trace.unlink(missing_ok=True)
    forks = case.world.forks
    pid = forks.start(case.argv(*more), case.folder, traced=True)
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "300", "-o", str(trace), "-p", str(pid), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ran = forks.ended(pid, case.folder)
    finally:
        tracer.terminate() if tracer.poll() is None and not _ends(tracer) else None
        tracer.wait(LONGEST)
    return ran, trace.read_text(errors="replace").splitlines()


def _ends(tracer: subprocess.Popen[bytes]) -> bool:
    """Tell whether the tracer ends by itself, as it does after the run."""
    until = time.monotonic() + 5
    while tracer.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    return tracer.poll() is not None


def calls(lines: list[str], folder: Path) -> list[Call]:
    """Return the calls on paths below ``folder``, in the order in which they returned."""
    begun: dict[tuple[int, str], str] = {}
    found = []
    for line in lines:
        if not (match := LINE.match(line)):
            continue
        thread, name, text = int(match[1]), match[2], match[3]
        if text.endswith("<unfinished ...>"):
            begun[thread, name] = text.removesuffix("<unfinished ...>")
            continue
        text = begun.pop((thread, name), "") + text
        paths = tuple(p for p in QUOTED.findall(text) if Path(p).is_relative_to(folder))
        if paths and not paths[0].endswith(("/stdout", "/stderr")):
            found.append(Call(thread, name, paths, text))
    return found


class Sweep(NamedTuple):
    """The points at which a fault can strike: the calls of a run on its output."""

    points: list[tuple[str, int]]  # a call's name, and its number among those of its thread
    paths: list[str]  # relative to the case's folder

    def inject(self, case: Case, point: tuple[str, int], fault: str) -> list[str]:
        """Return the options of strace for a fault at one point."""
        name, number = point
        paths = [option for path in self.paths for option in ("-P", str(case.folder / path))]
        names = ",".join(sorted({name for name, _ in self.points}))
        return ["-e", f"trace={names}", "-e", f"inject={name}:{fault}:when={number}", *paths]


def sweep(case: Case, *more: str, also: tuple[str, ...] = ()) -> Sweep:
    """Trace an undisturbed run, and return the points at which faults can strike it.

    Args:
        case: the run's folder and command.
        more: further arguments of the run.
        also: names of calls to include besides those that write.
    """
    ran, lines = traced(case, ["-e", f"trace={','.join((*CALLS, *also))}"], *more)
    assert ran.code == 0, ran.err
    found = calls(lines, case.folder)
    numbers = Counter((call.thread, call.name) for call in found)
    most: dict[str, int] = {}
    for (_, name), number in numbers.items():
        most[name] = max(number, most.get(name, 0))
    points = [(name, n) for name in sorted(most) for n in range(1, most[name] + 1)]
    paths = sorted({str(Path(p).relative_to(case.folder)) for call in found for p in call.paths})
    return Sweep(points, paths)


def struck(lines: list[str]) -> bool:
    """Tell whether the fault has struck."""
    return any("(INJECTED)" in line or "+++ killed by SIGKILL" in line for line in lines)
