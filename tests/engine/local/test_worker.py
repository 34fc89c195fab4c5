"""worker: what a worker process does with blocks, errors and signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import toys
from toy_blocks import (
    BROKEN_TEMPLATE,
    CONSTANT_TEMPLATE,
    SETTINGS,
    block,
    fake_worker,
    is_one_server,
    rows,
    rows_of,
)
from toys import SAMPLE_TOKENIZER, Started, write_jsonl

from sftprep.data.block import Block
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.worker import MEMORY_BYTES
from sftprep.errors import InternalError, TemplateError
from sftprep.pipeline import Pipeline
from sftprep.settings import Settings


def test_workers_receive_the_settings_once_and_then_blocks(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings come without the vocabulary, which the encoder holds already."""
    sent: list[Any] = []
    send = Connection.send

    def record(self: Connection, content: Any) -> None:
        sent.append(content)
        send(self, content)

    monkeypatch.setattr(Connection, "send", record)
    assert len(rows_of(run_blocks(map(block, range(50)), SETTINGS, 2))) == 50
    settings = [c[1] for c in sent if type(c) is tuple and isinstance(c[1], Settings)]
    assert [(s.tokenizer.json, s.tokenizer.files) for s in settings] == [("", {})]
    assert is_one_server(started, 2)
    blocks = [content for content in sent if isinstance(content, Block)]
    assert len(blocks) == 50
    assert {sent_block.data for sent_block in blocks} == {b""}  # the bytes travel as a buffer


def test_ctrl_c_does_not_reach_workers(started: Started) -> None:
    """The terminal signals all processes of a run: the parent decides what it means."""
    results = run_blocks(map(block, range(100)), SETTINGS, 2)
    found = rows_of(islice(results, 3))
    for pid in started.workers:
        os.kill(pid, signal.SIGINT)
    assert rows(100) == found + rows_of(results)
    assert is_one_server(started, 2)


FORK_FAILS_THE_SECOND_TIME = """
from sftprep.engine.local.messages import Inbox
from sftprep.engine.local import worker
fork, forked = os.fork, []
def fail():
    if forked:
        raise BlockingIOError(11, "no more processes")
    forked.append(1)
    return fork()
os.fork = fail
worker.work(os.getppid(), pipes, Inbox(pipes[0], limit=1))
"""


@pytest.mark.faults
def test_workers_that_cannot_be_forked_are_started_again(started: Started) -> None:
    """Another program starts workers in place of those that could not be forked."""
    code = FORK_FAILS_THE_SECOND_TIME
    started.change = lambda number, command: command if number else fake_worker(command, code)
    assert rows(100) == rows_of(run_blocks(map(block, range(100)), SETTINGS, 3))
    assert len(started) == 2


def test_the_error_of_a_worker_is_raised_in_the_parent(started: Started) -> None:
    """It has the same type and the same text."""
    with pytest.raises(TemplateError) as there:
        next(run_blocks(map(block, range(50)), BROKEN_TEMPLATE, 2))
    with pytest.raises(TemplateError) as here:
        Pipeline(BROKEN_TEMPLATE)
    assert str(here.value) == str(there.value)
    assert (len(started), started.workers) == (1, [])


def test_an_unexpected_error_comes_with_the_traceback_of_the_worker(started: Started) -> None:
    """The user is asked to report it."""
    nonsense: Any = (None,)
    given = (block(n)._replace(elements=nonsense if n == 20 else None) for n in range(50))
    with pytest.raises(InternalError) as caught:
        list(run_blocks(given, SETTINGS, 2))
    lines = str(caught.value).split("\n")
    assert lines[:2] == [
        "a worker failed with AttributeError; this is a bug in sftprep. Nothing was published. "
        "Please report it with this traceback:",
        "Traceback (most recent call last):",
    ]
    assert "engine/local/worker.py" in lines[2]
    assert any("pipeline.py" in line for line in lines)
    assert "AttributeError: 'NoneType' object has no attribute 'start'" in lines
    assert is_one_server(started, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("settings", [SETTINGS, CONSTANT_TEMPLATE], ids=["built-in", "chat"])
def test_memory_is_limited_only_with_a_chat_template(started: Started, settings: Settings) -> None:
    """Such a template is a program, and may try to take all memory."""
    results = run_blocks(map(block, range(50)), settings, 2)
    next(results)
    limits = Path(f"/proc/{started.workers[0]}/limits").read_text().splitlines()
    [soft] = [line.split()[3] for line in limits if line.startswith("Max address space")]
    results.close()  # type: ignore[attr-defined]
    # While a worker renders a block, its limit is lower.
    is_limited = soft != "unlimited" and int(soft) <= MEMORY_BYTES
    assert is_limited == settings.untrusted


# --- whole programs -----------------------------------------------------------------------------


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running(code: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Run a Python program that can import the tests' helpers; kill it after the test."""
    command = [sys.executable, "-c", code, str(Path(toys.__file__).parent)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


STOP_READING_RESULTS = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import toy_blocks
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.fork_server import WorkerProcess

note_ready, pids = WorkerProcess.note_ready, []
def record(worker, pid):
    pids.append(pid)
    note_ready(worker, pid)
WorkerProcess.note_ready = record

results = run_blocks(map(toy_blocks.block, range(1000)), toy_blocks.SETTINGS, 2)
for _ in range(20):
    next(results)
print(json.dumps(pids), flush=True)
time.sleep(60)
"""


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_do_not_outlive_a_killed_parent() -> None:
    """Two seconds after the parent was killed, all its workers have ended."""
    with running(STOP_READING_RESULTS) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        assert [is_alive(pid) for pid in pids] == [True, True]
        parent.kill()
        parent.wait()
        until = time.monotonic() + 2
        while any(map(is_alive, pids)) and time.monotonic() < until:
            time.sleep(0.01)
    assert [is_alive(pid) for pid in pids] == [False, False]


SIGNAL_WHEN_READY = """
import signal, sys
sys.path.insert(0, sys.argv[1])
import toy_blocks
from sftprep.cli.terminal import command
from sftprep.engine.local import scheduler
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.fork_server import WorkerProcess

receive_answer = scheduler.receive_answer
def receive_and_signal(pipe):
    answer = receive_answer(pipe)
    if isinstance(answer, scheduler.Ready) and {before}:
        signal.raise_signal(signal.SIGTERM)
    return answer
scheduler.receive_answer = receive_and_signal

note_ready = WorkerProcess.note_ready
def note_and_signal(worker, pid):
    note_ready(worker, pid)
    signal.raise_signal(signal.SIGTERM)
WorkerProcess.note_ready = note_and_signal

with command():
    list(run_blocks(map(toy_blocks.block, range(100)), toy_blocks.SETTINGS, 3))
"""


@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.faults)])
def test_a_signal_while_workers_become_ready_ends_all_processes(before: bool) -> None:
    """All processes end, whether the parent has noted the worker's process id yet or not.

    Each of them holds the standard error that ``communicate`` reads, so it waits for all of them.
    """
    code = SIGNAL_WHEN_READY.format(before=before)
    with running(code, stderr=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors


def prepare_with_changed_workers(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """Run ``sftprep prepare`` on 20 chats; its worker programs execute some code at their start."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f'import sys\nif "local.main" in " ".join(sys.orig_argv):\n{indent(code, "    ")}\n'
    )
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    data = write_jsonl(folder / "in.jsonl", [{"messages": turns}] * 20)
    return subprocess.run(
        [sys.executable, "-m", "sftprep", "prepare", str(data), "--output", str(folder / "out"),
         "--tokenizer", str(SAMPLE_TOKENIZER), "--workers", "2", "--template", "tokenizer"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


REFUSE_TO_PICKLE_RESULTS = """
from multiprocessing.reduction import ForkingPickler
dumps = ForkingPickler.dumps
def refuse(thing, protocol=None):
    if type(thing).__name__ == "_Result":
        raise TypeError("cannot be sent")
    return dumps(thing, protocol)
ForkingPickler.dumps = refuse
"""


@pytest.mark.faults
def test_a_result_that_cannot_be_sent_ends_the_run(tmp_path: Path) -> None:
    """The sending thread reports it; nobody waits for the result."""
    run = prepare_with_changed_workers(tmp_path, REFUSE_TO_PICKLE_RESULTS)
    assert (run.returncode, run.stdout) == (70, "")
    lines = run.stderr.splitlines()
    assert lines[0] == (
        "error: a worker failed with TypeError; this is a bug in sftprep. Nothing was published. "
        "Please report it with this traceback:"
    )
    assert "TypeError: cannot be sent" in lines


def test_workers_that_die_at_their_start_end_the_run(tmp_path: Path) -> None:
    """With a message, and without a dataset."""
    began = time.monotonic()
    run = prepare_with_changed_workers(tmp_path, "import os; os._exit(1)")
    assert (run.returncode, run.stdout) == (70, "")
    assert run.stderr == (
        "error: two worker processes died before they were given a block; the second exited with "
        "code 1. Nothing was published. If memory is short, run again with fewer --workers; "
        "--resume continues where this run stopped.\n"
    )
    assert time.monotonic() - began < 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "site"]
