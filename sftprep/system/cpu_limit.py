"""Limit the CPU time of code that may never finish.

In     a number of seconds; the code runs in ``with`` blocks, one or several for each allotment.
Out    ``CpuLimitReached``, raised in the ``with`` block when the seconds are used up.
Keeps  to the CPU time of the main thread: time that the process waits, or that other threads and
       other processes take, does not count. So the same work is accepted on a busy machine too.
Never  interrupts code outside the ``with`` blocks. There is no limit in threads other than the main
       one, because only that one receives signals.

Signals interrupt Python code only. ``CpuLimit.kill_if_stuck`` makes the kernel end the process with
the signal ``SIGXCPU`` if a single call into C code, such as a product of huge numbers, takes too
long.
"""

import resource
import signal
import threading
from math import ceil, inf
from time import process_time, thread_time
from types import FrameType

AGAIN_SECONDS = 1.0
"""How soon the signal comes again, in case the code has swallowed the exception."""
TIMES_BEFORE_KILL, SECONDS_BEFORE_KILL = 2, 2
"""The kernel ends the process after this many times the seconds of the limit, plus some more."""


class CpuLimitReached(BaseException):
    """The code took too long. It is not an ``Exception``, so the code does not catch it."""


class CpuLimit:
    """A limit for code that runs in ``with`` blocks.

    This is a class, not a generator-based context, because every rendering enters it.

    Args:
        seconds: the CPU time of each ``with`` block, unless ``begin`` has given another allotment.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until: float | None = None  # the end of the allotment, as CPU time of the thread
        self._kills = False

    def kill_if_stuck(self) -> None:
        """Let the kernel end this process if it cannot be interrupted; leave no core file."""
        self._kills = True
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    def begin(self, seconds: float) -> None:
        """Begin an allotment: the time from now on, in ``with`` blocks and between them, counts.

        Args:
            seconds: the CPU time that all ``with`` blocks up to ``end`` may take together.
        """
        self.seconds = seconds
        self._until = thread_time() + seconds
        if self._kills:
            longest = TIMES_BEFORE_KILL * seconds + SECONDS_BEFORE_KILL
            _limit_process(process_time() + longest)

    def end(self) -> None:
        """End the allotment."""
        self._until = None
        if self._kills:
            _limit_process(inf)

    def __enter__(self) -> None:
        global _current_end  # noqa: PLW0603 - a process has one timer of this kind
        if threading.current_thread() is not threading.main_thread():
            return
        now = thread_time()
        _current_end = now + self.seconds if self._until is None else self._until
        if _current_end <= now:
            raise CpuLimitReached
        if signal.getsignal(signal.SIGPROF) is not _stop_if_late:
            signal.signal(signal.SIGPROF, _stop_if_late)
        signal.setitimer(signal.ITIMER_PROF, _current_end - now, AGAIN_SECONDS)

    def __exit__(self, *_exception: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_PROF, 0)


_current_end = inf
"""When the code in the ``with`` block must have ended, as CPU time of the main thread."""


def _stop_if_late(_signal: int, _frame: FrameType | None) -> None:
    """Raise if the thread has used its time; otherwise other threads have, so wait longer."""
    left = _current_end - thread_time()
    if left <= 0:
        raise CpuLimitReached
    signal.setitimer(signal.ITIMER_PROF, max(left, 0.001), AGAIN_SECONDS)


def _limit_process(seconds: float) -> None:
    """Let the kernel end this process when it has used this many seconds of CPU time in all."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = resource.RLIM_INFINITY if seconds == inf else ceil(seconds)
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
