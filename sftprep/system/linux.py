"""What Linux does for processes that belong together; elsewhere nothing is done, and said so.

In     nothing.
Out    whether it was done.
Never  raises. What an adoption changes for the whole process is as it was before when the last of
       those who asked for it needs it no more.
"""

import ctypes
import os
import signal
import sys
import threading

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 1, 36, 37


def die_with_parent() -> bool:
    """From now on this process ends when its parent does."""
    return _prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def is_orphan(parent: int) -> bool:
    """Whether the parent has ended already."""
    return os.getppid() != parent


class Adoption:
    """Being the parent of all our descendants whose own parent has ended, for those who ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0  # by how many
        self._before = ctypes.c_int()  # how it was before the first of them

    def begin(self) -> bool:
        """Begin; False where that is not possible."""
        with self._lock:
            if not self._wanted and not _prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(self._before)):
                return False
            if not _prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1)):
                return False
            self._wanted += 1
            return True

    def end(self) -> None:
        """One of those that began needs it no more."""
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                _prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(self._before.value))


adoption = Adoption()
"""Of this process."""


def _prctl(option: int, value: object) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, *map(ctypes.c_ulong, (0, 0, 0))) == 0)
    except (OSError, AttributeError):
        return False
