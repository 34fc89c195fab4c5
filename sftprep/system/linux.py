"""Relations between parent and child processes that only Linux offers (``prctl``).

Out    True if the kernel granted the request; False on every other system.
Keeps  the subreaper setting that the process had before: the last ``release`` restores it.
Never  raises an error.
"""

import ctypes
import os
import signal
import sys
import threading

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 1, 36, 37


def die_with_parent() -> bool:
    """Ask the kernel to kill this process when its parent ends."""
    return _prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def is_orphan(parent: int) -> bool:
    """Return True if the parent, given by its process id, has ended."""
    return os.getppid() != parent


class Subreaper:
    """Makes this process a child subreaper, for as long as a caller needs that.

    A descendant whose own parent has ended becomes a child of its nearest ancestor that is a
    subreaper, which can then wait for it. The setting belongs to the whole process, so this class
    counts how many callers need it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = ctypes.c_int()  # the setting before the first ``acquire``

    def acquire(self) -> bool:
        """Become a subreaper; return False if that is not possible."""
        with self._lock:
            if not self._users and not _prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(self._before)):
                return False
            if not _prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1)):
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Undo one successful ``acquire``; the last ``release`` restores the setting."""
        with self._lock:
            self._users -= 1
            if not self._users:
                _prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(self._before.value))


subreaper = Subreaper()
"""The ``Subreaper`` of this process."""


def _prctl(option: int, value: object) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, *map(ctypes.c_ulong, (0, 0, 0))) == 0)
    except (OSError, AttributeError):
        return False
