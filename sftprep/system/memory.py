"""How much memory this process holds, and how it gives back what it has freed.

In     nothing.
Out    bytes.
Never  fails: where a system does not tell, its nearest figure stands in.
"""

import contextlib
import ctypes
import resource
import sys

PAGE = resource.getpagesize()
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES = 32 << 20  # the most that glibc takes for the second


def resident() -> int:
    """Bytes of memory that this process holds (where the system does not tell: its peak)."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - it is read for every block
            return int(file.read().split()[1]) * PAGE
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def keep_freed() -> None:
    """Keep what is freed for what comes next, where the C library would return it (glibc).

    Blocks are alike, and so are the arrays made of them: to get their pages anew from the system,
    which clears them, takes longer than most of what is done with them.
    """
    with contextlib.suppress(AttributeError, OSError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        allocator.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Return freed memory to the system, where the C library keeps it (glibc)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
