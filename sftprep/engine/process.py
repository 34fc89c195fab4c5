"""A worker as a process: started, spoken to through a pipe, ended.

In     nothing.
Out    ``Process``: a fresh interpreter that runs ``pipes.main`` and waits for its settings.
Never  forks (the encoder's threads do not survive it), loads the caller's main module again, or
       imports what takes long: a process is started first of all, and loads while its parent does.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Pipe

START = "import sys; sys.path[:] = sys.argv[2:]; import sftprep.engine.pipes as p; p.main({})"


class Process:
    """A worker process and our end of its pipe."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        # Whether a key press ends the run is decided here: workers are born deaf to it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        # A program of its own: the caller's main module is neither loaded again nor run twice.
        self.child = subprocess.Popen(
            [sys.executable, "-c", START.format(theirs.fileno()), "", *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,  # they do no linear algebra
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that the end of the worker is the end of the pipe

    def end(self) -> None:
        """Kill it: it holds nothing that is not also here."""
        self.child.kill()
        self.child.wait()
        self.pipe.close()


class Staff:
    """Processes that were started before there was work for them."""

    def __init__(self) -> None:
        self._idle: list[Process] = []

    def start(self, count: int) -> None:
        """Start so many more."""
        for _ in range(count):
            self._idle.append(Process())  # one by one: if one fails, the others are known

    def hire(self) -> Process:
        """One that waits, or else a new one."""
        return self._idle.pop(0) if self._idle else Process()

    def dismiss(self) -> None:
        """End those that still wait."""
        for process in self._idle:
            process.end()
        self._idle.clear()


@contextmanager
def waiting(count: int) -> Iterator[Staff]:
    """So many processes, at hand until the end of the block."""
    staff = Staff()
    try:
        staff.start(count)
        yield staff
    finally:
        staff.dismiss()


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
