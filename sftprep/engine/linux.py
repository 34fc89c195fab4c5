"""What Linux does for processes that belong together; elsewhere nothing is done, and said so.

In     nothing.
Out    whether it was done.
Never  raises.
"""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def die_with_parent() -> bool:
    """From now on this process ends when its parent does."""
    return _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt(*, on: bool) -> bool:
    """Whether this process becomes the parent of its descendants whose own parent has ended."""
    return _prctl(PR_SET_CHILD_SUBREAPER, int(on))


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
