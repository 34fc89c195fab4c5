"""WorkerPool: workers are started together where possible, handed out, and all ended."""

import signal
import sys
from contextlib import closing

import pytest
from toys import Started

from sftprep.engine.local.pool import WorkerPool


def test_idle_workers_are_taken_before_new_ones_are_started(started: Started) -> None:
    """All end when the pool is closed, whether they were taken or not."""
    with closing(WorkerPool()) as pool:
        pool.start(2)
        taken = pool.take(1) + pool.take(1) + pool.take(1)
        assert len(started) == 2  # a fork server for two workers, and one worker
        assert [worker.is_first for worker in taken] == [True, False, True]
        assert [program.poll() for program in started] == [None, None]
        assert pool.take(0) == []
    assert [program.returncode for program in started] == [-signal.SIGKILL] * 2


def test_a_pool_without_workers_can_be_closed(started: Started) -> None:
    """Closing such a pool, even a second time, does nothing."""
    pool = WorkerPool()
    pool.start(0)
    pool.close()
    pool.close()
    assert started == []


def test_without_a_subreaper_each_worker_is_a_program(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systems other than Linux have no subreaper, so each worker is a program of its own."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with closing(WorkerPool()) as pool:
        pool.start(3)
        assert len(started) == 3
        assert [worker.is_first for worker in pool.take(3)] == [True] * 3


@pytest.mark.parametrize("fails", [0, 1])
def test_workers_end_if_another_cannot_be_started(
    started: Started, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    """The system's error is raised, and the workers that were started end."""
    monkeypatch.setattr(sys, "platform", "darwin")
    started.change = lambda number, command: ["/nonexistent"] if number == fails else command
    with closing(WorkerPool()) as pool, pytest.raises(FileNotFoundError):
        pool.start(3)
    assert len(started) == fails
