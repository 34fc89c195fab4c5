"""Workers as processes: started, told apart, ended.

In     how many.
Out    ``Process``: a worker, and our end of its pipe. ``Staff`` has all of them, and ends them.
Keeps  what takes long to load from being loaded by each. One fresh interpreter runs ``pipes.main``;
       when it has loaded all it forks into the workers and ends, and they become our children. That
       is Linux's way; elsewhere each worker is started for itself.
Never  forks this process, whose caller may have threads; loads the caller's main module again; or
       imports what takes long: workers are started first of all, and load while their parent does.
       Never kills a process that is not known to be our child.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe

from sftprep.system.linux import adoption

PATIENCE = 1.0  # seconds that a process whose pipe has ended is given to end too
START = (
    "import sys; sys.path[:] = sys.argv[2:]; import sftprep.engine.local.messages as p; p.main({})"
)


class _Team:
    """A fresh interpreter, and the workers that it becomes: a process group of their own.

    So all can be ended whether or not it is known how many there are by now. And a key press that
    ends the run does not reach them: the parent decides what it means.

    Args:
        pipes: the workers' ends.
        forks: whether there is more than one, for which an adoption was begun.
    """

    def __init__(self, pipes: list[Connection], *, forks: bool) -> None:
        self._forks = self._adopts = forks
        self._codes: dict[int, int] = {}  # of those that have ended
        self._born: set[int] = set()
        self._size = len(pipes)
        descriptors = [pipe.fileno() for pipe in pipes]
        # A program of its own: the caller's main module is neither loaded again nor run twice.
        code = START.format(", ".join(map(str, [os.getpid(), *descriptors])))
        self._program = subprocess.Popen(
            [sys.executable, "-c", code, "", *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=descriptors,
            env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,  # they do no linear algebra
            process_group=0,
        )

    def born(self, pid: int) -> None:
        """One more of the workers lives; with the last the program ends."""
        self._born.add(pid)
        if len(self._born) == self._size and self._forks:
            self._end_program()

    def code_of(self, pid: int | None) -> int:
        """How a worker ended that has closed its pipe: its exit code, or minus a signal.

        Args:
            pid: its number; None where it died before it told it.
        """
        code = self._end_program()
        live = self._others_live()
        if not self._forks or (pid is None and code):
            return code
        if pid is None:  # then it may be one of those that nobody knows
            return next((c for p, c in self._codes.items() if p not in self._born), code)
        until = time.monotonic() + PATIENCE
        while live and pid not in self._codes and time.monotonic() < until:
            time.sleep(0.001)
            live = self._others_live()
        if live and pid not in self._codes:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._codes[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return self._codes.get(pid, code)

    def end(self) -> None:
        """Kill all that live, and wait for them: they hold nothing that is not also here."""
        if self._program.returncode is None:
            self._kill()
            self._end_program()
        if self._others_live():
            self._kill()
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.waitpid(-self._program.pid, 0)

    def _kill(self) -> None:
        """Kill the group; one of it is our child, so that no other has its number."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._program.pid, signal.SIGKILL)

    def _end_program(self) -> int:
        """Kill the program, unless it ends by itself; its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._program.wait(PATIENCE)
        self._program.kill()
        code = self._program.wait()
        if self._adopts:
            self._adopts = False
            adoption.end()
        return code

    def _others_live(self) -> bool:
        """Note who has ended of those that were forked, after the program; whether any lives."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-self._program.pid, os.WNOHANG))[0]:
                self._codes[found[0]] = os.waitstatus_to_exitcode(found[1])
            return True
        return False


class Process:
    """A worker, and our end of its pipe.

    Args:
        team: that it belongs to.
        pipe: our end.
        is_first: whether its team is spoken to through this pipe.
    """

    def __init__(self, team: _Team, pipe: Connection, *, is_first: bool) -> None:
        self.team = team
        self.pipe = pipe
        self.is_first = is_first
        self._pid: int | None = None  # not known until it says so

    def born(self, pid: int) -> None:
        """It has told its number."""
        self._pid = pid
        self.team.born(pid)

    def code(self) -> int:
        """How it ended, having closed its pipe: its exit code, or minus a signal."""
        self.pipe.close()
        return self.team.code_of(self._pid)


class Staff:
    """All workers of a run, also those that were started before there was work for them."""

    def __init__(self) -> None:
        self._teams: list[_Team] = []
        self._idle: list[Process] = []

    def start(self, count: int) -> None:
        """Start so many more, together where that is possible."""
        if count > 1 and adoption.begin():
            self._start(count)
        else:
            for _ in range(count):
                self._start(1)

    def _start(self, count: int) -> None:
        ends = []
        try:
            ends = [Pipe() for _ in range(count)]
            self._teams.append(_Team([theirs for _, theirs in ends], forks=count > 1))
        except BaseException:
            if count > 1:
                adoption.end()
            raise
        finally:
            for _, theirs in ends:
                theirs.close()  # so that the end of the worker is the end of the pipe
        first = ends[0][0]
        self._idle += [Process(self._teams[-1], e, is_first=e is first) for e, _ in ends]

    def hire(self, count: int) -> list[Process]:
        """So many: those that wait, and new ones for the rest."""
        self.start(max(0, count - len(self._idle)))
        hired, self._idle = self._idle[:count], self._idle[count:]
        return hired

    def end(self) -> None:
        """End them all, at work or not."""
        self._idle.clear()
        while self._teams:
            self._teams[-1].end()
            self._teams.pop()


@contextmanager
def waiting(count: int) -> Iterator[Staff]:
    """So many processes, at hand until the end of the block."""
    staff = Staff()
    try:
        staff.start(count)
        yield staff
    finally:
        staff.end()
