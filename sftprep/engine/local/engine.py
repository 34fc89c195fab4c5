"""The local engine: turn blocks into results, in this process or in worker processes.

In     blocks in input order, and the settings from which a ``Pipeline``, or other work, is built.
Out    one result per block, in the same order, whatever the number of workers.
Never  runs a chat template in this process: a template is a program that a model or a user
       provides, and it may never finish or may take all memory.
Raises the errors of ``scheduler`` and of ``Pipeline``.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local.pool import WorkerPool
from sftprep.engine.local.scheduler import BYTES_IN_FLIGHT, Scheduler
from sftprep.pipeline import Pipeline, Work
from sftprep.settings import WorkSettings
from sftprep.system.memory import keep_freed

FEW_BLOCKS = 6  # with fewer blocks, this process finishes before a worker could have started


def run_blocks(
    blocks: Iterable[Block],
    settings: WorkSettings,
    workers: int,
    names: Sequence[str] = (),
    early: WorkerPool | None = None,
    build: Callable[[Any], Work] = Pipeline,
) -> Iterator[BlockResult]:
    """Do the work on every block: by default, run it through the stages of the pipeline.

    With fewer than ``FEW_BLOCKS`` blocks, or with a single worker, this process does the work
    itself. With a slow encoder, two blocks are enough to start workers. With a chat template,
    workers always do the work.

    Args:
        blocks: in input order.
        settings: the settings of the work, which is built here or in the workers.
        workers: the maximum number of worker processes.
        names: the paths of the sources, for messages.
        early: workers that were started already; they are ended after the last result.
        build: makes the work from its settings. It is sent to the workers by its name, so it must
            be a class or a function of a module.

    Yields:
        One result per block, in the order of the blocks.
    """
    blocks = iter(blocks)
    first, is_all = _read_ahead(blocks)
    if not first:
        return
    is_little = is_all and not (settings.is_slow and len(first) > 1)
    if not settings.untrusted and (workers == 1 or is_little):
        job = build(settings)
        with _without_cyclic_gc():
            yield from map(job.process, chain(first, blocks))
        return
    keep_freed()
    with closing(early or WorkerPool()) as pool:
        scheduler = Scheduler(settings, names, pool, build=build)
        scheduler.add_workers(min(workers, len(first)) if is_all else workers)
        yield from scheduler.run(chain(first, blocks))


def _read_ahead(blocks: Iterator[Block]) -> tuple[list[Block], bool]:
    """Read the first few blocks; return them, and True if these are all blocks."""
    first: list[Block] = []
    for block in blocks:
        first.append(block)
        if len(first) == FEW_BLOCKS or sum(len(b.data) for b in first) >= BYTES_IN_FLIGHT:
            return first, False
    return first, True


@contextmanager
def _without_cyclic_gc() -> Iterator[None]:
    """Turn off the cyclic garbage collector: records hold no cycles, so it would find none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
