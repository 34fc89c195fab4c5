"""Start worker processes and learn how they ended: the parent's side of one fork server.

In     the number of workers to start.
Out    one ``WorkerProcess`` per worker, with the parent's end of its pipe.
Keeps  loading time and memory low: one fresh interpreter runs ``main``, loads the libraries once,
       forks once per worker and exits. The kernel then makes the workers children of this process.
       With a single worker, the interpreter does not fork but becomes the worker itself.
Never  forks this process: its other threads might hold locks. Never imports the caller's main
       module a second time, as ``multiprocessing`` would. Never imports anything heavy: the workers
       are started before this process loads numpy, so that both load it at the same time. Never
       kills a process that may not be a child of this one.
Raises OSError: the interpreter cannot be started.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection, Pipe

from sftprep.system.linux import subreaper

EXIT_SECONDS = 1.0  # a process must exit within this time after it has closed its pipe
CODE = (
    "import sys; parent, descriptors = sys.argv[1:3]; sys.path[:] = sys.argv[3:]; "
    "from sftprep.engine.local.main import main; "
    "main(int(parent), [int(number) for number in descriptors.split(',')])"
)


class ForkServer:
    """A fresh interpreter, here called the program, and the workers that it forks.

    They form a process group of their own. Therefore they can all be killed even while their
    process ids are unknown, and Ctrl-C on the terminal does not reach them: the parent decides how
    to react to it.

    Args:
        count: the number of workers. For more than one, the caller must have acquired
            ``subreaper``; this object releases it.
    """

    def __init__(self, count: int) -> None:
        self._forks = self._holds_subreaper = count > 1
        self._exit_codes: dict[int, int] = {}  # of workers that have been waited for
        self._ready: set[int] = set()  # process ids of workers that have been ready
        ends = []
        try:
            ends = [Pipe() for _ in range(count)]
            self._program = _start([theirs for _, theirs in ends])
        except BaseException:
            if self._holds_subreaper:
                subreaper.release()
            raise
        finally:
            for _, theirs in ends:
                theirs.close()  # so that the pipe is closed as soon as the worker ends
        first = ends[0][0]
        self.workers = [WorkerProcess(self, ours, is_first=ours is first) for ours, _ in ends]

    def note_ready(self, pid: int) -> None:
        """Record a worker's process id; after the last worker, wait until the program exits."""
        self._ready.add(pid)
        if len(self._ready) == len(self.workers) and self._forks:
            self._end_program()

    def exit_code_of(self, pid: int | None) -> int:
        """Return the exit code of a worker that has closed its pipe.

        Args:
            pid: the worker's process id; None if the worker ended before it sent its id.

        Returns:
            The exit code; if a signal killed the worker, the negative number of that signal.
        """
        program_code = self._end_program()
        any_lives = self._reap_workers()
        if not self._forks or (pid is None and program_code):
            return program_code
        if pid is None:  # the program has forked: look for a worker that was never ready
            codes = (code for ended, code in self._exit_codes.items() if ended not in self._ready)
            return next(codes, program_code)
        until = time.monotonic() + EXIT_SECONDS
        while any_lives and pid not in self._exit_codes and time.monotonic() < until:
            time.sleep(0.001)
            any_lives = self._reap_workers()
        if any_lives and pid not in self._exit_codes:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._exit_codes[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return self._exit_codes.get(pid, program_code)

    def close(self) -> None:
        """Kill the program and all workers, and wait for them. None of them has data to save."""
        if self._program.returncode is None:
            self._kill_group()
            self._end_program()
        if self._reap_workers():
            self._kill_group()
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.waitpid(-self._program.pid, 0)

    def _kill_group(self) -> None:
        """Kill the process group.

        Call this only while at least one member of the group has not been waited for: until then
        no other process group can get the same id.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._program.pid, signal.SIGKILL)

    def _end_program(self) -> int:
        """Wait a moment for the program to exit, then kill it; return its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._program.wait(EXIT_SECONDS)
        self._program.kill()
        code = self._program.wait()
        if self._holds_subreaper:  # the workers are children of this process by now
            self._holds_subreaper = False
            subreaper.release()
        return code

    def _reap_workers(self) -> bool:
        """Record the exit codes of forked workers that have ended; return True if any still runs.

        Call this only after the program was waited for: then only forked workers are left in the
        group.
        """
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-self._program.pid, os.WNOHANG))[0]:
                self._exit_codes[found[0]] = os.waitstatus_to_exitcode(found[1])
            return True
        return False


class WorkerProcess:
    """One worker, and the parent's end of its pipe.

    Args:
        server: the fork server that it belongs to.
        pipe: the parent's end.
        is_first: whether the fork server receives the settings through this pipe.
    """

    def __init__(self, server: ForkServer, pipe: Connection, *, is_first: bool) -> None:
        self.server = server
        self.pipe = pipe
        self.is_first = is_first
        self._pid: int | None = None  # unknown until the worker is ready

    def note_ready(self, pid: int) -> None:
        """Record the process id that the worker has sent."""
        self._pid = pid
        self.server.note_ready(pid)

    def exit_code(self) -> int:
        """Close the pipe and return the worker's exit code, see ``ForkServer.exit_code_of``."""
        self.pipe.close()
        return self.server.exit_code_of(self._pid)


def _start(pipes: list[Connection]) -> "subprocess.Popen[bytes]":
    """Start a fresh interpreter that becomes one worker for each of these pipe ends."""
    descriptors = [pipe.fileno() for pipe in pipes]
    # multiprocessing is not used, because it would import the caller's main module again.
    arguments = [str(os.getpid()), ",".join(map(str, descriptors)), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=descriptors,
        env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,  # more threads would never be used
        process_group=0,
    )
