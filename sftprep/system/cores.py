"""How many cores this process may use.

In     nothing.
Out    a number, at least 1.
Keeps  to what a container is given: a machine's other cores are there to be seen, and a worker for
       each of them would only take memory and wait.
Never  fails: what cannot be read limits nothing.

Control groups are described in the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.max``)
and Documentation/scheduler/sched-bwc.rst (``cpu.cfs_quota_us``, ``cpu.cfs_period_us``).
"""

import contextlib
import math
import os
from collections.abc import Iterator

GROUPS = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"


def usable_cores() -> int:
    """The cores that this process may run on, or fewer where its share of time is less."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _limits())]))


def _limits() -> Iterator[float]:
    """The cores' worth of time that each control group allows of those that we are in."""
    for folder in _folders():
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = _read(f"{folder}/cpu.max").split()
            yield int(quota) / int(period)  # "max" is no number
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            limit = int(_read(f"{folder}/cpu.cfs_quota_us"))
            if limit > 0:  # -1 is none
                yield limit / int(_read(f"{folder}/cpu.cfs_period_us"))


def _folders() -> Iterator[str]:
    """The folders of our control groups and of all above them.

    In a container the file often names what only its host sees; then just the top is there.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in _read(OWN_GROUPS).splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = f"{GROUPS}/{controllers}" if controllers else GROUPS
            while path.strip("/"):
                yield f"{top}{path}"
                path = path.rpartition("/")[0]
            yield top


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - nothing else needs pathlib so early
        return file.read()
