"""What parent and workers say to each other: small things as objects, large ones as bytes.

In     an object, and buffers that belong to it (a block's bytes, a result's columns).
Out    the same at the other end of the pipe.
Keeps  the bytes of buffers as they are, without a copy more than the pipe's own.
Raises EOFError: the other end is gone, perhaps in the middle.

Nothing that takes long is imported here: a worker listens before it has loaded its libraries, so
that its parent need not wait until it has.
"""

import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

from sftprep.system.linux import die_with_parent, is_orphan

WRITE_AT_ONCE = 1 << 20


class Ready(NamedTuple):
    """A worker's first word."""

    pid: int


class Letter(NamedTuple):
    """What was received."""

    packed: bytes  # an object; see ``thing``
    buffers: list[Any]

    def thing(self) -> Any:
        """The object: only now are the modules loaded that it needs."""
        return ForkingPickler.loads(self.packed)


def send(pipe: Connection, thing: Any, buffers: Sequence[Any] = ()) -> None:
    """Send an object and its buffers."""
    pipe.send(thing)
    # An empty view cannot be cast.
    views = [memoryview(buffer).cast("B") if len(buffer) else memoryview(b"") for buffer in buffers]
    pipe.send([len(view) for view in views])
    for view in views:
        while view:
            view = view[os.write(pipe.fileno(), view[:WRITE_AT_ONCE]) :]  # noqa: PLW2901


def receive(pipe: Connection, empty: Callable[[int], Any] = bytearray) -> Letter:
    """Take the next object and its buffers.

    Args:
        pipe: our end.
        empty: makes a buffer of so many bytes.
    """
    packed = pipe.recv_bytes()
    buffers = [empty(size) for size in pipe.recv()]
    for buffer in buffers:
        view = memoryview(buffer)
        while view:
            got = os.readv(pipe.fileno(), [view])
            if not got:
                raise EOFError
            view = view[got:]
    return Letter(packed, buffers)


class Inbox:
    """Takes letters as they come: who sends them never waits for one who loads or works.

    The process ends if the other end is gone while more letters are expected: it has no more work.

    Args:
        pipe: our end.
        only: how many to take; all, unless given.
    """

    def __init__(self, pipe: Connection, only: int | None = None) -> None:
        self._letters: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, args=(pipe, only), daemon=True)
        self._thread.start()

    def take(self) -> Letter:
        """The next letter, which is waited for."""
        return self._letters.get()

    def is_empty(self) -> bool:
        """Whether none is there now."""
        return self._letters.empty()

    def close(self) -> None:
        """All letters were taken: no thread is left, which a fork would not survive."""
        self._thread.join()

    def _listen(self, pipe: Connection, only: int | None) -> None:
        try:
            for _ in count() if only is None else range(only):
                self._letters.put(receive(pipe))
        except (EOFError, OSError):
            os._exit(0)


def main(parent: int, *descriptors: int) -> None:
    """The life of a program that becomes workers: it listens, and loads what they need.

    Args:
        parent: its number. Whoever else is our parent took us from one that has ended.
        descriptors: of the workers' ends of pipes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whether it ends the run the parent decides
    die_with_parent()
    if is_orphan(parent):
        os._exit(0)
    pipes = [Connection(descriptor) for descriptor in descriptors]
    settings = Inbox(pipes[0], only=1)
    from sftprep.engine.local.worker import work

    work(parent, pipes, settings)
