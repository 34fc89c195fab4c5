"""Limit the CPU time of code that may never finish.

In     a number of seconds; the code runs in ``with`` blocks, one or several for each allotment.
Out    ``CpuLimitReached``, raised in the ``with`` block soon after the seconds are used up.
Keeps  to the CPU time of the main thread: time that the process waits, or that other threads and
       other processes take, does not count. So the same work is accepted on a busy machine too.
Never  interrupts code outside the ``with`` blocks: a caller that has received the exception begins
       the next allotment, or leaves ``ticking``, before it does anything else. There is no limit in
       threads other than the main one, because only that one receives signals.

A timer that runs with the CPU time of the process ticks a few times in the seconds of a limit, and
its signal handler looks how long the allotment has lasted. So no system call is needed to begin an
allotment, or to enter a ``with`` block.

Signals interrupt Python code only. ``CpuLimit.kill_if_stuck`` makes the kernel end the process with
the signal ``SIGXCPU`` if a single call into C code, such as a product of huge numbers, takes too
long.
"""

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, inf
from time import process_time, thread_time
from types import FrameType

TICKS = 20
"""How often the timer ticks in the seconds that the limit was made with."""
TIMES_BEFORE_KILL, SECONDS_BEFORE_KILL = 2, 2
"""The kernel ends the process after this many times the seconds of the limit, plus some more."""


class CpuLimitReached(BaseException):
    """The code took too long. It is not an ``Exception``, so the code does not catch it."""


class CpuLimit:
    """A limit for code that runs in ``with`` blocks.

    Outside ``ticking``, each ``with`` block is an allotment of its own.

    Args:
        seconds: the CPU time of each allotment, unless ``begin`` says otherwise.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._interval = seconds / TICKS
        self._kills = False
        self._is_ticking = False
        self._is_inside = False  # a ``with`` block
        self._is_alone = False  # whether that block has started the timer
        self._is_used_up = False  # the allotment
        self._allotment = 0  # its number
        self._seen = -1  # the number of the allotment at the last tick
        self._since = 0.0  # when that allotment was seen first, as CPU time of the thread

    def kill_if_stuck(self) -> None:
        """Let the kernel end this process if it cannot be interrupted; leave no core file."""
        self._kills = True
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Let the timer run in this context, in which ``begin`` begins allotments."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._start()
        try:
            yield
        finally:
            self._stop()

    def begin(self, seconds: float) -> None:
        """Begin an allotment: the time from now on, in ``with`` blocks and between them, counts.

        Args:
            seconds: the CPU time that all ``with`` blocks up to the next allotment may take.
        """
        self.seconds = seconds
        self._allotment += 1
        self._is_inside = self._is_used_up = False

    def __enter__(self) -> None:
        if self._is_ticking:
            if self._is_used_up:
                raise CpuLimitReached
        elif threading.current_thread() is threading.main_thread():
            self._is_used_up = False
            self._seen, self._since = self._allotment, thread_time()
            self._start()
            self._is_alone = True
        self._is_inside = True

    def __exit__(self, *_exception: object) -> None:
        self._is_inside = False
        if self._is_alone:
            self._stop()

    def _start(self) -> None:
        global _current  # noqa: PLW0603 - a process has one timer of this kind
        _current = self
        self._is_ticking = True
        if signal.getsignal(signal.SIGPROF) is not _tick:
            signal.signal(signal.SIGPROF, _tick)
        self._limit_process()
        signal.setitimer(signal.ITIMER_PROF, self._interval, self._interval)

    def _stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._is_ticking = self._is_alone = self._is_inside = self._is_used_up = False
        if self._kills:
            _limit_process(inf)

    def tick(self) -> None:
        """Raise ``CpuLimitReached`` if the code in the ``with`` block must end."""
        if not self._is_ticking:
            return  # the signal was on its way when the timer stopped
        now = thread_time()
        self._limit_process()
        if self._seen != self._allotment:
            self._seen, self._since = self._allotment, now
        elif now - self._since >= self.seconds:
            self._is_used_up = True
            is_inside = self._is_inside
            if self._is_alone:
                # The exception may arrive in ``__exit__``, before that has done anything.
                self._stop()
            if is_inside:
                raise CpuLimitReached

    def _limit_process(self) -> None:
        if self._kills:
            longest = TIMES_BEFORE_KILL * self.seconds + SECONDS_BEFORE_KILL
            _limit_process(process_time() + longest)


_current: CpuLimit | None = None
"""The limit whose timer runs."""


def _tick(_signal: int, _frame: FrameType | None) -> None:
    if _current is not None:
        _current.tick()


def _limit_process(seconds: float) -> None:
    """Let the kernel end this process when it has used this many seconds of CPU time in all."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = resource.RLIM_INFINITY if seconds == inf else ceil(seconds)
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
