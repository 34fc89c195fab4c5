"""Measure the memory of this process, and control what the C library does with freed memory.

Never  raises an error. If the system does not report the current size, ``resident`` returns the
       peak instead. If the C library is not glibc, the other functions do nothing.
"""

import contextlib
import ctypes
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

STATM = "/proc/self/statm"
PAGE_BYTES = resource.getpagesize()
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
KEPT_BYTES = 32 << 20  # the largest value that glibc accepts for M_MMAP_THRESHOLD
SHARED_BYTES = 128 << 20
"""How much freed memory is kept for threads that write: the arrays of a group of rows for each."""


def resident(statm: str = STATM) -> int:
    """Return how many bytes of memory this process holds now.

    Args:
        statm: the file in which Linux reports the size. If it cannot be read, the result is the
            largest size that the process has had so far.
    """
    try:
        with open(statm, "rb") as file:  # noqa: PTH123 - called for every block; pathlib is slower
            return int(file.read().split()[1]) * PAGE_BYTES
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def limited(spare: int, statm: str = STATM) -> Iterator[None]:
    """Let this process take only ``spare`` more bytes of memory in the ``with`` block.

    Beyond that, Python raises ``MemoryError``. There is no limit where the system does not report
    how much the process has.

    Args:
        spare: the number of bytes.
        statm: the file in which Linux reports the size.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        size = int(Path(statm).read_bytes().split()[0]) * PAGE_BYTES
    except OSError:
        yield
        return
    soft, hard = before
    most = min(limit for limit in (size + spare, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def keep_freed() -> None:
    """Tell glibc to reuse freed memory instead of returning it to the system.

    Blocks are of similar size, and so are the arrays made from them, so freed memory fits the next
    block. Fresh pages from the system must be cleared first, which takes longer than most of the
    work on a block.
    """
    with contextlib.suppress(AttributeError, OSError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        allocator.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def share_freed() -> None:
    """Tell glibc to keep more freed memory, in one heap for all threads that start from now on.

    By default, threads have heaps of their own, which are too small for large arrays and are
    returned to the system as soon as they are empty.
    """
    with contextlib.suppress(AttributeError, OSError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        allocator.mallopt(M_TRIM_THRESHOLD, SHARED_BYTES)
        allocator.mallopt(M_ARENA_MAX, 1)


def give_back() -> None:
    """Tell glibc to return all freed memory to the system now."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
