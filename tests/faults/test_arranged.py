"""Faults while a dataset is arranged, by ``prepare`` or by ``export``: planning and gathering."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import FULL, Case, Findings, World, many, spread, tree
from faults.places import mounted, remount
from faults.processes import reaped
from faults.tracing import needs_strace, struck, sweep, traced

pytestmark = pytest.mark.faults
OPTIONS = (
    "--dedup", "exact", "--sample", "300", "--repeat", "in.jsonl=1.5", "--shuffle", "--pack",
    "--pack-length", "2048",
)  # fmt: skip
COMMANDS = ("prepare", "export")
PARTS = range(8) if FULL else range(2)


@dataclass
class ArrangedCase(Case):
    """A run that arranges its rows. With a dataset, an export of it."""

    dataset: Path | None = None

    def argv(self, *more: str) -> list[str]:
        """Return the arguments of ``sftprep``."""
        if self.dataset is None:
            return [*super().argv(), *OPTIONS, *more]
        out = ["--output", str(self.out), "--workers", str(self.workers)]
        return ["export", str(self.dataset), *out, *OPTIONS, *more]


NewCase = Callable[[Path], ArrangedCase]


@pytest.fixture(params=COMMANDS)
def new_case(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> NewCase:
    """A function that returns a case in a folder, with the bytes of an undisturbed run."""
    dataset = world.folder / "out" if request.param == "export" else None
    first = ArrangedCase(world, tmp_path / "first", workers=2, dataset=dataset)
    first.folder.mkdir()
    ran = first.run()
    assert ran.code == 0, ran.err
    reference = tree(first.out)
    assert len([name for name in reference if name.startswith("data/")]) >= 3

    def case(folder: Path) -> ArrangedCase:
        folder.mkdir(exist_ok=True)
        return ArrangedCase(world, folder, workers=2, dataset=dataset, reference=dict(reference))

    return case


@pytest.mark.parametrize("part", PARTS)
def test_killed_at_random(new_case: NewCase, tmp_path: Path, part: int) -> None:
    """After ``kill -9`` at any time no incomplete dataset appears, and a run can be resumed."""
    case = new_case(tmp_path / "case")
    typical = case.fork().seconds
    case.clear()
    choose, survived = random.Random(part), 0
    for _ in range(many(8, 100) // len(PARTS)):
        pid = case.world.forks.start(case.argv(), case.folder)
        time.sleep(choose.uniform(0, 1.1 * typical))
        os.kill(pid, signal.SIGKILL)
        ran = case.world.forks.ended(pid, case.folder)
        assert ran.code in {0, -9}
        survived += ran.code == -9
        case.settle(ran)
        case.clear()
    assert survived
    count("kills", survived)


@needs_strace
@pytest.mark.parametrize("part", PARTS)
def test_killed_at_every_call(new_case: NewCase, tmp_path: Path, part: int) -> None:
    """``kill -9`` strikes at each system call that touches the output, in both halves."""
    case = new_case(tmp_path / "case")
    found, findings = sweep(case), Findings()
    case.clear()
    survived = 0
    for point in spread(found.points, 16)[part :: len(PARTS)]:
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, "signal=KILL"))
            assert ran.code == (-9 if struck(lines) else 0), ran
            case.settle(ran)
            survived += ran.code == -9
        case.clear()
    findings.assert_none()
    assert survived


@needs_strace
def test_a_write_fails(new_case: NewCase, tmp_path: Path) -> None:
    """The disk is full at some call: the run ends with a message, and can be resumed."""
    case = new_case(tmp_path / "case")
    found, findings = sweep(case), Findings()
    case.clear()
    points = [point for point in found.points if point[0] in ("write", "fsync", "pwrite64")]
    failed = 0
    for point in spread(points, 8):
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, "error=ENOSPC"))
            if struck(lines) and ran.code:
                assert ran.code in {73, 74}, ran
                failed += 1
            case.settle(ran)
        case.clear()
    findings.assert_none()
    assert failed


@pytest.mark.parametrize("kib", range(32, 2048, 64) if FULL else (64, 300, 700, 1100))
def test_small_disk(new_case: NewCase, tmp_path: Path, kib: int) -> None:
    """The disk is too small for the staged rows, or for the shards; with more space it works."""
    with mounted(tmp_path / "disk", f"size={kib}k") as disk:
        case = new_case(disk)
        pid = case.world.forks.start(case.argv(), tmp_path)
        ran = case.world.forks.ended(pid, tmp_path)
        if ran.code:
            assert ran.code == 74, ran
            assert "Free disk space" in ran.err
        remount(disk, "size=64m")
        case.settle(ran)


def test_two_writers(new_case: NewCase, tmp_path: Path) -> None:
    """Of two runs that arrange the same dataset at the same time, one wins; the other says so."""
    case = new_case(tmp_path / "case")
    codes = set()
    for _ in range(many(3, 20)):
        with reaped(case.start()) as one, reaped(case.start()) as other:
            ended = one.ended(), other.ended()
        codes |= {ran.code for ran in ended}
        assert any(ran.code == 0 for ran in ended), ended
        case.assert_complete()
        case.clear()
    assert codes <= {0, 75}


def test_any_number_of_workers(new_case: NewCase, tmp_path: Path) -> None:
    """The bytes are the same for one worker and for many."""
    for workers in (1, 5):
        case = replace(new_case(tmp_path / f"{workers}"), workers=workers)
        assert case.fork().code == 0
        case.assert_complete()
