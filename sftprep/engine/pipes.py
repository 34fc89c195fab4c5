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
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

WRITE_AT_ONCE = 1 << 20


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


def main(descriptor: int) -> None:
    """The life of a worker process: it listens, and loads what it needs for its work.

    Args:
        descriptor: of its end of the pipe.
    """
    pipe = Connection(descriptor)
    letters: queue.SimpleQueue[Letter] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, letters), daemon=True).start()
    from sftprep.engine.worker import work

    work(pipe, letters)


def _listen(pipe: Connection, letters: "queue.SimpleQueue[Letter]") -> None:
    """Read ahead: the parent never waits for a worker that is at work."""
    try:
        while True:
            letters.put(receive(pipe))
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone, or has no more work
