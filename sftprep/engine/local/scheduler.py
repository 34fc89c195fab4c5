"""Which worker gets which block, and what is done when a worker dies.

In     Blocks in input order.
Out    Their results in the same order.
Keeps  A bounded number of blocks in flight, so that memory does not grow with the input. If the
       worker of a block dies, which may be by chance, the block is tried once more in another one.
Never  Waits for a worker that has died, or, with a chat template, for one that does not finish its
       block: such a template is a program, and may never finish.
Raises InternalError: two workers died of the same block, whose lines the message names; or a worker
       and the one that replaced it died before they were given a block.
       TemplateError: a block took too long.

The pools of the standard library do not tell which block a dead worker had.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local.fork_server import WorkerProcess
from sftprep.engine.local.messages import Failed, Ready, send
from sftprep.engine.local.payloads import receive_answer, send_block
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import InternalError, TemplateError
from sftprep.pipeline import Settings
from sftprep.text import ascii_safe

BLOCKS_PER_WORKER = 2  # that a worker has at a time: one to work on, and the next one
IN_FLIGHT_PER_WORKER = 4  # blocks that were read and whose results were not yielded
BYTES_IN_FLIGHT = 48 << 20  # of blocks; a block of one long record may have 64 MiB
ATTEMPTS = 2  # to start a worker that dies before it was given a block
BLOCK_SECONDS = 300.0  # that a block with a chat template may take


class WorkerHandle:
    """A worker process, and the blocks that it was given and has not answered, in order.

    Args:
        process: the worker; it may still be loading.
        settings: what the pipeline is built from. They are sent only if this is the first worker of
            its fork server, which receives them for all.
        number: how many workers the scheduler had taken on before this one.
        attempt: 1, or 2 if it replaces a worker that died before it was given a block.
    """

    def __init__(
        self, process: WorkerProcess, settings: Settings, number: int, attempt: int
    ) -> None:
        self.process = process
        self.number = number
        self.pipe = process.pipe
        self.is_ready = False
        self.attempt = attempt
        self.blocks: deque[int] = deque()
        self.since = time.monotonic()  # when it began to work on the first of these blocks
        if process.is_first:
            self._send(lambda: send(self.pipe, settings))

    def note_ready(self, pid: int) -> None:
        """Note that the worker has loaded what it needs, and its process id."""
        self.process.note_ready(pid)
        self.is_ready = True

    def give(self, index: int, block: Block) -> None:
        """Send a block to the worker.

        Args:
            index: which block of the input it is, counted from 0.
            block: the block itself.
        """
        if not self.blocks:
            self.since = time.monotonic()
        self.blocks.append(index)
        self._send(lambda: send_block(self.pipe, block))

    def _send(self, send_it: Callable[[], None]) -> None:
        """Send a message; if the worker has died, that is noticed when its answer is awaited."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_it()


class Scheduler:
    """Distributes blocks over workers, and puts their results in order.

    Args:
        settings: what each worker builds its pipeline from.
        names: the paths of the sources, for messages.
        pool: where the workers come from.
        block_seconds: how long a block with a chat template may take.
    """

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        pool: WorkerPool,
        *,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self._settings = settings.light()
        self._names = names
        self._pool = pool
        self._block_seconds = block_seconds
        self._workers: list[WorkerHandle] = []
        self._taken_on = 0  # workers, dead ones included
        self._blocks: dict[int, Block] = {}  # in flight; kept for a second attempt
        self._queue: deque[int] = deque()  # in flight, and not given to a worker
        self._suspects: dict[int, int] = {}  # block -> workers taken on until its first one died
        self._done: dict[int, BlockResult] = {}
        self._bytes = 0  # of all blocks whose results were not yielded yet

    def add_workers(self, count: int, attempt: int = 1) -> None:
        """Take on more workers from the pool."""
        for process in self._pool.take(count):
            self._workers.append(WorkerHandle(process, self._settings, self._taken_on, attempt))
            self._taken_on += 1

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
        """Tell whether another block may be read; one block is always allowed."""
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
            timeout: how many seconds to wait for a first answer; None for as long as it takes.
        """
        if timeout is None and self._settings.untrusted:
            timeout = 1.0  # check the time at least once a second
        workers = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(workers), timeout):
            assert isinstance(pipe, Connection)
            self._receive_answer(workers[pipe])
            # Receive everything: if the worker has died, this must be known before it is given
            # another block, which would be blamed for the death.
            while not pipe.closed and pipe.poll():
                self._receive_answer(workers[pipe])
        if self._settings.untrusted:
            self._check_time()
        self._give_blocks()

    def _receive_answer(self, worker: WorkerHandle) -> None:
        """Receive one worker's next answer."""
        try:
            answer = receive_answer(worker.pipe)
        except (EOFError, OSError):  # perhaps in the middle of the answer
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
        """Put a dead worker's blocks back at the front of the queue, and take on another worker."""
        code = worker.process.exit_code()
        if worker not in self._workers:  # it was replaced with the others of its fork server
            return
        if not worker.blocks:
            self._replace_without_blocks(worker, code)
            return
        index = worker.blocks[0]  # the one it was working on: it answers in order
        # The block is blamed if its second worker was taken on after the first one's death. A
        # worker taken on earlier may have been killed together with the first one.
        if worker.number >= self._suspects.setdefault(index, self._taken_on):
            raise InternalError(_died_twice(self._describe(self._blocks[index]), code))
        self._queue.extendleft(reversed(worker.blocks))
        self._workers.remove(worker)
        self.add_workers(1)

    def _replace_without_blocks(self, worker: WorkerHandle, code: int) -> None:
        """Replace a worker that died without a block.

        If it was not ready, its fork server may have died before it forked: then no other worker of
        that server will be ready, and all of them are replaced.
        """
        if worker.attempt == ATTEMPTS:
            raise InternalError(
                _died_twice("a worker process died twice before it was given a block", code)
            )
        server = worker.process.server
        lost = [worker]
        if not worker.is_ready:
            lost = [w for w in self._workers if w.process.server is server and not w.is_ready]
        self._workers = [w for w in self._workers if w not in lost]
        self.add_workers(len(lost), worker.attempt + 1)

    def _describe(self, block: Block) -> str:
        records = len(block.lines())
        first, last = block.place(0)[0], block.place(records - 1)[0]
        path = self._names[block.source] if self._names else f"input {block.source}"
        return f"{ascii_safe(path)}: the worker process for lines {first:,} to {last:,} died twice"

    def _check_time(self) -> None:
        late = time.monotonic() - self._block_seconds
        if any(worker.blocks and worker.since < late for worker in self._workers):
            raise TemplateError(
                f"template {self._settings.template.name!r} needed more than "
                f"{self._block_seconds:g} seconds for one block; it may never finish. Correct the "
                "template."
            )


def _died_twice(what: str, code: int) -> str:
    """Return the message for workers that died.

    Args:
        what: which workers died.
        code: how the last one ended: its exit code, or minus a signal.
    """
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    return (
        f"{what}: it {how}. Nothing was published. If memory is short, run again with fewer "
        "--workers; --resume continues where this run stopped."
    )
