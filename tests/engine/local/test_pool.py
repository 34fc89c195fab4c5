"""engine: results in the order of their blocks, whatever becomes of the workers."""

import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from textwrap import indent
from types import FrameType
from typing import Any

import pytest
import toys
from toys import SAMPLE_TOKENIZER, Started, byte_tokenizer, write_jsonl

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local import pool as local
from sftprep.engine.local.fork_server import Process, waiting
from sftprep.engine.local.pool import FEW, IN_FLIGHT, run_blocks
from sftprep.errors import DataError, InternalError, TemplateError
from sftprep.pipeline import Pipeline, Settings
from sftprep.system.linux import PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER
from sftprep.templates.template import ChatTemplate, load_template
from sftprep.tokenization.proof import prove

TOKENIZER = byte_tokenizer()
SETTINGS = Settings(
    tokenizer=TOKENIZER,
    encoding=prove(TOKENIZER),
    template=load_template("plain"),
    fields={},
    system=None,
    separator="",
    allowed=(),
    max_length=1 << 30,
    truncation="drop",
    train_on="completion",
    boundary="split",
    backend="auto",
)
UNTRUSTED = replace(
    SETTINGS,
    template=ChatTemplate(name="own", source="{% for %}", sha256="", arguments={}, today=None),
)
"""A template that is a program: even a single block needs a process. This one is wrong."""
UNTRUSTED_PLAIN = replace(
    SETTINGS,
    template=ChatTemplate(name="own", source="a", sha256="", arguments={}, today=None),
)
"""One that is not wrong, if of no use."""
NAMES = ["in/a\x1b.jsonl"]


def block(number: int, *, lines: int = 1) -> Block:
    """A block of records that hold its number."""
    data = json.dumps({"prompt": f"{number}:", "completion": str(number)}).encode() + b"\n"
    return Block(0, 0, number * lines + 1, 0, data * lines, None, "prompt-completion")


def texts(results: Iterator[BlockResult]) -> list[str]:
    """The rows of results as text."""
    rows: list[str] = []
    for result in results:
        assert result.batch is not None
        ids, ends = result.batch.input_ids.tolist(), result.batch.offsets.tolist()
        rows += ["".join(map(chr, ids[a : b - 1])) for a, b in itertools.pairwise(ends)]
    return rows


def rows(count: int) -> list[str]:
    """The rows of the first blocks."""
    return [f"{number}:{number}" for number in range(count)]


def is_crew(started: Started, workers: int) -> bool:
    """Whether one program was started for so many workers; not all need to have been ready."""
    if not workers:
        return not started
    return len(started) == 1 and 0 < len(started.workers) <= workers


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """What waits for ever fails."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("the engine hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# --- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "workers"), [(0, 2), (1, 2), (40, 1), (300, 2), (100, 5)])
def test_results_are_in_order(started: Started, count: int, workers: int) -> None:
    """Results come in the order of their blocks, with any number of workers."""
    assert rows(count) == texts(run_blocks(map(block, range(count)), SETTINGS, workers))
    assert is_crew(started, workers if count > FEW and workers > 1 else 0)


@pytest.mark.parametrize(("count", "backend", "expected"), [
    (FEW - 1, "auto", 0), (FEW, "auto", 5), (1, "hf", 0), (2, "hf", 2), (4, "hf", 4), (7, "hf", 5),
])  # fmt: skip
def test_little_input_needs_no_process(
    started: Started, count: int, backend: str, expected: int
) -> None:
    """Processes are started where their work takes longer than their start."""
    settings = replace(SETTINGS, encoding=prove(TOKENIZER, (), backend))
    assert rows(count) == texts(run_blocks(map(block, range(count)), settings, 5))
    assert is_crew(started, expected)


def test_no_input_needs_no_process(started: Started) -> None:
    """Where there is nothing to do nobody is started for it, whatever the template."""
    assert list(run_blocks([], UNTRUSTED, 2)) == []
    assert started == []


def test_the_same_result_from_a_worker(started: Started) -> None:
    """A result that came through a pipe is the one that this process would have made."""
    bad = b'{"prompt": 1}\n\n[]\n\xff\n{"prompt": "a", "completion": "</s>"}\n'
    given = [Block(0, n, 1, 7, bad, None, "prompt-completion") for n in range(FEW)]
    ours = [Pipeline(SETTINGS).process(one) for one in given]
    theirs = list(run_blocks(given, SETTINGS, 2))
    assert is_crew(started, 2)
    for here, there in zip(ours, theirs, strict=True):
        assert here.batch is not None
        assert there.batch is not None
        for name in ("input_ids", "loss_mask", "offsets", "record"):
            mine, its = getattr(here.batch, name), getattr(there.batch, name)
            assert (mine.dtype, mine.tolist()) == (its.dtype, its.tolist())
        assert [(x.line, x.offset, x.reason, x.raw) for x in here.rejected] == [
            (x.line, x.offset, x.reason, x.raw) for x in there.rejected
        ]
        assert len(here.rejected) == 3
        assert (here.shard, here.read, here.blank, here.counts, here.controls) == (
            there.shard,
            there.read,
            there.blank,
            there.counts,
            there.controls,
        )


def test_few_blocks_are_in_flight(started: Started) -> None:
    """Blocks are read as results are taken: memory does not follow the input's size."""
    taken: list[int] = []

    def counted() -> Iterator[Block]:
        for number in range(200):
            taken.append(number)
            yield block(number)

    results = run_blocks(counted(), SETTINGS, 2)
    for number in range(20):
        next(results)
        assert len(taken) <= number + FEW + 2 * IN_FLIGHT
    results.close()  # type: ignore[attr-defined]
    assert is_crew(started, 2)


def test_large_blocks_and_large_results(started: Started) -> None:
    """More than a pipe holds goes both ways at once, and nobody waits for the other."""
    text = "x" * 3_000_000
    data = json.dumps({"prompt": text, "completion": "y"}).encode()
    given = [Block(0, 0, n + 1, 0, data, None, "prompt-completion") for n in range(9)]
    sizes = [len(r.batch.input_ids) for r in run_blocks(given, SETTINGS, 2) if r.batch is not None]
    assert sizes == [3_000_002] * 9
    assert is_crew(started, 2)


def test_many_rejects(started: Started) -> None:
    """A result of records' bytes, and no row, is larger than a pipe too."""
    data = (b"[" + b"1," * 20_000 + b"1]\n") * 40
    given = [Block(0, 0, n + 1, 0, data, None, "prompt-completion") for n in range(9)]
    results = list(run_blocks(given, SETTINGS, 2))
    assert [(len(r.rejected), r.batch) for r in results] == [(40, None)] * 9
    assert is_crew(started, 2)


def test_settings_are_sent_once(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are told once what to do, without the vocabulary twice, and then get blocks."""
    sent: list[Any] = []
    send = Connection.send

    def record(self: Connection, thing: Any) -> None:
        sent.append(thing)
        send(self, thing)

    monkeypatch.setattr(Connection, "send", record)
    assert len(texts(run_blocks(map(block, range(50)), SETTINGS, 2))) == 50
    told = [thing for thing in sent if isinstance(thing, Settings)]
    assert len(told) == 1
    assert is_crew(started, 2)
    assert [(s.tokenizer.json, s.tokenizer.files) for s in told] == [("", {})]
    assert sum(isinstance(thing, Block) for thing in sent) == 50
    assert {thing.data for thing in sent if isinstance(thing, Block)} == {b""}  # sent as it is


# --- workers that die ---------------------------------------------------------------------------


def test_a_worker_that_is_killed(started: Started) -> None:
    """Its blocks are done again by a new worker; nothing is lost, doubled or out of order."""
    results = run_blocks(map(block, range(100)), SETTINGS, 2)
    found = texts(itertools.islice(results, 3))
    for pid in list(started.workers):
        os.kill(pid, signal.SIGKILL)
    assert rows(100) == found + texts(results)
    assert len(started) == 3


DIED_TWICE = (
    "in/a\\x1b.jsonl: the worker process for lines 1 to 3 died twice: it {}. Nothing was "
    "published. If memory is short, run again with fewer --workers; --resume goes on where this "
    "run ended."
)


NOT_READY = (
    "a worker process died twice before it could work: it {}. Nothing was published. If memory is "
    "short, run again with fewer --workers; --resume goes on where this run ended."
)
SPEAKS = """
import os, socket, sys
sys.path[:] = {path!r}
from multiprocessing.connection import Connection
from sftprep.engine.local.messages import Ready, receive, send
pipes = [Connection(int(descriptor)) for descriptor in sys.argv[1:]]
def ready():
    send(pipes[0], Ready(os.getpid()))
def at_work():
    receive(pipes[0])  # the settings
    ready()
    receive(pipes[0])
{code}
"""


def instead(command: list[str], code: str) -> list[str]:
    """A program that gets a worker's pipes, and does something else with them."""
    _, *descriptors = command[2].rpartition("(")[2].rstrip(")").split(", ")
    return [command[0], "-c", SPEAKS.format(path=sys.path, code=code), *descriptors]


ENDS = pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("os.kill(os.getpid(), 11)", "was killed by signal 11"),
        ("raise SystemExit(3)", "ended with 3"),
        ("pass", "ended with 0"),
    ],
)


@ENDS
def test_a_block_whose_workers_die(started: Started, code: str, how: str) -> None:
    """A block that two workers died of ends the run, and its records are named."""
    started.change = lambda _, command: instead(command, f"at_work()\n{code}")
    results = run_blocks([block(0, lines=3)], UNTRUSTED, 5, NAMES)
    with pytest.raises(InternalError) as caught:
        next(results)
    assert str(caught.value) == DIED_TWICE.format(how)
    assert caught.value.exit_code == 70
    assert len(started) == 2


@ENDS
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_are_never_ready(started: Started, code: str, how: str, workers: int) -> None:
    """No record is blamed when there was none at work."""
    started.change = lambda _, command: instead(command, code)
    given = [block(n) for n in range(workers)]
    with pytest.raises(InternalError) as caught:
        list(run_blocks(given, UNTRUSTED, workers, NAMES))
    assert str(caught.value) == NOT_READY.format(how)
    assert len(started) == 2
    assert started.workers == []


def test_forked_workers_tell_how_they_died(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are our children, though another process made them."""
    hear = Process.born

    def kill(worker: Process, pid: int) -> None:
        hear(worker, pid)
        os.kill(pid, signal.SIGTERM)

    monkeypatch.setattr(Process, "born", kill)
    with pytest.raises(InternalError) as caught:
        list(run_blocks(map(block, range(100)), SETTINGS, 2, NAMES))
    assert str(caught.value).endswith(DIED_TWICE.format("was killed by signal 15").split(":")[-1])


def test_all_are_killed_at_once(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """No block is blamed for a worker that was dead when it was given."""
    killed: list[int] = []
    give = local._Worker.give

    def kill_all(worker: Any, index: int, block: Block) -> None:
        give(worker, index, block)
        if not killed and len(started.workers) == 2:
            time.sleep(0.2)  # they have answered all
            for pid in started.workers:
                os.kill(pid, signal.SIGKILL)
            killed.extend(started.workers)
            time.sleep(0.1)

    monkeypatch.setattr(local._Worker, "give", kill_all)
    assert rows(100) == texts(run_blocks(map(block, range(100)), SETTINGS, 2))
    assert len(killed) == 2


SIGNALLED = """
import itertools, os, signal, sys
sys.path[:0] = sys.argv[1].split(":")
import test_pool
from sftprep.cli.terminal import command
from sftprep.engine.local import pool as local
from sftprep.engine.local.fork_server import Process

heard = local.receive_result
def hear(pipe):
    answer = heard(pipe)
    if isinstance(answer, local.Ready) and {before}:
        signal.raise_signal(signal.SIGTERM)
    return answer
local.receive_result = hear
born = Process.born
def is_born(process, pid):
    born(process, pid)
    signal.raise_signal(signal.SIGTERM)
Process.born = is_born
with command():
    list(local.run_blocks(map(test_pool.block, range(100)), test_pool.SETTINGS, 3))
"""


@pytest.mark.parametrize("before", [True, False])
def test_a_signal_while_workers_become_ready(before: bool) -> None:
    """Whether or not it is known by then which processes they are, all end."""
    here = f"{Path(__file__).parent}:{Path(toys.__file__).parent}"
    code = SIGNALLED.format(before=before)
    with running(sys.executable, "-c", code, here, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err


def test_runs_side_by_side(started: Started) -> None:
    """Two runs of one process do not take each other's workers, nor change what it was before."""
    before = subreaper()
    with ThreadPoolExecutor(3) as threads:
        runs = [
            threads.submit(lambda: texts(run_blocks(map(block, range(100)), SETTINGS, 2)))
            for _ in range(3)
        ]
        assert [run.result() for run in runs] == [rows(100)] * 3
    assert subreaper() == before
    assert len(started) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_adoption_ends(started: Started) -> None:
    """A process that adopts orphans by itself goes on to do so; others do not begin to."""
    for value in (1, 0):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)
        assert rows(50) == texts(run_blocks(map(block, range(50)), SETTINGS, 2))
        assert subreaper() == value


def subreaper() -> int:
    """Whether this process adopts orphans."""
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    return found.value


def test_fewer_are_hired_than_were_started(started: Started) -> None:
    """All end with the run, also those that had nothing to do."""
    with waiting(4) as staff:
        results = run_blocks([block(n) for n in range(2)], UNTRUSTED_PLAIN, 4, NAMES, staff)
        assert len(list(results)) == 2
    assert len(started) == 1


HALF = """
for pipe in pipes:
    pipe = socket.socket(fileno=pipe.fileno())
    pipe.sendall({!r})
    pipe.shutdown(socket.SHUT_WR)
import time
time.sleep(60)
"""


@pytest.mark.parametrize("first", ["", "ready()"])
@pytest.mark.parametrize(
    "half", [b"\0", b"\0\0\1\0", b"\0\0\1\0" + b"x" * 10], ids=["size", "nothing", "some"]
)
def test_killed_in_the_middle_of_an_answer(started: Started, half: bytes, first: str) -> None:
    """Half an answer is none: the block is done again."""

    def change(number: int, command: list[str]) -> list[str]:
        return command if number else instead(command, first + HALF.format(half))

    started.change = change
    assert rows(50) == texts(run_blocks(map(block, range(50)), SETTINGS, 2))
    assert len(started) == (3 if first else 2)  # who was not ready is replaced at once


def test_some_workers_cannot_be_forked(started: Started) -> None:
    """Those that are missing are started once more."""
    code = """
from sftprep.engine.local.messages import Inbox
from sftprep.engine.local import worker
fork, forked = os.fork, []
def refuse():
    if forked:
        raise BlockingIOError(11, "no more")
    forked.append(1)
    return fork()
os.fork = refuse
worker.work(os.getppid(), pipes, Inbox(pipes[0], only=1))
"""
    started.change = lambda number, command: command if number else instead(command, code)
    assert rows(100) == texts(run_blocks(map(block, range(100)), SETTINGS, 3))
    assert len(started) == 2


def test_where_there_is_no_fork(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker is a program of its own."""
    monkeypatch.setattr("sftprep.system.linux.Adoption.begin", lambda self: False)
    assert rows(100) == texts(run_blocks(map(block, range(100)), SETTINGS, 3))
    assert len(started) == 3
    assert {process.pid for process in started} >= set(started.workers)


@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("forks", [True, False])
def test_workers_that_cannot_be_started(
    started: Started, monkeypatch: pytest.MonkeyPatch, fails: int, forks: bool
) -> None:
    """Those that were started before are ended, and the error is the system's."""
    if not forks:
        monkeypatch.setattr("sftprep.system.linux.Adoption.begin", lambda self: False)

    def change(number: int, command: list[str]) -> list[str]:
        return ["/nonexistent"] if number == fails else command

    started.change = change
    if forks and fails:
        assert rows(50) == texts(run_blocks(map(block, range(50)), SETTINGS, 3))
        return
    with pytest.raises(FileNotFoundError):
        list(run_blocks(map(block, range(50)), SETTINGS, 3))
    assert len(started) == fails


def test_workers_are_deaf_to_the_keyboard(started: Started) -> None:
    """A key press that ends the run reaches all its processes: the parent decides what it means."""
    results = run_blocks(map(block, range(100)), SETTINGS, 2)
    found = texts(itertools.islice(results, 3))
    for pid in started.workers:
        os.kill(pid, signal.SIGINT)
    assert rows(100) == found + texts(results)
    assert is_crew(started, 2)


# --- errors -------------------------------------------------------------------------------------


def test_an_error_of_a_worker(started: Started) -> None:
    """An error that ends the run is raised here as it was there."""
    with pytest.raises(TemplateError) as there:
        next(run_blocks(map(block, range(50)), UNTRUSTED, 2))
    with pytest.raises(TemplateError) as here:
        Pipeline(UNTRUSTED)
    assert str(here.value) == str(there.value)
    assert (len(started), started.workers) == (1, [])


def test_a_bug_in_a_worker(started: Started) -> None:
    """An error that no one foresaw comes with the worker's traceback, to be reported."""
    nonsense: Any = (None,)
    given = (block(n)._replace(elements=nonsense if n == 20 else None) for n in range(50))
    results = run_blocks(given, SETTINGS, 2)
    with pytest.raises(InternalError) as caught:
        list(results)
    lines = str(caught.value).split("\n")
    assert lines[:2] == [
        "a worker failed with AttributeError; this is a bug in sftprep. Nothing was published. "
        "Please report it with this:",
        "Traceback (most recent call last):",
    ]
    assert "engine/local/worker.py" in lines[2]
    assert any("pipeline.py" in line for line in lines)
    assert "AttributeError: 'NoneType' object has no attribute 'start'" in lines
    assert is_crew(started, 2)


def test_an_error_of_the_reader(started: Started) -> None:
    """Input that cannot be read on ends the run, and its workers."""

    def damaged() -> Iterator[Block]:
        yield from map(block, range(50))
        raise DataError("a.gz: cut off")

    with pytest.raises(DataError, match=r"^a\.gz: cut off$"):
        list(run_blocks(damaged(), SETTINGS, 2))
    assert is_crew(started, 2)


# --- whole programs -----------------------------------------------------------------------------

STALLED = """
import json, sys, time
import sftprep.engine.local.pool as local
from sftprep.engine.local.fork_server import Process
sys.path[:0] = sys.argv[1].split(":")
import test_pool

born = Process.born
pids = []
def record(worker, pid):
    pids.append(pid)
    born(worker, pid)
Process.born = record

results = local.run_blocks(map(test_pool.block, range(1000)), test_pool.SETTINGS, 2)
for _ in range(20):
    next(results)
print(json.dumps(pids), flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """Whether a process still does something."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running(*command: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A program that does not outlive the test."""
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_workers_do_not_outlive_a_killed_parent() -> None:
    """Two seconds after the end of a run that was killed all its workers are gone."""
    here = f"{Path(__file__).parent}:{Path(toys.__file__).parent}"
    with running(sys.executable, "-c", STALLED, here) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        assert [is_alive(pid) for pid in pids] == [True, True]
        parent.kill()
        parent.wait()
        until = time.monotonic() + 2
        while any(map(is_alive, pids)) and time.monotonic() < until:
            time.sleep(0.01)
    assert [is_alive(pid) for pid in pids] == [False, False]


def run_with_workers(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """A run of 20 chats, in ``folder``, whose workers execute some code before all else."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f'import sys\nif "local.messages" in " ".join(sys.orig_argv):\n{indent(code, "    ")}\n'
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


UNSENDABLE = """
from multiprocessing.reduction import ForkingPickler
dumps = ForkingPickler.dumps
def refuse(thing, protocol=None):
    if type(thing).__name__ == "BlockResult":
        raise TypeError("cannot be sent")
    return dumps(thing, protocol)
ForkingPickler.dumps = refuse
"""


def test_a_result_that_cannot_be_sent(tmp_path: Path) -> None:
    """The run ends with what happened; nobody waits for the result."""
    run = run_with_workers(tmp_path, UNSENDABLE)
    assert (run.returncode, run.stdout) == (70, "")
    lines = run.stderr.splitlines()
    assert lines[0] == (
        "error: a worker failed with TypeError; this is a bug in sftprep. Nothing was published. "
        "Please report it with this:"
    )
    assert "TypeError: cannot be sent" in lines


def test_workers_that_die_at_their_start(tmp_path: Path) -> None:
    """Workers that never get to work end the run with a message; nobody waits for them."""
    began = time.monotonic()
    run = run_with_workers(tmp_path, "import os; os._exit(1)")
    assert (run.returncode, run.stdout) == (70, "")
    assert run.stderr == f"error: {NOT_READY.format('ended with 1')}\n"
    assert time.monotonic() - began < 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "site"]
