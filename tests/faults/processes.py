"""Runs of the command: as a new process, or as a fork of one that has imported everything.

In     A command line, and a folder for what the run prints.
Out    Its exit code, its output and its time.
Raises AssertionError: the run hangs, or leaves a process behind. Its processes are then killed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 60.0  # seconds; a run that takes longer is said to hang
DEATH = 2.0  # seconds after a run's end by which its workers must be gone


class Ran(NamedTuple):
    """The result of a run; a negative code is minus the signal that ended it."""

    code: int
    out: str
    err: str
    seconds: float

    def facts(self) -> Any:
        """Parse what ``--json`` has printed."""
        return json.loads(self.out)


def texts(folder: Path, name: str = "") -> tuple[str, str]:
    """Return what a run has printed on stdout and stderr."""
    files = (folder / f"stdout{name}", folder / f"stderr{name}")
    out, err = (path.read_text(errors="replace") for path in files)
    return out, err


def fresh_env(**changes: str) -> dict[str, str]:
    """Return the environment of this process with changes."""
    return {**os.environ, **changes}


def session(leader: int) -> list[int]:
    """Return the processes of a run, which leads a session; zombies do not count."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - read often, with thousands of names
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(name))
    return found


def command_line(pid: int) -> str:
    """Return the command line of a process, or nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def workers_of(leader: int) -> list[int]:
    """Return the workers of a run: all its processes except the first and Python's own helper."""
    found = [pid for pid in session(leader) if pid != leader]
    return [pid for pid in found if "resource_tracker" not in command_line(pid)]


def assert_gone(leader: int) -> None:
    """Assert that two seconds later no process of the run is left."""
    until = time.monotonic() + DEATH
    while left := session(leader):
        if time.monotonic() > until:
            lines = [f"{pid}: {command_line(pid)}" for pid in left]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError("processes are left: " + "; ".join(lines))
        time.sleep(0.01)


class Run:
    """A run of the command as a new process."""

    def __init__(self, command: list[str], folder: Path, **options: Any) -> None:
        self._folder = folder
        out, err = (folder / "stdout").open("wb"), (folder / "stderr").open("wb")
        streams: Any = {"stdout": out, "stderr": err, "stdin": subprocess.DEVNULL} | options
        self._start = time.monotonic()
        self.process = subprocess.Popen(command, start_new_session=True, **streams)
        self.pid = self.process.pid
        out.close()
        err.close()

    def ended(self) -> Ran:
        """Wait for its end and return its result; it must not hang or leave a process behind."""
        try:
            code = self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            for pid in session(self.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"still runs after {LONGEST} seconds") from None
        seconds = time.monotonic() - self._start
        assert_gone(self.pid)
        return Ran(code, *texts(self._folder), seconds)


@contextmanager
def reaped(run: Run) -> Iterator[Run]:
    """Kill a run that still exists when the test ends, however the test ends."""
    try:
        yield run
    finally:
        if run.process.poll() is None:
            for pid in session(run.pid):
                os.kill(pid, signal.SIGKILL)
            run.process.wait()


class Forks:
    """Runs as forks of a process that has imported everything: see ``zygote``."""

    def __init__(self, argv: list[str]) -> None:
        mine, theirs = socket.socketpair()
        command = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._lines = mine.makefile("rw")
        self._link = mine
        self._ask(argv, expect="ready")

    def _ask(self, request: Any, expect: str | None = None) -> Any:
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        answer = self._lines.readline().strip()
        assert answer, "the zygote died"
        return answer if expect else json.loads(answer)

    def start(self, argv: list[str], folder: Path, *, name: str = "", **request: Any) -> int:
        """Start a run; return its process id.

        Args:
            argv: the arguments of ``sftprep``.
            folder: where its output goes.
            name: a suffix of the output files, if several runs share the folder.
            request: ``traced``: wait for a tracer; ``limits``: see ``resource.setrlimit``.
        """
        request = {"traced": False, "env": {}, "limits": {}, "cwd": "/", "argv": argv} | request
        request |= {"out": str(folder / f"stdout{name}"), "err": str(folder / f"stderr{name}")}
        for key in ("out", "err"):
            Path(str(request[key])).write_bytes(b"")  # a run may be killed before it opens them
        return int(self._ask({"start": request}))

    def ended(self, pid: int, folder: Path, *, name: str = "") -> Ran:
        """Wait for its end and return its result; it must not hang or leave a process behind."""
        start = time.monotonic()
        code = self._ask({"wait": pid, "seconds": LONGEST})
        if code is None:
            os.kill(pid, signal.SIGKILL)
            self._ask({"wait": pid, "seconds": LONGEST})
            raise AssertionError(f"still runs after {LONGEST} seconds")
        assert_gone(pid)
        seconds = time.monotonic() - start
        return Ran(code, *texts(folder, name), seconds)

    def close(self) -> None:
        """End the process that forks."""
        self._lines.close()
        self._link.close()
        self._process.wait(LONGEST)
