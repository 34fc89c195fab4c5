"""The worker processes of one run, busy or idle.

Never  imports anything heavy; ``early`` says why.
"""

from sftprep.engine.local.fork_server import ForkServer, WorkerProcess
from sftprep.system.linux import subreaper


class WorkerPool:
    """Starts workers, hands them out, and ends them all when it is closed."""

    def __init__(self) -> None:
        self._servers: list[ForkServer] = []
        self._idle: list[WorkerProcess] = []

    def start(self, count: int) -> None:
        """Start ``count`` idle workers, from a single fork server if that is possible."""
        if count > 1 and subreaper.acquire():
            self._start_server(count)
        else:
            for _ in range(count):
                self._start_server(1)

    def _start_server(self, count: int) -> None:
        self._servers.append(ForkServer(count))
        self._idle += self._servers[-1].workers

    def take(self, count: int) -> list[WorkerProcess]:
        """Return ``count`` workers: the idle ones first, then newly started ones if needed."""
        self.start(max(0, count - len(self._idle)))
        taken, self._idle = self._idle[:count], self._idle[count:]
        return taken

    def close(self) -> None:
        """End all workers, busy or idle."""
        self._idle.clear()
        while self._servers:
            self._servers[-1].close()
            self._servers.pop()
