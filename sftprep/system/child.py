"""Call a function in a child process, which cannot harm this one.

In     a function that needs nothing but what this process has loaded, and returns a value of JSON.
Out    that value.
Keeps  this process free of what the function does: its memory, its CPU time, its crash.
Never  lets the child outlive the call, nor waits longer than the patience that is given.
Raises ChildError: the child has given no answer.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from sftprep.system.linux import die_with_parent

BYTES_AT_ONCE = 1 << 16


class ChildError(Exception):
    """The child process ended, or was ended, before it gave an answer."""


def called_in_child(function: Callable[[], Any], *, cpu_seconds: int, patience: float) -> Any:
    """Return what a function returns in a child process.

    Args:
        function: the function.
        cpu_seconds: the CPU time after which the kernel ends the child.
        patience: how many seconds to wait for the answer.
    """
    reading, writing = os.pipe()
    try:
        with warnings.catch_warnings():
            # The function must not need what other threads may hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise ChildError(str(error)) from error
    if not child:
        _answer(function, writing, cpu_seconds)
    os.close(writing)
    try:
        answer = _received(reading, time.monotonic() + patience)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    if not answer:
        raise ChildError("no answer")
    return json.loads(answer)


def _answer(function: Callable[[], Any], pipe: int, cpu_seconds: int) -> NoReturn:
    """Write what the function returns, and end this process, the child."""
    try:
        die_with_parent()
        gc.disable()  # no finalizer of the parent's objects runs here
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        hard = cpu_seconds if most == resource.RLIM_INFINITY else min(most, cpu_seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer = json.dumps(function()).encode()
        while answer:
            answer = answer[os.write(pipe, answer) :]
    finally:
        os._exit(0)  # nothing that the parent has begun is finished here


def _received(pipe: int, deadline: float) -> bytes:
    """Return what the child writes until it ends; b"" if that takes too long."""
    received = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return b""
        part = os.read(pipe, BYTES_AT_ONCE)
        if not part:
            return received
        received += part
