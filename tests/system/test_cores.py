"""cores: what a process may use, in containers too."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sftprep.system import cores
from sftprep.system.cores import usable_cores

Write = Callable[[str, str], Path]


@pytest.fixture
def system(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A system of 8 cores; what is written is below its control groups, and ``own`` names ours."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "GROUPS", str(tmp_path / "groups"))
    monkeypatch.setattr(cores, "OWN_GROUPS", str(tmp_path / "own"))
    return write


def test_all_that_it_may_run_on(system: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no control group is to be seen, affinity decides; without that the machine."""
    assert usable_cores() == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


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
def test_a_container(system: Write, limit: str, expected: int) -> None:
    """The time that control groups of version 2 allow, rounded up."""
    system("own", "0::/\n")
    system("groups/cpu.max", f"{limit}\n")
    assert usable_cores() == expected


def test_the_least_of_all_groups_above(system: Write) -> None:
    """A group has no more than those that it is in."""
    system("own", "0::/user/build/job\n")
    system("groups/user/build/job/cpu.max", "max 100000\n")
    system("groups/user/build/cpu.max", "300000 100000\n")
    system("groups/user/cpu.max", "700000 100000\n")
    assert usable_cores() == 3


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("-1", "100000", 8), ("400000", "100000", 4), ("400000", "0", 8), ("400000", None, 8)],
)
@pytest.mark.parametrize("path", ["/", "/host/only/this"])
def test_groups_of_version_1(
    system: Write, quota: str, period: str | None, expected: int, path: str
) -> None:
    """The older files; their controllers may share a folder, and the path may be the host's."""
    system("own", f"9:name=systemd:{path}\n4:memory:{path}\n3:cpu,cpuacct:{path}\n0::/\n")
    system("groups/cpu,cpuacct/cpu.cfs_quota_us", f"{quota}\n")
    if period is not None:
        system("groups/cpu,cpuacct/cpu.cfs_period_us", f"{period}\n")
    assert usable_cores() == expected


@pytest.mark.parametrize("own", ["", "nonsense\n", "3:memory:/\n"])
def test_what_cannot_be_read_limits_nothing(system: Write, own: str) -> None:
    """The file may hold anything."""
    system("own", own)
    system("groups/cpu.max", "100000 100000\n")
    assert usable_cores() == 8
