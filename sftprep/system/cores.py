"""Find out how many cores this process may use.

Out    a number of cores, at least 1.
Keeps  within the CPU limits of a container. A process in it sees all cores of the machine, but with
       a worker for each of them, most workers would only take memory and wait for their turn.
Never  raises an error: a limit that cannot be read is ignored.

The kernel describes control groups in Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
Documentation/scheduler/sched-bwc.rst (``cpu.cfs_quota_us``, ``cpu.cfs_period_us``).
"""

import contextlib
import math
import os
from collections.abc import Iterator

CGROUP_ROOT = "/sys/fs/cgroup"
OWN_CGROUPS = "/proc/self/cgroup"


def usable_cores(*, cgroup_root: str = CGROUP_ROOT, own_cgroups: str = OWN_CGROUPS) -> int:
    """Return the number of cores that affinity and CPU quotas leave to this process.

    Args:
        cgroup_root: the folder in which the control groups are mounted.
        own_cgroups: the file that lists the control groups of this process.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas(cgroup_root, own_cgroups))]))


def _quotas(cgroup_root: str, own_cgroups: str) -> Iterator[float]:
    """Yield each CPU quota that applies to this process, in cores."""
    for folder in _cgroup_folders(cgroup_root, own_cgroups):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = _read(f"{folder}/cpu.max").split()
            yield int(quota) / int(period)  # "max", which means no quota, is a ValueError
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            limit = int(_read(f"{folder}/cpu.cfs_quota_us"))
            if limit > 0:  # -1 means no quota
                yield limit / int(_read(f"{folder}/cpu.cfs_period_us"))


def _cgroup_folders(cgroup_root: str, own_cgroups: str) -> Iterator[str]:
    """Yield the folders of this process's control groups and of all groups above them.

    In a container, the listed path often exists only on the host. Then only the root is readable.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in _read(own_cgroups).splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = f"{cgroup_root}/{controllers}" if controllers else cgroup_root
            while path.strip("/"):
                yield f"{top}{path}"
                path = path.rpartition("/")[0]
            yield top


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - runs before pathlib is loaded
        return file.read()
