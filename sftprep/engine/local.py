"""Work on blocks in processes of this machine.

In     blocks in input order, and the settings to build a ``Pipeline`` from.
Out    their results in the same order, whatever the number of workers.
Keeps  a bounded number of blocks in flight, so memory does not follow the input's size.
Never  forks (the encoder's threads do not survive it), and never waits for a worker that died or,
       with a template that is not ours, for one that does not come to an end.
"""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import chain, islice
from multiprocessing.shared_memory import SharedMemory

from sftprep.errors import InternalError, TemplateError
from sftprep.pipeline import BlockResult, Pipeline, Settings
from sftprep.read import Block

BLOCKS_AHEAD = 3  # for each worker: enough to keep it busy while results are collected in order
PR_SET_PDEATHSIG = 1
BLOCK_SECONDS = 300  # for a block with a chat template, which may be anybody's
MEMORY_BYTES = 8 << 30  # of address space, for such a worker

_pipeline: Pipeline | None = None  # of this worker process


def run_blocks(
    blocks: Iterable[Block], settings: Settings, pipeline: Pipeline, workers: int
) -> Iterator[BlockResult]:
    """Take every block through the stages; a single block, or a single worker, needs no process.

    Args:
        blocks: in input order.
        settings: what the workers build their pipelines from.
        pipeline: this process's own.
        workers: how many processes at the most.
    """
    blocks = iter(blocks)
    first = list(islice(blocks, 2))
    if not settings.untrusted and (workers == 1 or len(first) < 2):
        yield from map(pipeline.run, chain(first, blocks))
    else:
        yield from _run_in_processes(chain(first, blocks), settings, workers)


def _run_in_processes(
    blocks: Iterator[Block], settings: Settings, workers: int
) -> Iterator[BlockResult]:
    pending: deque[Future[BlockResult]] = deque()
    patience = BLOCK_SECONDS if settings.untrusted else None
    text = settings.tokenizer.json
    shared = _shared(text)
    light = replace(settings, tokenizer=settings.tokenizer.light())
    executor = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        _start_worker,
        (light, shared.name, len(text.encode())),
    )
    try:
        for block in blocks:
            pending.append(executor.submit(_run, block))
            if len(pending) >= workers * BLOCKS_AHEAD:
                yield pending.popleft().result(patience)
        while pending:
            yield pending.popleft().result(patience)
    except TimeoutError as error:
        _kill(executor)
        raise TemplateError(
            f"template {settings.template.name!r} does not come to an end: a block took more than "
            f"{BLOCK_SECONDS} seconds. Correct the template."
        ) from error
    except BrokenProcessPool as error:
        raise InternalError(
            "a worker process died: it was killed, or memory ran out. Nothing was published; run "
            "again, with fewer --workers if memory is short."
        ) from error
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        shared.close()
        shared.unlink()


def _kill(executor: ProcessPoolExecutor) -> None:
    """End workers that cannot be asked to."""
    for process in list((executor._processes or {}).values()):
        process.kill()


def _shared(text: str) -> SharedMemory:
    """A text in memory that workers can read: a whole vocabulary.

    A worker's arguments go through a pipe that Python writes before it looks whether the worker
    lives: with more than the pipe holds, a worker that dies at its start would never be noticed.
    """
    data = text.encode()
    memory = SharedMemory(create=True, size=len(data))
    assert memory.buf is not None
    memory.buf[: len(data)] = data
    return memory


def _start_worker(settings: Settings, name: str, size: int) -> None:
    global _pipeline  # noqa: PLW0603 - a worker process has one pipeline for its life
    try:
        memory = SharedMemory(name)
    except FileNotFoundError:
        os._exit(0)  # the others were quicker, and the run is over
    assert memory.buf is not None
    tokenizer = settings.tokenizer.whole(bytes(memory.buf[:size]).decode())
    memory.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no orphans
    if settings.untrusted:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    _pipeline = Pipeline(replace(settings, tokenizer=tokenizer))


def _run(block: Block) -> BlockResult:
    assert _pipeline is not None
    return _pipeline.run(block)
