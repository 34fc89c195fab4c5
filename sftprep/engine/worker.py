"""A worker process, and how blocks and results travel through its pipe.

In     settings, then blocks, from the parent.
Out    for each block, in order, its ``BlockResult`` or the error that ends the run.
Keeps  the next block at hand: a thread reads it while this one is worked on.
Never  outlives its parent: it ends with the pipe, and on Linux with the parent's death.

Small things go through the pipe as objects, large ones (a block's bytes, a result's columns) as the
bytes they are, without a copy more than the pipe's own.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from sftprep.errors import InternalError, SftprepError
from sftprep.pipeline import BlockResult, Pipeline, Settings
from sftprep.read import Block
from sftprep.records import Batch

PR_SET_PDEATHSIG = 1
MEMORY_BYTES = 8 << 30  # of address space, for a worker with a template that is not ours
WRITE_AT_ONCE = 1 << 20


class Failed(NamedTuple):
    """A worker's last word: an error that is not one record's."""

    error: Exception


def main(descriptor: int) -> None:
    """The life of a worker process.

    Args:
        descriptor: of its end of the pipe.
    """
    pipe = Connection(descriptor)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    blocks: queue.SimpleQueue[Block] = queue.SimpleQueue()
    try:
        settings: Settings = pipe.recv()
        threading.Thread(target=_read_blocks, args=(pipe, blocks), daemon=True).start()
        if settings.untrusted:
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
        pipeline = Pipeline(settings)
        with without_collection():
            while True:
                _send_result(pipe, pipeline.run(blocks.get()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the parent is gone, or has no more work
    except SftprepError as error:
        _say(pipe, Failed(error))
    except Exception as error:
        _say(pipe, Failed(_bug(error)))


@contextmanager
def without_collection() -> Iterator[None]:
    """No search for cycles: records are trees, which counting references frees."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _bug(error: Exception) -> Exception:
    """An error that no one foresaw, with the worker's traceback as its text."""
    return InternalError(
        f"a worker failed with {type(error).__name__}; this is a bug in sftprep. Nothing was "
        f"published. Please report it with this:\n{traceback.format_exc()}"
    )


def _say(pipe: Connection, last: Failed) -> None:
    with contextlib.suppress(OSError):
        pipe.send(last)


def _read_blocks(pipe: Connection, blocks: "queue.SimpleQueue[Block]") -> None:
    """Read ahead: the parent never waits for a worker that is at work."""
    try:
        while True:
            blocks.put(_receive_block(pipe))
    except (EOFError, OSError):
        os._exit(0)


def send_block(pipe: Connection, block: Block) -> None:
    """Send a block."""
    pipe.send(block._replace(data=b""))
    _send_buffers(pipe, [block.data])


def _receive_block(pipe: Connection) -> Block:
    block: Block = pipe.recv()
    return block._replace(data=bytes(_receive_buffers(pipe)[0]))


def _send_result(pipe: Connection, result: BlockResult) -> None:
    batch, result.batch = result.batch, None
    columns: list[Any] = [] if batch is None else [
        batch.input_ids, batch.loss_mask, batch.offsets, batch.record
    ]  # fmt: skip
    pipe.send(result)
    _send_buffers(pipe, columns)


def receive_result(pipe: Connection) -> BlockResult | Failed:
    """Take an answer.

    Raises:
        EOFError: the worker died.
    """
    answer: BlockResult | Failed = pipe.recv()
    if isinstance(answer, BlockResult) and (columns := _receive_buffers(pipe)):
        ids, mask, offsets, record = columns
        answer.batch = Batch(
            np.frombuffer(ids, np.int32),
            np.frombuffer(mask, np.bool_),
            np.frombuffer(offsets, np.int64),
            np.frombuffer(record, np.int64),
        )
    return answer


def _send_buffers(pipe: Connection, buffers: Sequence[Any]) -> None:
    # An empty view cannot be cast.
    views = [memoryview(buffer).cast("B") if len(buffer) else memoryview(b"") for buffer in buffers]
    pipe.send([len(view) for view in views])
    for view in views:
        while view:
            view = view[os.write(pipe.fileno(), view[:WRITE_AT_ONCE]) :]  # noqa: PLW2901


def _receive_buffers(pipe: Connection) -> list[bytearray]:
    buffers = [bytearray(size) for size in pipe.recv()]
    for buffer in buffers:
        view = memoryview(buffer)
        while view:
            got = os.readv(pipe.fileno(), [view])
            if not got:
                raise EOFError
            view = view[got:]
    return buffers
