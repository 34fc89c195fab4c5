"""cores: how many cores a process may use, in a container too."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sftprep.system.cores import usable_cores

Write = Callable[[str, str], Path]
Cores = Callable[[], int]


@pytest.fixture
def cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cores:
    """The function, on a system of 8 cores; the test writes the files of its control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return partial(
        usable_cores, cgroup_root=str(tmp_path / "groups"), own_cgroups=str(tmp_path / "own")
    )


def test_without_control_groups_affinity_decides(
    cores: Cores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system does not know affinity, the number of cores counts; it is at least one."""
    assert cores() == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_this_machine_has_a_core() -> None:
    """By default, the files of the kernel are read."""
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("", 8),
        ("100000 0", 8),
        ("one two", 8),
    ],
)
def test_the_quota_of_a_container_is_rounded_up(
    cores: Cores, write: Write, limit: str, expected: int
) -> None:
    """Control groups of version 2 give a time per period."""
    write("own", "0::/\n")
    write("groups/cpu.max", f"{limit}\n")
    assert cores() == expected


def test_the_least_quota_of_all_groups_above_counts(cores: Cores, write: Write) -> None:
    """A group has no more cores than any group above it."""
    write("own", "0::/user/build/job\n")
    write("groups/user/build/job/cpu.max", "max 100000\n")
    write("groups/user/build/cpu.max", "300000 100000\n")
    write("groups/user/cpu.max", "700000 100000\n")
    assert cores() == 3


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("-1", "100000", 8), ("400000", "100000", 4), ("400000", "0", 8), ("400000", None, 8)],
)
@pytest.mark.parametrize("path", ["/", "/host/only/this"])
def test_groups_of_version_1_have_quotas_too(
    cores: Cores, write: Write, quota: str, period: str | None, expected: int, path: str
) -> None:
    """Several controllers may share a folder, and the listed path may exist only on the host."""
    write("own", f"9:name=systemd:{path}\n4:memory:{path}\n3:cpu,cpuacct:{path}\n0::/\n")
    write("groups/cpu,cpuacct/cpu.cfs_quota_us", f"{quota}\n")
    if period is not None:
        write("groups/cpu,cpuacct/cpu.cfs_period_us", f"{period}\n")
    assert cores() == expected


@pytest.mark.parametrize("own", ["", "nonsense\n", "3:memory:/\n"])
def test_a_list_of_groups_that_cannot_be_read_is_ignored(
    cores: Cores, write: Write, own: str
) -> None:
    """Any content of the file is accepted, and affinity decides."""
    write("own", own)
    write("groups/cpu.max", "100000 100000\n")
    assert cores() == 8
