"""Messages between the parent and its workers: an object, followed by large buffers.

In     an object, and the buffers that belong to it (a block's bytes, the columns of a result).
Out    the same object and buffers at the other end of the pipe.
Keeps  buffers as raw bytes: they are not pickled, and only the pipe itself copies them.
Never  imports anything heavy: a worker receives messages before it has loaded its libraries, so
       that the parent does not wait for it.
Raises EOFError: the other end was closed, perhaps in the middle of a message.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

BYTES_PER_WRITE = 1 << 20


class Ready(NamedTuple):
    """The first message of a worker: it has loaded everything that it needs."""

    pid: int


class Failed(NamedTuple):
    """The last message of a worker: an error that concerns the whole run, not one record."""

    error: Exception


class Message(NamedTuple):
    """A message as it was received."""

    pickled: bytes
    buffers: list[Any]

    def content(self) -> Any:
        """Unpickle the object; this imports the modules that define its classes."""
        return ForkingPickler.loads(self.pickled)


def send(pipe: Connection, content: Any, buffers: Sequence[Any] = ()) -> None:
    """Send an object and its buffers.

    Args:
        pipe: the sender's end.
        content: any object that can be pickled.
        buffers: contiguous bytes-like objects, numpy arrays too; they arrive as bytes.
    """
    pipe.send(content)
    # memoryview.cast does not accept an empty view.
    views = [memoryview(buffer).cast("B") if len(buffer) else memoryview(b"") for buffer in buffers]
    pipe.send([len(view) for view in views])
    for view in views:
        while view:
            view = view[os.write(pipe.fileno(), view[:BYTES_PER_WRITE]) :]  # noqa: PLW2901


def receive(pipe: Connection, allocate: Callable[[int], Any] = bytearray) -> Message:
    """Wait for the next message and return it.

    Args:
        pipe: the receiver's end.
        allocate: returns a writable buffer of the given number of bytes.
    """
    pickled = pipe.recv_bytes()
    buffers = [allocate(size) for size in pipe.recv()]
    for buffer in buffers:
        view = memoryview(buffer)
        while view:
            received = os.readv(pipe.fileno(), [view])
            if not received:
                raise EOFError
            view = view[received:]
    return Message(pickled, buffers)


class Inbox:
    """Receives messages in a thread, so that the sender never waits while this process is busy.

    If the other end is closed while more messages are expected, this process exits at once, with
    code 0: nobody needs its results. It also exits, with code 1, if a chat template has taken all
    memory that this process may have: another worker then gets the message.

    Args:
        pipe: the receiver's end.
        limit: the number of messages to receive; None for no limit.
    """

    def __init__(self, pipe: Connection, limit: int | None = None) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._receive, args=(pipe, limit), daemon=True)
        self._thread.start()

    def take(self) -> Message:
        """Return the next message; wait for it if it has not arrived yet."""
        return self._messages.get()

    def is_empty(self) -> bool:
        """Return True if no received message is waiting to be taken."""
        return self._messages.empty()

    def join(self) -> None:
        """Wait until the thread has ended, which it does after ``limit`` messages.

        A process must have no other thread when it forks.
        """
        self._thread.join()

    def _receive(self, pipe: Connection, limit: int | None) -> None:
        try:
            for _ in count() if limit is None else range(limit):
                self._messages.put(receive(pipe))
        except (EOFError, OSError):
            os._exit(0)
        except MemoryError:
            os._exit(1)
