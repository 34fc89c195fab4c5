"""Workers as processes: started, told apart, ended.

In     how many.
Out    ``Process``: a worker, and our end of its pipe.
Keeps  what takes long to load from being loaded by each. One fresh interpreter runs ``pipes.main``;
       when it has loaded all it forks into the workers and ends, and they become our children. That
       is Linux's way; elsewhere each worker is started for itself.
Never  forks this process, whose caller may have threads; loads the caller's main module again; or
       imports what takes long: workers are started first of all, and load while their parent does.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe

from sftprep.engine.linux import adopt
from sftprep.engine.pipes import Ready, receive

PATIENCE = 1.0  # seconds
START = "import sys; sys.path[:] = sys.argv[2:]; import sftprep.engine.pipes as p; p.main({})"


class _Program:
    """A fresh interpreter, which becomes a worker for each of its pipes.

    Args:
        pipes: their ends.
        forks: whether there are several, which will be our children when it has ended.
    """

    def __init__(self, pipes: Sequence[Connection], *, forks: bool) -> None:
        descriptors = [pipe.fileno() for pipe in pipes]
        # Whether a key press ends the run is decided here: workers are born deaf to it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._adopts = forks
        try:
            # A program of its own: the caller's main module is neither loaded again nor run twice.
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    START.format(", ".join(map(str, descriptors))),
                    "",
                    *sys.path,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,  # they do no linear algebra
            )
        except BaseException:
            self._adopt_no_more()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.pid = self._child.pid
        self._unborn = len(pipes)

    def has_forked(self) -> None:
        """One more of its workers lives; with the last it ends."""
        self._unborn -= 1
        if not self._unborn:
            self.wait()

    def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        code = self._child.wait()
        self._adopt_no_more()
        return code

    def end(self, patience: float = 0) -> int:
        """Kill it, unless it ends by itself within so many seconds; its exit code."""
        if patience:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
        self._child.kill()
        return self.wait()

    def _adopt_no_more(self) -> None:
        if self._adopts:
            adopt(on=False)
            self._adopts = False


class Process:
    """A worker, and our end of its pipe.

    Args:
        program: what it will be forked from, or is.
        pipe: our end.
        is_first: whether its program is spoken to through this pipe.
    """

    def __init__(self, program: _Program, pipe: Connection, *, is_first: bool) -> None:
        self.pipe = pipe
        self.is_first = is_first
        self._program = program
        self._pid: int | None = None  # not known until it says so

    def is_ready(self, pid: int) -> None:
        """It has told its number."""
        self._pid = pid
        if pid != self._program.pid:
            self._program.has_forked()

    def end(self, *, is_dying: bool = False) -> int:
        """Kill it: it holds nothing that is not also here.

        Args:
            is_dying: whether it has closed its pipe: then it may still say how it ended.

        Returns:
            Its exit code, or minus the signal that ended it.
        """
        is_forked = self._pid is not None and self._pid != self._program.pid
        code = self._program.wait() if is_forked else self._program.end(PATIENCE * is_dying)
        if self._pid is None:
            self._pid = self._first_word()  # perhaps it was forked just before
        if self._pid is not None and self._pid != self._program.pid:
            code = _end(self._pid)
        self.pipe.close()
        return code

    def _first_word(self) -> int | None:
        """The number of a worker whose program has ended; None where it never lived."""
        with contextlib.suppress(EOFError, OSError):
            word = receive(self.pipe).thing()
            return word.pid if isinstance(word, Ready) else None
        return None


def _end(pid: int) -> int:
    """Kill a child that was forked for us; its exit code (0, if another took it)."""
    try:
        os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except (ProcessLookupError, ChildProcessError):
        return 0


def start(count: int) -> list[Process]:
    """Start so many workers."""
    if count > 1 and not adopt(on=True):
        return _start_each(count)
    if not count:
        return []
    ends = [Pipe() for _ in range(count)]
    program = _Program([theirs for _, theirs in ends], forks=count > 1)
    for _, theirs in ends:
        theirs.close()  # so that the end of the worker is the end of the pipe
    return [Process(program, ours, is_first=ours is ends[0][0]) for ours, _ in ends]


def _start_each(count: int) -> list[Process]:
    """Start so many, each for itself; all or none."""
    started: list[Process] = []
    try:
        for _ in range(count):
            started += start(1)
    except BaseException:
        for process in started:
            process.end()
        raise
    return started


class Staff:
    """Workers that were started before there was work for them."""

    def __init__(self) -> None:
        self._idle: list[Process] = []

    def start(self, count: int) -> None:
        """Start so many more."""
        self._idle += start(count)

    def hire(self, count: int) -> list[Process]:
        """So many: those that wait, and new ones for the rest."""
        hired, self._idle = self._idle[:count], self._idle[count:]
        return hired + start(count - len(hired))

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
