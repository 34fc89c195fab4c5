"""Give blocks to workers, put the results in order, and replace workers that die.

In     blocks in input order.
Out    their results in the same order.
Keeps  a bounded number of blocks in flight, so that memory does not grow with the input. If a
       worker dies, its block may not be the cause, so another worker tries the block once more.
Never  waits for a worker that has died, or that does not answer: a chat template is a program, and
       may never finish. The worker itself limits the CPU time of each record; if it cannot
       interrupt the template, the kernel ends the worker (signal ``SIGXCPU``). ``BLOCK_SECONDS`` is
       for a worker that waits without using CPU time, for instance because memory is swapped.
Raises InternalError: two workers died on the same block (the message names its lines); or a worker
       and the worker that replaced it died before they were given a block.
       TemplateError: a template took too long and could not be interrupted, or a block took very
       long.

The pools of the standard library are not used, because they do not report which block a dead worker
was working on.
"""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local.fork_server import WorkerProcess
from sftprep.engine.local.messages import Failed, Ready, send
from sftprep.engine.local.payloads import receive_answer, send_block
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import InternalError, TemplateError
from sftprep.pipeline import Pipeline, Work
from sftprep.settings import WorkSettings
from sftprep.text import ascii_safe

BLOCKS_PER_WORKER = 2  # a worker has at most the block that it works on, and the next one
IN_FLIGHT_PER_WORKER = 4  # limit of blocks that have been read, but whose results are not yielded
BYTES_IN_FLIGHT = 48 << 20  # limit of their total size; a single block may be larger
ATTEMPTS = 2  # how often to start a worker that dies before it was given a block
BLOCK_SECONDS = 3600.0  # the time that a worker may take for a block with a chat template


Given = tuple[Callable[[Any], Work], WorkSettings]
"""What builds the work of a worker, and its settings."""


class WorkerHandle:
    """A worker process, and the blocks that it was given and has not answered yet, in order.

    Args:
        process: the worker; it may still be loading.
        settings: what builds the work, and its settings. They are sent only if this is the first
            worker of its fork server, which receives them for all of its workers.
        number: how many workers the scheduler had taken from the pool before this one.
        attempt: 1, or 2 if it replaces a worker that died before it was given a block.
    """

    def __init__(self, process: WorkerProcess, settings: Given, number: int, attempt: int) -> None:
        self.process = process
        self.number = number
        self.pipe = process.pipe
        self.is_ready = False
        self.attempt = attempt
        self.blocks: deque[int] = deque()
        self.since = time.monotonic()  # when the worker began to work on the first of these blocks
        if process.is_first:
            self._send(lambda: send(self.pipe, settings))

    def note_ready(self, pid: int) -> None:
        """Record that the worker has loaded everything that it needs, and its process id."""
        self.process.note_ready(pid)
        self.is_ready = True

    def give(self, index: int, block: Block) -> None:
        """Send a block to the worker.

        Args:
            index: the number of the block in the input, from 0.
            block: the block itself.
        """
        if not self.blocks:
            self.since = time.monotonic()
        self.blocks.append(index)
        self._send(lambda: send_block(self.pipe, block))

    def _send(self, send_it: Callable[[], None]) -> None:
        """Send a message; a dead worker is noticed later, when its answer is received."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_it()


class Scheduler:
    """Distributes blocks over workers, and puts their results in order.

    Args:
        settings: the settings from which each worker builds its work.
        names: the paths of the sources, for messages.
        pool: starts the workers.
        block_seconds: the time that a worker may take for a block with a chat template.
        build: makes the work from its settings.
    """

    def __init__(
        self,
        settings: WorkSettings,
        names: Sequence[str],
        pool: WorkerPool,
        *,
        block_seconds: float = BLOCK_SECONDS,
        build: Callable[[Any], Work] = Pipeline,
    ) -> None:
        self._settings = settings.light()
        self._build = build
        self._names = names
        self._pool = pool
        self._block_seconds = block_seconds
        self._workers: list[WorkerHandle] = []
        self._taken = 0  # how many workers came from the pool so far, dead ones included
        self._blocks: dict[int, Block] = {}  # in flight; kept for a second attempt
        self._queue: deque[int] = deque()  # in flight, but not given to a worker
        # Block whose worker died -> how many workers had been taken from the pool until then.
        self._suspects: dict[int, int] = {}
        self._done: dict[int, BlockResult] = {}
        self._bytes = 0  # total size of the blocks whose results are not yielded yet

    def add_workers(self, count: int, attempt: int = 1) -> None:
        """Take more workers from the pool."""
        given = (self._build, self._settings)
        for process in self._pool.take(count):
            self._workers.append(WorkerHandle(process, given, self._taken, attempt))
            self._taken += 1

    def run(self, blocks: Iterator[Block]) -> Iterator[BlockResult]:
        """Yield the results in the order of the blocks."""
        read = yielded = 0
        more = True
        while more or yielded < read:
            while more and self._has_room(read - yielded):
                block = next(blocks, None)
                if block is None:
                    more = False
                    break
                self._blocks[read] = block
                self._bytes += len(block.data)
                self._queue.append(read)
                read += 1
                self._give_blocks()
                self._receive_answers(0)
                if yielded in self._done:
                    break
            while yielded not in self._done and yielded < read:
                self._receive_answers(None)
            while yielded in self._done:
                result = self._done.pop(yielded)
                self._bytes -= result.size
                yielded += 1
                yield result

    def _has_room(self, in_flight: int) -> bool:
        """Return True if another block may be read. One block in flight is always allowed."""
        few = in_flight < len(self._workers) * IN_FLIGHT_PER_WORKER
        return not in_flight or (few and self._bytes < BYTES_IN_FLIGHT)

    def _give_blocks(self) -> None:
        """Give queued blocks to the workers that have the fewest."""
        ready = [worker for worker in self._workers if worker.is_ready]
        while self._queue and ready:
            worker = min(ready, key=lambda w: len(w.blocks))
            if len(worker.blocks) >= BLOCKS_PER_WORKER:
                return
            index = self._queue.popleft()
            worker.give(index, self._blocks[index])

    def _receive_answers(self, timeout: float | None) -> None:
        """Receive all answers that have arrived, and give the workers new blocks.

        Args:
            timeout: how many seconds to wait for the first answer; None to wait without limit.
        """
        if timeout is None and self._settings.untrusted:
            timeout = 1.0  # check the time at least once a second
        workers = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(workers), timeout):
            assert isinstance(pipe, Connection)
            self._receive_answer(workers[pipe])
            # Receive everything that has arrived: if the worker has died, only the end of the pipe
            # shows it. Otherwise the dead worker might be given another block, which would then be
            # blamed for its death.
            while not pipe.closed and pipe.poll():
                self._receive_answer(workers[pipe])
        if self._settings.untrusted:
            self._check_time()
        self._give_blocks()

    def _receive_answer(self, worker: WorkerHandle) -> None:
        """Receive one worker's next answer."""
        try:
            answer = receive_answer(worker.pipe)
        except (EOFError, OSError):  # the worker died, perhaps in the middle of the answer
            self._replace(worker)
            return
        if isinstance(answer, Failed):
            raise answer.error
        if isinstance(answer, Ready):
            worker.note_ready(answer.pid)
            return
        index = worker.blocks.popleft()
        worker.attempt, worker.since = 1, time.monotonic()
        del self._blocks[index]
        self._done[index] = answer

    def _replace(self, worker: WorkerHandle) -> None:
        """Put a dead worker's blocks back at the front of the queue, and take a new worker."""
        code = worker.process.exit_code()
        if worker not in self._workers:  # replaced already, together with its whole fork server
            return
        if not worker.blocks:
            self._replace_without_blocks(worker, code)
            return
        index = worker.blocks[0]  # it was working on this block, because it answers in order
        if code == -signal.SIGXCPU:
            raise TemplateError(
                f"{self._place(self._blocks[index])}: chat template "
                f"{ascii_safe(self._settings.template_name)} used too much CPU time for one of "
                "these records, and could not be interrupted. Correct the template."
            )
        # The block is blamed only if its second worker was started after the first one had died. A
        # worker that was started earlier may have been killed together with the first one.
        if worker.number >= self._suspects.setdefault(index, self._taken):
            place = self._place(self._blocks[index], "two worker processes died on ")
            raise InternalError(_two_died(place, code))
        self._queue.extendleft(reversed(worker.blocks))
        self._workers.remove(worker)
        self.add_workers(1)

    def _replace_without_blocks(self, worker: WorkerHandle, code: int) -> None:
        """Replace a worker that had no block when it died.

        If the worker was not ready yet, its fork server may have died before it forked. Then no
        other worker of that server will become ready, so all of them are replaced.
        """
        if worker.attempt == ATTEMPTS:
            raise InternalError(
                _two_died("two worker processes died before they were given a block", code)
            )
        server = worker.process.server
        lost = [worker]
        if not worker.is_ready:
            lost = [w for w in self._workers if w.process.server is server and not w.is_ready]
        self._workers = [w for w in self._workers if w not in lost]
        self.add_workers(len(lost), worker.attempt + 1)

    def _place(self, block: Block, what: str = "") -> str:
        """Return the path of a block and its lines, with ``what`` between them."""
        (first, offset), (last, _) = block.place(0), block.place(block.records - 1)
        unit = "rows" if offset is None else "lines"
        path = self._names[block.source] if self._names else f"input {block.source}"
        return f"{ascii_safe(path)}: {what}{unit} {first:,} to {last:,}"

    def _check_time(self) -> None:
        late = time.monotonic() - self._block_seconds
        if any(worker.blocks and worker.since < late for worker in self._workers):
            raise TemplateError(
                f"template {self._settings.template_name!r} needed more than "
                f"{self._block_seconds:g} seconds for one block; it may never finish. Correct the "
                "template."
            )


def _two_died(what: str, code: int) -> str:
    """Return the message for two workers that died.

    Args:
        what: says which workers died.
        code: the exit code of the second one, see ``ForkServer.exit_code_of``.
    """
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    return (
        f"{what}; the second {how}. Nothing was published. If memory is short, run again with "
        "fewer --workers; --resume continues where this run stopped."
    )
