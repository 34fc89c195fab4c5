"""Messages: objects and their buffers arrive as they were sent, or not at all."""

import os
import subprocess
import sys
from multiprocessing.connection import Pipe
from threading import Thread

import numpy as np
import pytest

from sftprep.engine.local.messages import Inbox, receive, send


@pytest.mark.parametrize("buffers", [[], [b""], [b"abc", b"", b"\n" * (3 << 20)]])
def test_objects_and_buffers_of_any_size_arrive(buffers: list[bytes]) -> None:
    """A buffer may be empty, and may be larger than a pipe holds."""
    ours, theirs = Pipe()
    sender = Thread(target=send, args=(ours, {"a": [1, None]}, buffers))
    sender.start()
    message = receive(theirs)
    sender.join()
    assert message.content() == {"a": [1, None]}
    assert [bytes(buffer) for buffer in message.buffers] == buffers


def test_arrays_arrive_as_bytes_in_buffers_of_the_receiver() -> None:
    """The receiver decides which object holds the bytes of a buffer."""
    ours, theirs = Pipe()
    array = np.arange(5, dtype=np.int64)
    send(ours, None, [array])
    [buffer] = receive(theirs, lambda size: np.empty(size, np.uint8)).buffers
    assert buffer.view(np.int64).tolist() == array.tolist()


@pytest.mark.parametrize("sent", ["nothing", "the object", "part of a buffer"])
def test_a_message_that_ends_early_is_an_end_of_file(sent: str) -> None:
    """Receiving raises an end of file, however much was sent before the other end was closed."""
    ours, theirs = Pipe()
    if sent != "nothing":
        ours.send({})
    if sent == "part of a buffer":
        ours.send([3])
        os.write(ours.fileno(), b"ab")
    ours.close()
    with pytest.raises(EOFError):
        receive(theirs)


def test_an_inbox_receives_while_nobody_takes() -> None:
    """The sender of several large messages does not wait until the first one is taken."""
    ours, theirs = Pipe()
    inbox = Inbox(theirs, limit=3)
    assert inbox.is_empty()
    for number in range(3):
        send(ours, number, [bytes(1 << 20)])
    inbox.join()
    assert not inbox.is_empty()
    assert [inbox.take().content() for _ in range(3)] == [0, 1, 2]
    assert inbox.is_empty()


EXPECT_TWO_MESSAGES = """
import sys, time
from multiprocessing.connection import Connection
from sftprep.engine.local.messages import Inbox
Inbox(Connection(int(sys.argv[1])), limit=2)
time.sleep(60)
"""


def test_a_process_exits_when_its_inbox_is_closed_too_early() -> None:
    """It exits with code 0 and prints nothing, because nobody needs its results."""
    ours, theirs = Pipe()
    command = [sys.executable, "-c", EXPECT_TWO_MESSAGES, str(theirs.fileno())]
    with subprocess.Popen(
        command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
    ) as process:
        theirs.close()
        send(ours, "one")
        ours.close()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
