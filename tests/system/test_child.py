"""child: a function runs in another process, and the caller gets its answer or an error."""

import os
import signal
import time
from typing import Any

import pytest

from sftprep.system.child import ChildError, called_in_child


def called(function: Any, *, cpu_seconds: int = 5, patience: float = 20) -> Any:
    """Call a function in a child process."""
    return called_in_child(function, cpu_seconds=cpu_seconds, patience=patience)


def raises() -> None:
    """Fail as any function may."""
    raise ValueError("a test")


def spin() -> None:
    """Use CPU time forever."""
    while True:
        pass


def test_the_answer_arrives() -> None:
    """It is a value of JSON, of any size; the function runs in another process."""
    assert called(lambda: {"a": ["é" * 300_000, None, 1.5]}) == {"a": ["é" * 300_000, None, 1.5]}
    child = called(os.getpid)
    assert child != os.getpid()
    with pytest.raises(ProcessLookupError):  # it has ended, and nothing of it is left
        os.kill(child, 0)


@pytest.mark.parametrize(
    "function",
    [raises, lambda: os._exit(0), lambda: os.kill(os.getpid(), signal.SIGKILL), object],
)
def test_a_child_without_an_answer(function: Any) -> None:
    """It may fail, end, be killed, or return what JSON has no form for."""
    with pytest.raises(ChildError):
        called(function)


def test_limits() -> None:
    """A child that uses too much CPU time, or that never answers, is ended."""
    with pytest.raises(ChildError):
        called(spin, cpu_seconds=1)
    begun = time.monotonic()
    with pytest.raises(ChildError):
        called(lambda: time.sleep(60), patience=0.2)
    assert time.monotonic() - begun < 20


def test_a_signal_to_the_child_does_not_reach_handlers_of_the_parent() -> None:
    """A child in the process group of a command gets its Ctrl-C; it ends without a word."""
    with pytest.raises(ChildError):
        called(lambda: os.kill(os.getpid(), signal.SIGINT))


def test_no_process_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may refuse another process."""

    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    with pytest.raises(ChildError):
        called(os.getpid)
