"""cpu_limit: only CPU time of the main thread counts, and what cannot be interrupted is killed."""

import contextlib
import resource
import signal
import subprocess
import sys
import threading
import time
import zlib

import pytest

from sftprep.system import cpu_limit
from sftprep.system.cpu_limit import CpuLimit, CpuLimitReached


def work(seconds: float) -> None:
    """Use this much CPU time in this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))


def test_code_that_takes_too_long_is_interrupted() -> None:
    """It is interrupted soon after its time is over, each time."""
    limit = CpuLimit(0.1)
    for _ in range(2):
        start = time.thread_time()
        with pytest.raises(CpuLimitReached), limit:
            work(60)
        assert 0.1 <= time.thread_time() - start < 1


def test_waiting_does_not_count() -> None:
    """A process that does not get the CPU has as much time as on an idle machine."""
    with CpuLimit(0.1):
        time.sleep(0.3)
        work(0.02)


def test_other_threads_do_not_count() -> None:
    """The signal comes when the process has used the time; then the thread's own time decides."""
    stop = threading.Event()

    def busy() -> None:
        data = bytearray(1 << 20)
        while not stop.is_set():
            zlib.compress(data)  # without Python's lock

    other = threading.Thread(target=busy)
    other.start()
    try:
        with CpuLimit(0.2):
            time.sleep(0.4)  # the other thread uses more than the limit
            work(0.05)
        with pytest.raises(CpuLimitReached), CpuLimit(0.2):
            work(60)
    finally:
        stop.set()
        other.join()


def test_the_parts_of_an_allotment_share_its_time() -> None:
    """What is used in one block, and between blocks, is gone for the next."""
    limit = CpuLimit(0.2)
    with limit.ticking():
        limit.begin(0.4)
        for _ in range(2):
            with limit:
                work(0.1)
        work(0.1)
        with pytest.raises(CpuLimitReached), limit:
            work(60)
        with pytest.raises(CpuLimitReached), limit:
            pytest.fail("an allotment that is used up cannot be entered")
        limit.begin(0.4)
        with limit:
            work(0.2)
        work(0.5)  # outside the blocks, nothing is interrupted
    for _ in range(2):
        with limit:
            work(0.2)  # each block is an allotment of its own again


def test_short_allotments_are_never_interrupted() -> None:
    """Many of them take more time than one may take."""
    limit = CpuLimit(0.1)
    with limit.ticking():
        for _ in range(100):
            limit.begin(0.1)
            with limit:
                work(0.005)


def test_the_signal_comes_again_if_it_was_swallowed() -> None:
    """Code that goes on after the first exception is interrupted once more."""
    start = time.thread_time()

    def swallow() -> None:
        with contextlib.suppress(CpuLimitReached):
            work(60)
        work(60)

    limit = CpuLimit(0.1)
    with limit.ticking():
        limit.begin(0.1)
        with pytest.raises(CpuLimitReached), limit:
            swallow()
    assert time.thread_time() - start < 5


@pytest.mark.parametrize("ticking", [False, True])
def test_nothing_is_left_behind_wherever_the_exception_arrives(
    monkeypatch: pytest.MonkeyPatch, ticking: bool
) -> None:
    """Even if it arrives when the block is being left, nothing is interrupted afterwards."""
    limit = CpuLimit(0.05)

    def late(*_: object) -> None:
        work(60)

    monkeypatch.setattr(CpuLimit, "__exit__", late)  # interrupted before it has done anything
    with limit.ticking() if ticking else contextlib.nullcontext():
        limit.begin(0.05)
        with pytest.raises(CpuLimitReached), limit:
            pass
        limit.begin(0.05)
    work(0.3)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_nothing_interrupts_other_threads() -> None:
    """Signals arrive in the main thread only, so elsewhere there is no limit."""
    ended: list[bool] = []

    def run() -> None:
        with CpuLimit(0.01):
            work(0.1)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [True]


STUCK = """
import sys
from sftprep.system import cpu_limit
cpu_limit.SECONDS_BEFORE_KILL = 0
limit = cpu_limit.CpuLimit(0.2)
limit.kill_if_stuck()
with limit:
    if sys.argv[1] == "stuck":
        sum(range(10**12))  # one call into C code
sum(range(150_000_000))  # of several seconds
"""


@pytest.mark.parametrize(
    ("how", "code"),
    [("stuck", -signal.SIGXCPU), pytest.param("ended", 0, marks=pytest.mark.faults)],
)
def test_the_kernel_ends_a_process_that_cannot_be_interrupted(how: str, code: int) -> None:
    """In a ``with`` block the process itself is limited; the signal says why it ended."""
    done = subprocess.run([sys.executable, "-c", STUCK, how], check=False)
    assert done.returncode == code


def test_a_lower_limit_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ulimit -t`` is never raised, and it is there again afterwards."""
    limits = {resource.RLIMIT_CPU: (100, 100), resource.RLIMIT_CORE: (0, 0)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    monkeypatch.setattr(cpu_limit, "process_time", lambda: 10.0)
    for seconds, soft in ((1000, 100), (1, 14)):
        limit = CpuLimit(seconds)
        limit.kill_if_stuck()
        with limit:
            assert limits[resource.RLIMIT_CPU] == (soft, 100)
        assert limits[resource.RLIMIT_CPU] == (100, 100)
