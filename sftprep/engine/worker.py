"""What a worker process does with what it is told.

In     letters from the parent: settings, then blocks.
Out    for each block, in order, its ``BlockResult`` or the error that ends the run.
Keeps  the last result on its way: a thread writes it while the next block is worked on.
Never  outlives its parent: it ends with the pipe, and on Linux with the parent's death.
"""

import contextlib
import ctypes
import gc
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from sftprep.backends import preload
from sftprep.engine.pipes import Letter, receive, send
from sftprep.errors import InternalError, SftprepError
from sftprep.pipeline import BlockResult, Pipeline, Settings
from sftprep.read import Block
from sftprep.records import Batch

PR_SET_PDEATHSIG = 1
MEMORY_BYTES = 8 << 30  # of address space, for a worker with a template that is not ours


class Failed(NamedTuple):
    """A worker's last word: an error that is not one record's."""

    error: Exception


def work(pipe: Connection, letters: "queue.SimpleQueue[Letter]") -> None:
    """Work on blocks until the parent has no more.

    Args:
        pipe: to the parent.
        letters: from it, as they came.
    """
    gc.disable()  # no search for cycles: records are trees, which counting references frees
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    results: queue.Queue[BlockResult] = queue.Queue(maxsize=1)
    threading.Thread(target=_send_results, args=(pipe, results), daemon=True).start()
    try:
        if letters.empty():  # started before there was work
            preload()
        settings: Settings = letters.get().thing()
        if settings.untrusted:
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
        pipeline = Pipeline(settings)
        while True:
            results.put(pipeline.run(_block(letters.get())))
    except SftprepError as error:
        last = Failed(error)
    except Exception as error:
        last = Failed(_bug(error))
    results.join()  # what was done before is said before
    with contextlib.suppress(OSError):
        send(pipe, last)


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
        with contextlib.suppress(OSError):
            send(pipe, Failed(_bug(error)))
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


def receive_result(pipe: Connection) -> BlockResult | Failed:
    """Take an answer.

    Raises:
        EOFError: the worker died.
    """
    letter = receive(pipe, lambda size: np.empty(size, np.uint8))
    answer: BlockResult | Failed = letter.thing()
    if isinstance(answer, BlockResult) and letter.buffers:
        ids, mask, offsets, record = letter.buffers
        answer.batch = Batch(
            ids.view(np.int32), mask.view(np.bool_), offsets.view(np.int64), record.view(np.int64)
        )
    return answer
