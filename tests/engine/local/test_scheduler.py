"""Scheduler: results keep the order of their blocks, whatever happens to the workers."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import pytest
from toy_blocks import (
    CONSTANT_TEMPLATE,
    NAMES,
    SETTINGS,
    block,
    fake_worker,
    rows,
    rows_of,
)
from toys import Started

from sftprep.data.block import Block
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.engine.local.scheduler import Scheduler
from sftprep.errors import InternalError, TemplateError

END = (
    " Nothing was published. If memory is short, run again with fewer --workers; --resume "
    "continues where this run stopped."
)
BLAMED = "in/a\\x1b.jsonl: two worker processes died on lines 1 to 3; the second {}." + END
NOT_READY = "two worker processes died before they were given a block; the second {}." + END
DEATHS = pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("raise SystemExit(3)", "exited with code 3"),
        *(
            pytest.param(*case, marks=pytest.mark.faults)
            for case in (
                ("os.kill(os.getpid(), 11)", "was killed by signal 11"),
                ("pass", "exited with code 0"),
            )
        ),
    ],
)


def test_the_blocks_of_a_killed_worker_are_done_by_another(started: Started) -> None:
    """No result is lost, given twice or out of order."""
    results = run_blocks(map(block, range(100)), SETTINGS, 2)
    found = rows_of(islice(results, 3))
    for pid in list(started.workers):
        os.kill(pid, signal.SIGKILL)
    assert rows(100) == found + rows_of(results)
    assert len(started) == 3


@DEATHS
def test_a_block_of_which_two_workers_die_ends_the_run(
    started: Started, code: str, how: str
) -> None:
    """The message names the block's lines."""
    started.change = lambda _, command: fake_worker(command, f"receive_block()\n{code}")
    results = run_blocks([block(0, lines=3)], CONSTANT_TEMPLATE, 5, NAMES)
    with pytest.raises(InternalError) as caught:
        next(results)
    assert str(caught.value) == BLAMED.format(how)
    assert caught.value.exit_code == 70
    assert len(started) == 2


def test_without_names_the_number_of_the_input_is_named(started: Started) -> None:
    """If the caller gives no names, the message has the number of the input."""
    started.change = lambda _, command: fake_worker(command, "receive_block()")
    with pytest.raises(
        InternalError, match=r"^input 0: two worker processes died on lines 1 to 1;"
    ):
        next(run_blocks([block(0)], CONSTANT_TEMPLATE, 1))


@pytest.mark.faults
@pytest.mark.parametrize("blamed", [False, True])
def test_only_a_worker_taken_after_the_first_death_can_blame_a_block(
    started: Started, monkeypatch: pytest.MonkeyPatch, blamed: bool
) -> None:
    """Two workers that were there from the start may have been killed together, by chance."""
    monkeypatch.setattr(sys, "platform", "darwin")  # each worker is a program
    deadly = range(3 if blamed else 2)

    def change(number: int, command: list[str]) -> list[str]:
        return fake_worker(command, "receive_block()") if number in deadly else command

    started.change = change
    with closing(WorkerPool()) as pool:
        scheduler = Scheduler(SETTINGS, NAMES, pool)
        scheduler.add_workers(2)
        results = scheduler.run(iter([block(0, lines=3)]))
        if blamed:
            with pytest.raises(InternalError) as caught:
                list(results)
            assert str(caught.value) == BLAMED.format("exited with code 0")
        else:
            assert rows_of(results) == ["0:0"] * 3


@DEATHS
@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.faults)])
def test_workers_that_never_become_ready_end_the_run(
    started: Started, code: str, how: str, workers: int
) -> None:
    """No block is blamed, since no worker had one."""
    started.change = lambda _, command: fake_worker(command, code)
    given = [block(n) for n in range(workers)]
    with pytest.raises(InternalError) as caught:
        list(run_blocks(given, CONSTANT_TEMPLATE, workers, NAMES))
    assert str(caught.value) == NOT_READY.format(how)
    assert len(started) == 2
    assert started.workers == []


@pytest.mark.faults
def test_workers_killed_whenever_they_are_ready_end_the_run(started: Started) -> None:
    """Forked workers tell how they ended, although another process started them."""
    started.on_ready = lambda pid: os.kill(pid, signal.SIGTERM)
    with pytest.raises(InternalError) as caught:
        list(run_blocks(map(block, range(100)), SETTINGS, 2, NAMES))
    assert str(caught.value).endswith("; the second was killed by signal 15." + END)


@pytest.mark.faults
def test_no_block_is_blamed_for_a_worker_that_was_dead_before(started: Started) -> None:
    """All workers are killed while their answers wait to be received."""
    killed: list[int] = []

    def blocks() -> Iterator[Block]:
        for number in range(100):
            if number > 10 and not killed and len(started.workers) == 2:
                time.sleep(0.2)  # until they have answered everything
                for pid in started.workers:
                    os.kill(pid, signal.SIGKILL)
                killed.extend(started.workers)
                time.sleep(0.1)
            yield block(number)

    assert rows(100) == rows_of(run_blocks(blocks(), SETTINGS, 2))
    assert len(killed) == 2


HALF_A_MESSAGE = """
for pipe in pipes:
    pipe = socket.socket(fileno=pipe.fileno())
    pipe.sendall({!r})
    pipe.shutdown(socket.SHUT_WR)
time.sleep(60)
"""


@pytest.mark.faults
@pytest.mark.parametrize("first", ["", "send_ready()"])
@pytest.mark.parametrize(
    "half",
    [
        pytest.param(b"\0", id="size"),
        pytest.param(b"\0\0\1\0", id="nothing"),
        pytest.param(b"\0\0\1\0" + b"x" * 10, id="some"),
    ],
)
def test_a_block_with_half_an_answer_is_done_again(
    started: Started, half: bytes, first: str
) -> None:
    """The worker was killed while it sent."""

    def change(number: int, command: list[str]) -> list[str]:
        return command if number else fake_worker(command, first + HALF_A_MESSAGE.format(half))

    started.change = change
    assert rows(50) == rows_of(run_blocks(map(block, range(50)), SETTINGS, 2))
    # If none was ready, all are replaced together; else the one with a block on its own.
    assert len(started) == (3 if first else 2)


def test_a_block_that_takes_too_long_ends_the_run(started: Started) -> None:
    """There is a time limit for a block with a chat template, which may never finish."""
    started.change = lambda _, command: fake_worker(command, "receive_block()\ntime.sleep(60)")
    with closing(WorkerPool()) as pool:
        scheduler = Scheduler(CONSTANT_TEMPLATE, NAMES, pool, block_seconds=0.5)
        scheduler.add_workers(1)
        with pytest.raises(TemplateError) as caught:
            next(scheduler.run(iter([block(0)])))
    assert str(caught.value) == (
        "template 'own' needed more than 0.5 seconds for one block; it may never finish. Correct "
        "the template."
    )


def test_a_template_that_cannot_be_interrupted_ends_the_run(started: Started) -> None:
    """The kernel has ended the worker for its CPU time; no other worker tries the block."""
    code = "receive_block()\nimport signal\nos.kill(os.getpid(), signal.SIGXCPU)"
    started.change = lambda _, command: fake_worker(command, code)
    with pytest.raises(TemplateError) as caught:
        next(run_blocks([block(0, lines=3)], CONSTANT_TEMPLATE, 1, NAMES))
    assert str(caught.value) == (
        "in/a\\x1b.jsonl: lines 1 to 3: chat template own used too much CPU time for one of these "
        "records, and could not be interrupted. Correct the template."
    )
    assert len(started) == 1


LOAD_SLOWLY = """
from sftprep.engine.local.main import main
time.sleep(1.5)
main(os.getppid(), [pipe.fileno() for pipe in pipes])
"""


@pytest.mark.faults  # takes 2 seconds
def test_the_time_that_a_worker_needs_to_load_does_not_count(started: Started) -> None:
    """Only a block can take too long."""
    started.change = lambda _, command: fake_worker(command, LOAD_SLOWLY)
    with closing(WorkerPool()) as pool:
        scheduler = Scheduler(CONSTANT_TEMPLATE, NAMES, pool, block_seconds=1.0)
        scheduler.add_workers(1)
        assert len(list(scheduler.run(iter([block(0)])))) == 1


def test_a_block_without_a_chat_template_may_take_any_time(started: Started) -> None:
    """The other templates always finish."""
    with closing(WorkerPool()) as pool:
        scheduler = Scheduler(SETTINGS, NAMES, pool, block_seconds=0.0)
        scheduler.add_workers(1)
        assert len(list(scheduler.run(iter([block(0)])))) == 1


@pytest.mark.faults
def test_workers_that_are_programs_of_their_own_work_too(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that are not forked, as on systems other than Linux, give the same results."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert rows(100) == rows_of(run_blocks(map(block, range(100)), SETTINGS, 3))
    assert len(started) == 3
    assert {process.pid for process in started} >= set(started.workers)
