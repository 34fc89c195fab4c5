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


def resident() -> int:
    """Bytes of memory that this process holds (where the system does not tell: its peak)."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - it is read for every block
            return int(file.read().split()[1]) * PAGE
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def give_back() -> None:
    """Return freed memory to the system, where the C library keeps it (glibc)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
