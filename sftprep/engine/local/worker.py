"""The work of a worker process: receive blocks, and send back their results.

In     messages from the parent: what builds the work, with its settings; then blocks.
Out    ``Ready`` once everything is loaded; then one ``BlockResult`` per block, in order; or
       ``Failed`` with the error that ends the run.
Keeps  working on the next block while a thread sends the last result.
Never  outlives its parent: it exits when the parent closes the pipe, and on Linux the kernel kills
       it when the parent dies.
"""

import contextlib
import gc
import os
import queue
import resource
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from sftprep.data.result import BlockResult
from sftprep.engine.local.messages import Failed, Inbox, Ready, send
from sftprep.engine.local.payloads import block_of, send_result
from sftprep.errors import InternalError, SftprepError
from sftprep.pipeline import Work
from sftprep.settings import WorkSettings
from sftprep.system.linux import die_with_parent, is_orphan
from sftprep.tokenization.backends import preload

MEMORY_BYTES = 8 << 30  # limit of the address space of a worker that runs a chat template


def work(parent: int, pipes: Sequence[Connection], first: Inbox) -> None:
    """Fork into one worker for each pipe, and work on blocks until the parent has no more.

    Args:
        parent: the process id of the parent.
        pipes: the workers' ends.
        first: receives, through the first pipe, the settings for all workers.
    """
    gc.disable()  # records hold no reference cycles: reference counting frees them
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers already use all cores
    try:
        job = _built(first)
    except Exception as error:
        for pipe in pipes:
            _send_unless_closed(pipe, _failed(error))
        return
    pipe = _fork_per_pipe(pipes)
    if job.limits is not None:
        job.limits.cpu.kill_if_stuck()
    _send_unless_closed(pipe, Ready(os.getpid()))
    inbox = Inbox(pipe)
    results: queue.Queue[BlockResult] = queue.Queue(maxsize=1)
    threading.Thread(target=_send_results, args=(pipe, results), daemon=True).start()
    dies_with_parent = False
    try:
        while True:
            message = inbox.take()
            # A forked worker can ask for this only after it has become a child of the parent, which
            # is when the fork server has exited.
            if not (dies_with_parent or is_orphan(parent)):
                dies_with_parent = die_with_parent()
            results.put(job.process(block_of(message)))
    except Exception as error:
        last = _failed(error)
    results.join()  # the results of earlier blocks are sent before the error
    _send_unless_closed(pipe, last)


def _built(first: Inbox) -> Work:
    """Load everything that the workers share; no other thread is running afterwards."""
    if first.is_empty():  # started early: use the time until the settings arrive
        preload()
    build: Callable[[WorkSettings], Work]
    settings: WorkSettings
    build, settings = first.take().content()
    first.join()
    if settings.untrusted:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    job = build(settings)
    job.warm_up()
    return job


def _fork_per_pipe(pipes: Sequence[Connection]) -> Connection:
    """Fork into one process for each pipe, and return the pipe of this one.

    The workers share the memory of the loaded libraries. The process that forked them exits. With a
    single pipe, this process does not fork.
    """
    if len(pipes) == 1:
        return pipes[0]
    # The only other threads are those of Arrow's allocator, which can handle forks. If a fork
    # fails, the parent notices that a pipe is closed without a message.
    with warnings.catch_warnings(), contextlib.suppress(OSError):
        warnings.simplefilter("ignore", DeprecationWarning)
        for pipe in pipes:
            if not os.fork():
                for other in pipes:
                    if other is not pipe:
                        other.close()
                return pipe
    os._exit(0)


def _send_unless_closed(pipe: Connection, answer: Ready | Failed) -> None:
    """Send a message; do nothing if the parent has ended."""
    with contextlib.suppress(OSError):
        send(pipe, answer)


def _failed(error: Exception) -> Failed:
    return Failed(error if isinstance(error, SftprepError) else _bug(error))


def _bug(error: Exception) -> Exception:
    """Wrap an unexpected error, with the worker's traceback in the text."""
    return InternalError(
        f"a worker failed with {type(error).__name__}; this is a bug in sftprep. Nothing was "
        f"published. Please report it with this traceback:\n{traceback.format_exc()}"
    )


def _send_results(pipe: Connection, results: "queue.Queue[BlockResult]") -> None:
    """Send each result as it comes, while the main thread works on the next block."""
    try:
        while True:
            send_result(pipe, results.get())
            results.task_done()
    except OSError:  # the parent has ended
        os._exit(0)
    except MemoryError:  # a chat template has taken it all; another worker gets the blocks
        os._exit(1)
    except Exception as error:
        # This thread has to send the error itself: the main thread waits for this one.
        _send_unless_closed(pipe, _failed(error))
        os._exit(1)
