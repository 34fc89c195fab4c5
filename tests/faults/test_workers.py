"""Workers that die: the parent notices, tries once more, then names the block they died of."""

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import Case, many, tree, write_records
from faults.processes import Ran, Run, reaped, workers_of

pytestmark = pytest.mark.faults
DEATH_NOTE = re.compile(
    r"(in\.jsonl: two worker processes died on lines [\d,]+ to [\d,]+"
    r"|two worker processes died before they were given a block); the second was killed by signal 9"
)


@pytest.fixture
def long(case: Case) -> Case:
    """A run on ten times as much input, with two workers."""
    case.source = write_records(case.folder / "in.jsonl", 3_000_000)
    case.options = ("--shard-size", "200KB")
    assert case.fork().code == 0
    case.reference = tree(case.out)
    case.clear()
    case.workers = 2
    return case


def first_workers(run: Run) -> list[int]:
    """Wait until both workers exist, not just the fork server, and return their process ids."""
    until = time.monotonic() + 30
    while len(found := [pid for pid in workers_of(run.pid) if is_forked(pid)]) < 2:
        assert run.process.poll() is None, "the run ended without workers"
        assert time.monotonic() < until, "the run starts no workers"
        time.sleep(0.005)
    return found


def is_forked(pid: int) -> bool:
    """Tell whether a process was forked by the fork server, which leads their process group."""
    try:
        return os.getpgid(pid) != pid
    except ProcessLookupError:
        return False


def kill(pid: int) -> bool:
    """Kill a process; return whether it was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_one_worker_is_killed(long: Case) -> None:
    """A new worker does its block again, and the dataset is the same."""
    choose = random.Random(8)
    for _ in range(many(3, 20)):
        with reaped(long.start()) as run:
            workers = first_workers(run)
            time.sleep(choose.uniform(0, 0.6))
            killed = kill(workers[0])
            ran = run.ended()
        assert ran.code == 0, ran
        count("faults", int(killed))
        count("kills", int(killed))
        long.assert_complete()
        long.clear()


def test_every_worker_is_killed(long: Case) -> None:
    """However early they die, the run ends, and its message says how they died."""
    with reaped(long.start()) as run:
        first_workers(run)
        while run.process.poll() is None:
            for pid in workers_of(run.pid):
                kill(pid)
        ran = run.ended()
    assert ran.code == 70, ran
    assert DEATH_NOTE.search(ran.err), ran.err
    long.settle(ran)


def test_killed_in_the_middle_of_an_answer(long: Case) -> None:
    """Half a result in the pipe is not taken for a whole one."""
    long.options = ("--shard-size", "400KB")
    assert long.with_options(*long.options, workers=1).fork().code == 0
    long.reference = tree(long.out)
    long.clear()
    with reaped(long.start()) as run:
        first_workers(run)
        time.sleep(0.1)  # the workers have blocks by now
        os.kill(run.pid, signal.SIGSTOP)
        time.sleep(2)  # the workers fill the pipes, then wait
        killed = [kill(pid) for pid in workers_of(run.pid)]
        os.kill(run.pid, signal.SIGCONT)
        ran = run.ended()
    assert ran.code == 0, ran
    count("faults", sum(killed))
    count("kills", sum(killed))
    long.assert_complete()


def test_parent_is_killed(long: Case) -> None:
    """No worker outlives the parent, and no shared memory is left."""
    before = set(Path("/dev/shm").iterdir())
    choose = random.Random(7)
    killed = 0
    for _ in range(many(3, 20)):
        with reaped(long.start()) as run:
            first_workers(run)
            time.sleep(choose.uniform(0, 0.6))
            run.process.kill()
            ran = run.ended()
        assert ran.code in {0, -9}, ran
        killed += ran.code == -9
        long.settle(ran)
        long.clear()
    assert killed
    count("kills", killed)
    ours = [p for p in Path("/dev/shm").iterdir() if p not in before]
    assert not [p for p in ours if p.name.startswith(("psm_", "sem.mp", "sftprep"))]


# --- memory ---------------------------------------------------------------------------------------


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Create a control group with this memory limit in bytes; yield its file of process ids."""
    two = Path("/sys/fs/cgroup/cgroup.controllers")
    root = Path("/sys/fs/cgroup") if two.is_file() else Path("/sys/fs/cgroup/memory")
    group = root / f"sftprep-faults-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a memory control group: {error}")
    try:
        names = ("memory.max", "memory.limit_in_bytes")
        files = [group / name for name in names if (group / name).exists()]
        if not files:
            pytest.skip("the control groups here have no memory limit")
        files[0].write_text(str(limit))
        if (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
        yield group / "cgroup.procs"
    finally:
        until = time.monotonic() + 10
        while group.exists() and time.monotonic() < until:
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.05)


def confine(pid: int, group: Path) -> None:
    """Move a process into the control group."""
    try:
        group.write_text(str(pid))
    except ProcessLookupError:
        return


def run_confined(case: Case, group: Path, *, all_of_them: bool) -> tuple[Ran, set[int]]:
    """Run with too little memory for the first worker or for all; also return which those were."""
    seen: set[int] = set()
    with reaped(case.start()) as run:
        while run.process.poll() is None:
            for pid in workers_of(run.pid):
                if pid not in seen and (all_of_them or not seen):
                    seen.add(pid)
                    confine(pid, group)
            time.sleep(0.005)
        return run.ended(), seen


def test_one_worker_runs_out_of_memory(long: Case) -> None:
    """The kernel kills it, and a new worker does its block."""
    with memory_group(16 << 20) as group:
        ran, _ = run_confined(long, group, all_of_them=False)
    assert ran.code == 0, ran
    count("faults")
    long.assert_complete()


def test_every_worker_runs_out_of_memory(long: Case) -> None:
    """The message names memory as a likely reason."""
    with memory_group(16 << 20) as group:
        ran, seen = run_confined(long, group, all_of_them=True)
    assert len(seen) > 1
    assert ran.code == 70, ran
    assert DEATH_NOTE.search(ran.err), ran.err
    assert "memory" in ran.err
    long.settle(ran)
