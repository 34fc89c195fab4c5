"""Exchange the names of two files or folders in one step, if the system can do that.

In     two paths on the same file system.
Out    True if they were exchanged.
Never  leaves one of the two names missing, not even for a moment.
"""

import ctypes
import os
from pathlib import Path

# linux/fcntl.h and linux/fs.h
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names atomically.

    Returns:
        False if the system or the file system cannot do this; then nothing is changed.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return bool(renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0)
