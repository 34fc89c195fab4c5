"""early, process and pipes: workers that are started before there is work, and told of it."""

import os
import signal
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from toys import SAMPLE_TOKENIZER, Started, write_jsonl

from sftprep import Recipe, UsageError, early, prepare
from sftprep import plan as plans
from sftprep.data.block import Block
from sftprep.engine.local import worker
from sftprep.engine.local.fork_server import Staff, waiting
from sftprep.engine.local.messages import receive, send
from sftprep.plan import Plan


def recipe(folder: Path, records: int, **options: Any) -> Recipe:
    """A recipe for a file with so many records."""
    rows = [{"prompt": f"{n}: what?\n", "completion": f"It is {n}."} for n in range(records)]
    data = write_jsonl(folder / "in.jsonl", rows)
    given = {"output": str(folder / "out"), "tokenizer": str(SAMPLE_TOKENIZER), "workers": 2}
    return Recipe(**{"inputs": (str(data),), **given, **options})


def test_much_input_has_workers_early(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there before the run is planned, do all the work, and change no byte."""
    alone = prepare(recipe(tmp_path, 60_000, workers=1))
    assert started == []
    planned: list[int] = []
    given: list[Block] = []

    def plan(found: Recipe) -> Plan:
        planned.append(len(started))
        return plans.plan(found)

    def send_block(pipe: Connection, block: Block) -> None:
        given.append(block)
        worker.send_block(pipe, block)

    monkeypatch.setattr("sftprep.run.plan", plan)
    monkeypatch.setattr("sftprep.engine.local.pool.send_block", send_block)
    monkeypatch.setattr("sftprep.engine.local.pool.FEW", 1)  # blocks that are done without workers
    monkeypatch.setattr(early, "LITTLE", 1 << 20)
    made = prepare(recipe(tmp_path, 60_000, output=str(tmp_path / "other")))
    assert (made.status, planned, len(started)) == ("written", [1], 1)
    assert sum(len(block.data) for block in given) == (tmp_path / "in.jsonl").stat().st_size
    assert made.manifest.shards == alone.manifest.shards


def test_little_input_has_none(tmp_path: Path, started: Started) -> None:
    """Nor has a single worker, or a run that will be refused."""
    prepare(recipe(tmp_path, 10))
    assert started == []


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 1},
        {"output": None},
        {"tokenizer": None},
        {"inputs": ()},
        {"inputs": ("-",)},
        {"inputs": (".",)},
        {"inputs": ("nothing\0",)},
        {"inputs": ("*.jsonl",)},
    ],
)
def test_what_is_not_known_to_be_much(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only files tell their size."""
    monkeypatch.setattr(early, "LITTLE", 1)
    assert early._early_workers(recipe(tmp_path, 10)) == 2
    assert early._early_workers(recipe(tmp_path, 10, workers=None)) in {
        0 if (cores := len(os.sched_getaffinity(0))) == 1 else cores
    }
    assert early._early_workers(recipe(tmp_path, 10, **options)) == 0


def test_workers_end_with_a_run_that_is_refused(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for work that will not come."""
    monkeypatch.setattr(early, "LITTLE", 1)
    with pytest.raises(UsageError):
        prepare(recipe(tmp_path, 10, allow_control=("<nothing>",)))
    assert len(started) == 1


def test_staff(started: Started) -> None:
    """Those that wait are taken first, and all end together, at work or not."""
    with waiting(2) as staff:
        hired = staff.hire(1) + staff.hire(1) + staff.hire(1)
        assert len(started) == 2
        assert [process.is_first for process in hired] == [True, False, True]
        assert [process.poll() for process in started] == [None, None]
        assert staff.hire(0) == []
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2
    Staff().end()


@pytest.mark.parametrize("buffers", [[], [b""], [b"abc", b"", b"\n" * (3 << 20)]])
def test_letters(buffers: list[bytes]) -> None:
    """An object and its buffers come as they were sent, however large."""
    ours, theirs = Pipe()
    sender = Thread(target=send, args=(ours, {"a": [1, None]}, buffers))
    sender.start()
    letter = receive(theirs)
    sender.join()
    assert letter.thing() == {"a": [1, None]}
    assert [bytes(buffer) for buffer in letter.buffers] == buffers


@pytest.mark.parametrize("half", ["nothing", "head", "part of a buffer"])
def test_the_other_end_is_gone(half: str) -> None:
    """Whatever came before."""
    ours, theirs = Pipe()
    if half != "nothing":
        ours.send({})
    if half == "part of a buffer":
        ours.send([3])
        os.write(ours.fileno(), b"ab")
    ours.close()
    with pytest.raises(EOFError):
        receive(theirs)
