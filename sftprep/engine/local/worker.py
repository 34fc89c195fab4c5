"""What a worker process does with what it is told.

In     letters from the parent: settings, then blocks.
Out    ``Ready`` once all is loaded; for each block, in order, its ``BlockResult``; or the error
       that ends the run.
Keeps  the last result on its way: a thread writes it while the next block is worked on.
Never  outlives its parent: it ends with the pipe, and on Linux with the parent's death.
"""

import contextlib
import gc
import os
import queue
import resource
import threading
import traceback
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local.messages import Inbox, Letter, Ready, receive, send
from sftprep.errors import InternalError, SftprepError
from sftprep.pipeline import Pipeline, Settings
from sftprep.system.linux import die_with_parent, is_orphan
from sftprep.tokenization.backends import FEW, preload

MEMORY_BYTES = 8 << 30  # of address space, for a worker with a template that is not ours


class Failed(NamedTuple):
    """A worker's last word: an error that is not one record's."""

    error: Exception


def work(parent: int, pipes: Sequence[Connection], first: Inbox) -> None:
    """Become a worker for each pipe, and work on blocks until the parent has no more.

    Args:
        parent: its number.
        pipes: to the parent.
        first: what comes through the first of them: the settings, which are for all.
    """
    gc.disable()  # no search for cycles: records are trees, which counting references frees
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    try:
        pipeline = _set_up(first)
    except Exception as error:
        for pipe in pipes:
            _say(pipe, _failed(error))
        return
    pipe = _one_each(pipes)
    _say(pipe, Ready(os.getpid()))
    inbox = Inbox(pipe)
    results: queue.Queue[BlockResult] = queue.Queue(maxsize=1)
    threading.Thread(target=_send_results, args=(pipe, results), daemon=True).start()
    is_tied = False
    try:
        while True:
            letter = inbox.take()
            if not (is_tied or is_orphan(parent)):  # adopted by now
                is_tied = die_with_parent()
            results.put(pipeline.process(_block(letter)))
    except Exception as error:
        last = _failed(error)
    results.join()  # what was done before is said before
    _say(pipe, last)


def _set_up(first: Inbox) -> Pipeline:
    """Load what all workers need; no thread is left then."""
    if first.is_empty():  # started before there was work
        preload()
    settings: Settings = first.take().thing()
    first.close()
    if settings.untrusted:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    pipeline = Pipeline(settings)
    pipeline.encoder.encode([""] * FEW)  # what an encoder loads and makes at its first batch
    return pipeline


def _one_each(pipes: Sequence[Connection]) -> Connection:
    """Become as many processes as there are pipes, which share what is loaded; our pipe then."""
    if len(pipes) == 1:
        return pipes[0]
    # Nothing that was loaded has threads but an allocator of Arrow, which knows about forks.
    with warnings.catch_warnings(), contextlib.suppress(OSError):  # then some will be missed
        warnings.simplefilter("ignore", DeprecationWarning)
        for pipe in pipes:
            if not os.fork():
                for other in pipes:
                    if other is not pipe:
                        other.close()
                return pipe
    os._exit(0)


def _say(pipe: Connection, word: Ready | Failed) -> None:
    """Send a word, if the parent is there to hear it."""
    with contextlib.suppress(OSError):
        send(pipe, word)


def _failed(error: Exception) -> Failed:
    return Failed(error if isinstance(error, SftprepError) else _bug(error))


def _bug(error: Exception) -> Exception:
    """An error that no one foresaw, with the worker's traceback as its text."""
    return InternalError(
        f"a worker failed with {type(error).__name__}; this is a bug in sftprep. Nothing was "
        f"published. Please report it with this:\n{traceback.format_exc()}"
    )


def _send_results(pipe: Connection, results: "queue.Queue[BlockResult]") -> None:
    """Send results as they come: the next block is worked on while the parent takes this one's."""
    try:
        while True:
            _send_result(pipe, results.get())
            results.task_done()
    except OSError:  # the parent is gone
        os._exit(0)
    except Exception as error:
        # Said here: the thread that works waits for this one.
        _say(pipe, _failed(error))
        os._exit(1)


def send_block(pipe: Connection, block: Block) -> None:
    """Send a block."""
    send(pipe, block._replace(data=b""), [block.data])


def _block(letter: Letter) -> Block:
    block: Block = letter.thing()
    return block._replace(data=bytes(letter.buffers[0]))


def _send_result(pipe: Connection, result: BlockResult) -> None:
    batch, result.batch = result.batch, None
    send(pipe, result, [] if batch is None else [
        batch.input_ids, batch.loss_mask, batch.offsets, batch.record
    ])  # fmt: skip


def receive_result(pipe: Connection) -> BlockResult | Ready | Failed:
    """Take an answer.

    Raises:
        EOFError: the worker died.
    """
    letter = receive(pipe, lambda size: np.empty(size, np.uint8))
    answer: BlockResult | Ready | Failed = letter.thing()
    if isinstance(answer, BlockResult) and letter.buffers:
        ids, mask, offsets, record = letter.buffers
        answer.batch = Batch(
            ids.view(np.int32), mask.view(np.bool_), offsets.view(np.int64), record.view(np.int64)
        )
    return answer
