"""ForkServer: one program becomes several workers, and tells how each of them ended."""

import ctypes
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import wait

import pytest
from toy_blocks import SETTINGS, block, fake_worker, rows, rows_of
from toys import Started

from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.fork_server import ForkServer, WorkerProcess
from sftprep.engine.local.messages import Ready, send
from sftprep.engine.local.payloads import receive_answer
from sftprep.engine.local.pool import WorkerPool
from sftprep.pipeline import Pipeline
from sftprep.system.linux import PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER, subreaper

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")


def subreaper_setting() -> int:
    """The setting of this process, as the kernel knows it."""
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    return found.value


def become_ready(workers: list[WorkerProcess]) -> list[int]:
    """Send the settings, wait until all workers are ready, and return their process ids."""
    send(workers[0].pipe, (Pipeline, SETTINGS))
    pids = []
    for worker in workers:
        answer = receive_answer(worker.pipe)
        assert isinstance(answer, Ready)
        worker.note_ready(answer.pid)
        pids.append(answer.pid)
    return pids


@needs_linux
def test_forked_workers_become_children_of_this_process(started: Started) -> None:
    """The program that forked them has exited, and they share its process group."""
    with closing(WorkerPool()) as pool:
        pool.start(3)
        pids = become_ready(pool.take(3))
        [program] = started
        assert program.returncode == 0
        for pid in pids:
            assert os.getpgid(pid) == program.pid
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)  # raises if it is not a child


def test_a_single_worker_is_the_program_itself(started: Started) -> None:
    """A fork server for a single worker forks nothing."""
    with closing(WorkerPool()) as pool:
        assert become_ready(pool.take(1)) == [started[0].pid]


@needs_linux
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.faults), signal.SIGKILL]
)
def test_each_forked_worker_tells_how_it_ended(started: Started, number: int) -> None:
    """The exit code is minus the signal that killed a worker; the other workers continue."""
    with closing(WorkerPool()) as pool:
        first, second = pool.take(2)
        pids = become_ready([first, second])
        os.kill(pids[1], number)
        assert wait([first.pipe, second.pipe]) == [second.pipe]
        assert second.exit_code() == -number
        os.kill(pids[0], 0)


@needs_linux
def test_a_worker_that_closed_its_pipe_but_does_not_exit_is_killed(started: Started) -> None:
    """A worker that closed its pipe has a second to exit."""
    started.change = lambda _, command: fake_worker(command, FORK_AND_CLOSE)
    with closing(WorkerPool()) as pool:
        worker, other = pool.take(2)
        answer = receive_answer(worker.pipe)
        assert isinstance(answer, Ready)
        worker.note_ready(answer.pid)
        began = time.monotonic()
        assert worker.exit_code() == -signal.SIGKILL
        assert 0.5 < time.monotonic() - began < 10
        assert other.exit_code() == 0  # it was never forked, so it has the exit code of the program


FORK_AND_CLOSE = """
if not os.fork():
    send_ready()
    for pipe in pipes:
        pipe.close()
    time.sleep(60)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("code", "expected"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", -9)]
)
def test_a_program_that_ends_before_it_forks_tells_how(
    started: Started, code: str, expected: int
) -> None:
    """Each of its workers gets the exit code of the program."""
    started.change = lambda _, command: fake_worker(command, code)
    with closing(WorkerPool()) as pool:
        workers = pool.take(2)
        assert [worker.exit_code() for worker in workers] == [expected] * 2


@pytest.mark.faults
@needs_linux
def test_the_subreaper_setting_is_restored_when_all_are_forked(started: Started) -> None:
    """A process that was a subreaper before stays one; another does not become one."""
    for value in (1, 0):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)
        assert rows(50) == rows_of(run_blocks(map(block, range(50)), SETTINGS, 2))
        assert subreaper_setting() == value


@needs_linux
def test_the_subreaper_setting_is_restored_if_the_program_cannot_be_started(
    started: Started,
) -> None:
    """The constructor releases the setting that its caller has acquired."""
    before = subreaper_setting()
    started.change = lambda _, command: ["/nonexistent"]
    assert subreaper.acquire()
    with pytest.raises(FileNotFoundError):
        ForkServer(2)
    assert subreaper_setting() == before


@pytest.mark.faults
def test_runs_in_several_threads_do_not_disturb_each_other(started: Started) -> None:
    """They do not wait for each other's workers, and restore the subreaper setting together."""
    before = subreaper_setting()
    with ThreadPoolExecutor(3) as threads:
        runs = [
            threads.submit(lambda: rows_of(run_blocks(map(block, range(100)), SETTINGS, 2)))
            for _ in range(3)
        ]
        assert [run.result() for run in runs] == [rows(100)] * 3
    assert subreaper_setting() == before
    assert len(started) == 3
