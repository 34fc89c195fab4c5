"""Runs that are ended from outside, at any time: after a resumed run the dataset is the same."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from faults.counts import count
from faults.harness import FULL, Case, Findings, assert_reported, many, spread, tree
from faults.processes import Ran, reaped
from faults.tracing import needs_strace, struck, sweep, traced

pytestmark = pytest.mark.faults
NewCase = Callable[[], Case]
PARTS = range(8) if FULL else range(2)  # the tries are divided, so that test processes share them
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
PROMPT = 5.0  # seconds within which a run must end


def assert_obeyed(case: Case, ran: Ran, number: signal.Signals) -> None:
    """Assert that the run ended as asked, with a message if it had begun to write.

    The signal itself may end it before the command begins and, with the dataset complete, while
    Python shuts down.
    """
    assert ran.code in {0, 128 + number, -number}, ran
    assert ran.seconds < PROMPT
    if ran.code == -number:
        assert not case.staging.exists(), ran
    if ran.code > 0:
        assert ran.err.count("\n") == 1, ran


def delays(case: Case, part: int) -> "Callable[[], float]":
    """Return a function that returns a random delay, up to the typical time of a run."""
    typical = case.fork().seconds
    case.clear()
    choose = random.Random(part)
    return lambda: choose.uniform(0, 1.1 * typical)


@pytest.mark.parametrize("part", PARTS)
def test_killed_at_random(new_case: NewCase, part: int) -> None:
    """After ``kill -9`` at any time no incomplete dataset appears, and a run can be resumed."""
    delay = delays(new_case(), part)
    survived = 0
    for _ in range(many(30, 200) // len(PARTS)):
        case = new_case()
        forks = case.world.forks
        pid = forks.start(case.argv(), case.folder)
        time.sleep(delay())
        os.kill(pid, signal.SIGKILL)
        ran = forks.ended(pid, case.folder)
        assert ran.code in {0, -9}
        survived += ran.code == -9
        case.settle(ran)
        case.clear()
    assert survived
    count("kills", survived)


@needs_strace
@pytest.mark.parametrize("part", PARTS)
def test_killed_at_every_call(new_case: NewCase, part: int) -> None:
    """``kill -9`` strikes at each system call that touches the output."""
    found, findings = sweep(new_case()), Findings()
    survived = 0
    for point in spread(found.points, 48)[part :: len(PARTS)]:
        case = new_case()
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, "signal=KILL"))
            assert ran.code == (-9 if struck(lines) else 0), ran
            case.settle(ran)
            survived += ran.code == -9
        case.clear()
    findings.assert_none()
    assert survived
    count("kills", survived)


@needs_strace
@pytest.mark.parametrize("part", PARTS)
def test_killed_while_replacing(new_case: NewCase, part: int) -> None:
    """With ``--overwrite`` there is a complete dataset at any time: the old or the new one."""
    older = new_case().with_options("--max-length", "50")
    assert older.fork().code == 0
    before = tree(older.out)
    found, findings = sweep(older.with_options("--overwrite")), Findings()
    survived = 0
    for point in spread(found.points, 20)[part :: len(PARTS)]:
        case = new_case().with_options("--max-length", "50")
        assert case.fork().code == 0
        case = case.with_options("--overwrite")
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, "signal=KILL"))
            assert ran.code == (-9 if struck(lines) else 0), ran
            assert tree(case.out) in (before, case.reference)
            case.settle(ran, before=before)
            survived += ran.code == -9
        case.clear()
    findings.assert_none()
    count("kills", survived)


@needs_strace
def test_killed_while_resuming(new_case: NewCase) -> None:
    """A resumed run may be killed too, and so may the run that resumes that one."""
    found = sweep(new_case())
    choose = random.Random(3)
    survived = 0
    for _ in range(many(4, 40)):
        case = new_case()
        for _ in range(4):
            point = choose.choice(found.points)
            ran, lines = traced(case, found.inject(case, point, "signal=KILL"), "--resume")
            assert ran.code == (-9 if struck(lines) else 0), (point, ran)
            survived += ran.code == -9
            count("faults")
        case.settle(ran)
        case.clear()
    assert survived
    count("kills", survived)


# --- signals that ask for an end ------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_asked_to_end(new_case: NewCase, number: signal.Signals) -> None:
    """After Ctrl-C, a shutdown or a closed terminal the run ends soon, and can be resumed."""
    delay = delays(new_case(), number)
    obeyed = 0
    for _ in range(many(6, 60)):
        case = new_case()
        forks = case.world.forks
        pid = forks.start(case.argv(), case.folder)
        time.sleep(0.02 + delay())
        os.kill(pid, number)
        ran = forks.ended(pid, case.folder)
        assert_obeyed(case, ran, number)
        obeyed += ran.code == SIGNALS[number]
        case.settle(ran)
        case.clear()
    assert obeyed


def test_asked_twice(new_case: NewCase) -> None:
    """A second Ctrl-C causes no traceback and loses nothing."""
    delay = delays(new_case(), 2)
    for _ in range(many(6, 60)):
        case = new_case()
        forks = case.world.forks
        pid = forks.start(case.argv(), case.folder)
        time.sleep(0.02 + delay())
        os.kill(pid, signal.SIGINT)
        time.sleep(0.002)
        os.kill(pid, signal.SIGINT)
        ran = forks.ended(pid, case.folder)
        assert_obeyed(case, ran, signal.SIGINT)
        case.settle(ran)
        case.clear()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_whole_group_is_asked(case: Case, number: signal.Signals) -> None:
    """A terminal signals all processes of a run, and only the parent prints a message."""
    case.workers = 2
    with reaped(case.start()) as run:
        wait_for_staging(case)
        time.sleep(0.3)
        os.killpg(run.pid, number)
        ran = run.ended()
    assert_obeyed(case, ran, number)
    case.settle(ran)


def test_stopped_and_continued(case: Case) -> None:
    """A run that was stopped for a while gives the same dataset."""
    case.workers = 2
    with reaped(case.start()) as run:
        wait_for_staging(case)
        os.killpg(run.pid, signal.SIGSTOP)
        time.sleep(1)
        os.killpg(run.pid, signal.SIGCONT)
        ran = run.ended()
    assert ran.code == 0, ran
    assert_reported(ran)
    count("faults")
    case.assert_complete()


def wait_for_staging(case: Case) -> None:
    """Wait until the run writes."""
    until = time.monotonic() + 30
    while not case.staging.exists() and not case.out.exists():
        assert time.monotonic() < until, "the run does not begin to write"
        time.sleep(0.002)
