"""Work on blocks in processes of this machine.

In     blocks in input order, and the settings to build a ``Pipeline`` from.
Out    their results in the same order, whatever the number of workers.
Keeps  a bounded number of blocks in flight, so memory does not follow the input's size. A block
       whose worker died is tried once more, in a new worker: it may have been killed by chance.
Never  waits for a worker that died or, with a template that is not ours, for one that does not come
       to an end.
Raises InternalError: a block's worker died twice, with the block's records in its text; or a worker
       died twice before it had loaded what it needs.

What a pool of the standard library would not tell is which block a dead worker had.
"""

import contextlib
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from multiprocessing.connection import Connection, wait

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local.fork_server import Process, Staff
from sftprep.engine.local.messages import Ready, send
from sftprep.engine.local.worker import Failed, receive_result, send_block
from sftprep.errors import InternalError, TemplateError
from sftprep.pipeline import Pipeline, Settings
from sftprep.system.memory import keep_freed
from sftprep.text import ascii_safe

AHEAD = 2  # blocks that a worker has at a time: one to work on, one to go on with
FEW = 6  # blocks that are done before a process has started
IN_FLIGHT = 4  # for each worker, with those whose results wait for their turn
BYTES_IN_FLIGHT = 48 << 20  # where blocks are long: a record may have 64 MiB
TRIES = 2
BLOCK_SECONDS = 300  # for a block with a chat template, which may be anybody's


def run_blocks(
    blocks: Iterable[Block],
    settings: Settings,
    workers: int,
    names: Sequence[str] = (),
    staff: Staff | None = None,
) -> Iterator[BlockResult]:
    """Take every block through the stages; little input, or a single worker, needs no process.

    Args:
        blocks: in input order.
        settings: what pipelines are built from, here or in the workers.
        workers: how many processes at the most.
        names: of the sources, for an error's text.
        staff: processes that were started for this before.
    """
    blocks = iter(blocks)
    first, is_all = _beginning(blocks)
    if not first:
        return
    is_little = is_all and not (settings.is_slow and len(first) > 1)
    if not settings.untrusted and (workers == 1 or is_little):
        pipeline = Pipeline(settings)
        with _without_collection():
            yield from map(pipeline.process, chain(first, blocks))
        return
    staff = staff or Staff()
    try:
        crew = _Crew(settings, names, staff)
        crew.hire(min(workers, len(first)) if is_all else workers)
        yield from crew.run(chain(first, blocks))
    finally:
        staff.end()


def _beginning(blocks: Iterator[Block]) -> tuple[list[Block], bool]:
    """The first few blocks, and whether there are no more."""
    first: list[Block] = []
    for block in blocks:
        first.append(block)
        if len(first) == FEW or sum(len(b.data) for b in first) >= BYTES_IN_FLIGHT:
            return first, False
    return first, True


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for cycles: records are trees, which counting references frees."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Worker:
    """A process, and the blocks it was given and has not answered, in order.

    Args:
        process: which may still be loading.
        settings: what its program is to be told, unless it was told through another's pipe.
        number: how many were hired before it.
        tries: 1, and one more for each that died in its place before it had any work.
    """

    def __init__(self, process: Process, settings: Settings, number: int, tries: int) -> None:
        self.process = process
        self.number = number
        self.pipe = process.pipe
        self.is_ready = False
        self.tries = tries
        self.jobs: deque[int] = deque()
        self.since = time.monotonic()  # when it began the first of them
        if process.is_first:
            self._send(lambda: send(self.pipe, settings))

    def ready(self, pid: int) -> None:
        """It has loaded what it needs."""
        self.process.born(pid)
        self.is_ready = True

    def give(self, index: int, block: Block) -> None:
        """Send a block."""
        if not self.jobs:
            self.since = time.monotonic()
        self.jobs.append(index)
        self._send(lambda: send_block(self.pipe, block))

    def _send(self, send_it: Callable[[], None]) -> None:
        """Send; that it died is noticed when its answer is waited for."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_it()


class _Crew:
    """The workers, the blocks in flight, and the results that wait for their turn."""

    def __init__(self, settings: Settings, names: Sequence[str], staff: Staff) -> None:
        keep_freed()
        self._settings = settings.light()
        self._names = names
        self._staff = staff
        self._workers: list[_Worker] = []
        self._blocks: dict[int, Block] = {}  # in flight, for another try
        self._suspects: dict[int, int] = {}  # blocks, and how many had been hired when one died
        self._hired = 0
        self._queue: deque[int] = deque()  # in flight, and no worker has it
        self._done: dict[int, BlockResult] = {}
        self._bytes = 0  # of all blocks whose results were not taken yet

    def hire(self, count: int, tries: int = 1) -> None:
        """Take on so many more workers."""
        for process in self._staff.hire(count):
            self._workers.append(_Worker(process, self._settings, self._hired, tries))
            self._hired += 1

    def run(self, blocks: Iterator[Block]) -> Iterator[BlockResult]:
        """The results, in the order of the blocks."""
        given = taken = 0
        more = True
        while more or taken < given:
            while more and self._has_room(given - taken):
                block = next(blocks, None)
                if block is None:
                    more = False
                    break
                self._blocks[given] = block
                self._bytes += len(block.data)
                self._queue.append(given)
                given += 1
                self._hand_out()
                self._collect(0)
                if taken in self._done:
                    break
            while taken not in self._done and taken < given:
                self._collect(None)
            while taken in self._done:
                result = self._done.pop(taken)
                self._bytes -= result.size
                taken += 1
                yield result

    def _has_room(self, in_flight: int) -> bool:
        """Whether another block may be read; one is always at work."""
        few = in_flight < len(self._workers) * IN_FLIGHT
        return not in_flight or (few and self._bytes < BYTES_IN_FLIGHT)

    def _hand_out(self) -> None:
        """Give waiting blocks to the workers that have the fewest."""
        ready = [worker for worker in self._workers if worker.is_ready]
        while self._queue and ready:
            worker = min(ready, key=lambda w: len(w.jobs))
            if len(worker.jobs) >= AHEAD:
                return
            index = self._queue.popleft()
            worker.give(index, self._blocks[index])

    def _collect(self, timeout: float | None) -> None:
        """Take what the workers have to say; wait for it, unless the time is up."""
        if timeout is None and self._settings.untrusted:
            timeout = 1.0
        pipes = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(pipes), timeout):
            assert isinstance(pipe, Connection)
            self._hear(pipes[pipe])
            # All that is there: who is dead gets no more work, and is not blamed for it.
            while not pipe.closed and pipe.poll():
                self._hear(pipes[pipe])
        if self._settings.untrusted:
            self._check_patience()
        self._hand_out()

    def _hear(self, worker: _Worker) -> None:
        """Take what one worker has to say."""
        try:
            answer = receive_result(worker.pipe)
        except (EOFError, OSError):  # perhaps in the middle of its answer
            self._died(worker)
            return
        if isinstance(answer, Failed):
            raise answer.error
        if isinstance(answer, Ready):
            worker.ready(answer.pid)
            return
        index = worker.jobs.popleft()
        worker.tries, worker.since = 1, time.monotonic()
        del self._blocks[index]
        self._done[index] = answer

    def _died(self, worker: _Worker) -> None:
        """Put a dead worker's blocks back in front, and a new worker in its place."""
        code = worker.process.code()
        if worker not in self._workers:  # it was one of several that died as one
            return
        if not worker.jobs:
            self._died_early(worker, code)
            return
        index = worker.jobs[0]  # it works on them in order
        # A second try is a new worker's: several may have been killed at once.
        if worker.number >= self._suspects.setdefault(index, self._hired):
            raise InternalError(_death(self._whose(self._blocks[index]), code))
        self._queue.extendleft(reversed(worker.jobs))
        self._workers.remove(worker)
        self.hire(1)

    def _died_early(self, worker: _Worker, code: int) -> None:
        """Begin again: with all that were not ready, where what they come from has died."""
        if worker.tries == TRIES:
            raise InternalError(_death("a worker process died twice before it could work", code))
        team = worker.process.team
        unborn = [w for w in self._workers if w.process.team is team and not w.is_ready]
        lost = [worker] if worker.is_ready else unborn
        self._workers = [w for w in self._workers if w not in lost]
        self.hire(len(lost), worker.tries + 1)

    def _whose(self, block: Block) -> str:
        records = len(block.lines())
        first, last = block.place(0)[0], block.place(records - 1)[0]
        path = self._names[block.source] if self._names else f"input {block.source}"
        return f"{ascii_safe(path)}: the worker process for lines {first:,} to {last:,} died twice"

    def _check_patience(self) -> None:
        late = time.monotonic() - BLOCK_SECONDS
        if any(worker.jobs and worker.since < late for worker in self._workers):
            raise TemplateError(
                f"template {self._settings.template.name!r} does not come to an end: a block took "
                f"more than {BLOCK_SECONDS} seconds. Correct the template."
            )


def _death(what: str, code: int) -> str:
    """The text for workers that died.

    Args:
        what: whose worker it was.
        code: how it ended: its exit code, or minus a signal.
    """
    how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
    return (
        f"{what}: it {how}. Nothing was published. If memory is short, run again with fewer "
        "--workers; --resume goes on where this run ended."
    )
