"""Fixtures for the tests of the local engine."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Fail a test that still runs after a minute: it waits for a process that never answers."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("the engine hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
