"""Storage that fails: full, out of inodes or descriptors, broken. The run says so and can go on."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.harness import FULL, Case, Findings, World, assert_equal, assert_told, spread, tree
from faults.places import mounted, remount
from faults.processes import Ran
from faults.tracing import calls, needs_strace, struck, sweep, traced

pytestmark = pytest.mark.faults
NewCase = Callable[[], Case]
PARTS = range(8) if FULL else range(2)  # a sweep in parts, so that processes share it
STORAGE = {73, 74}  # the output cannot be made; reading or writing failed


def assert_storage_error(ran: Ran, place: Path, cure: str) -> None:
    """The message names the place, the system's reason and a cure."""
    assert ran.code == 74, ran
    assert_told(ran)
    assert str(place) in ran.err, ran.err
    assert cure in ran.err, ran.err


def finished(case: Case, ran: Ran) -> bool:
    """Whether all was done in spite of the fault: then all of it."""
    if ran.code == 0:
        assert_equal(tree(case.out), case.reference)
    return ran.code == 0


# --- full ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kib", range(32, 1024, 32) if FULL else range(32, 700, 128))
def test_small_disk(world: World, tmp_path: Path, kib: int) -> None:
    """A disk of any size that is too small; once there is space, the run goes on."""
    with mounted(tmp_path / "disk", f"size={kib}k") as disk:
        case = Case(world, disk)
        pid = world.forks.start(case.argv(), tmp_path)
        ran = world.forks.ended(pid, tmp_path)
        if not finished(case, ran):
            assert_storage_error(ran, disk, "No space left on device")
            assert "free space" in ran.err
        remount(disk, "size=64m")
        case.settle(ran)


@pytest.mark.parametrize("inodes", range(2, 30) if FULL else range(3, 24, 5))
def test_few_inodes(world: World, tmp_path: Path, inodes: int) -> None:
    """A file system with room for so many files only."""
    with mounted(tmp_path / "disk", f"size=64m,nr_inodes={inodes}") as disk:
        case = Case(world, disk)
        pid = world.forks.start(case.argv(), tmp_path)
        ran = world.forks.ended(pid, tmp_path)
        if not finished(case, ran):
            assert ran.code in STORAGE
            assert "No space left on device" in ran.err
            assert str(disk) in ran.err
        remount(disk, "nr_inodes=1000")
        case.settle(ran)


def test_full_while_replacing(world: World, tmp_path: Path) -> None:
    """A dataset that was to be replaced is still there, whole."""
    with mounted(tmp_path / "disk", "size=64m") as disk:
        case = Case(world, disk)
        assert case.with_options("--max-length", "50").fork().code == 0
        before = tree(case.out)
        assert before != world.reference
        used = subprocess.run(
            ["du", "-sk", str(disk)], capture_output=True, text=True, check=True
        ).stdout.split()[0]  # fmt: skip
        remount(disk, f"size={int(used) + 200}k")
        case = case.with_options("--overwrite")
        pid = world.forks.start(case.argv(), tmp_path)
        ran = world.forks.ended(pid, tmp_path)
        assert_storage_error(ran, disk, "No space left on device")
        assert_equal(tree(case.out), before)
        remount(disk, "size=64m")
        case.settle(ran, before=before)


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", range(3, 25) if FULL else (6, 9, 12))
def test_few_descriptors(case: Case, files: int) -> None:
    """A low ``ulimit -n``."""
    ran = case.fork(limits={"RLIMIT_NOFILE": files})
    if not finished(case, ran):
        assert ran.code in {2, 66, 73, 74}, ran
    case.settle(ran)


@pytest.mark.parametrize("size", [1_000, 5_000, 30_000, 200_000])
def test_small_files_only(case: Case, size: int) -> None:
    """A low ``ulimit -f``: the signal that comes with it does not end the run without a word."""
    ran = case.fork(limits={"RLIMIT_FSIZE": size})
    assert_storage_error(ran, case.folder, "File too large")
    case.settle(ran)


# --- broken -------------------------------------------------------------------------------------


@needs_strace
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_call_fails(new_case: NewCase, error: str, part: int) -> None:
    """Any one call on the output fails: exit 74, or all is there."""
    found, findings = sweep(new_case()), Findings()
    for point in spread(found.points, 48)[part :: len(PARTS)]:
        case = new_case()
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, f"error={error}"))
            if not struck(lines):
                continue
            if not finished(case, ran):
                assert ran.code in STORAGE, ran
                assert_told(ran)
                assert str(case.folder) in ran.err, ran
            assert_not_synced_again(lines, case)
            case.settle(ran)
        case.clear()
    findings.assert_none()


def assert_not_synced_again(lines: list[str], case: Case) -> None:
    """A failed ``fsync`` is final: the kernel may have dropped what it could not write."""
    failed: set[str] = set()
    for call in calls(lines, case.folder):
        if call.name in {"fsync", "fdatasync"}:
            assert call.paths[0] not in failed, "fsync was tried again"
            if "INJECTED" in call.text:
                failed.add(call.paths[0])


@needs_strace
@pytest.mark.parametrize("part", PARTS)
def test_a_call_fails_while_resuming(new_case: NewCase, part: int) -> None:
    """What an interrupted run left cannot be read or written: then it is not gone on with."""
    first = interrupted(new_case())
    found, findings = sweep(first, "--resume", also=("read", "pread64")), Findings()
    for point in spread(found.points, 24)[part :: len(PARTS)]:
        case = interrupted(new_case())
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, "error=EIO"), "--resume")
            if not struck(lines):
                continue
            if not finished(case, ran):
                assert ran.code in STORAGE, ran
                assert str(case.folder) in ran.err, ran
            case.settle(ran)
        case.clear()
    findings.assert_none()


def interrupted(case: Case) -> Case:
    """A place where a run was killed before it gave its dataset the output's name."""
    place = str(case.staging / "dataset")
    kill = ["-e", "trace=rename", "-e", "inject=rename:signal=KILL:when=1", "-P", place]
    ran, _ = traced(case, kill)
    assert ran.code == -9
    assert not case.out.exists()
    return case


@needs_strace
@pytest.mark.parametrize("fault", ["error=EIO", "signal=KILL"])
def test_folders_cannot_be_exchanged(new_case: NewCase, fault: str) -> None:
    """Where a file system cannot swap two names, a failure between two renames loses nothing."""
    case = new_case().with_options("--max-length", "50")
    assert case.fork().code == 0
    before = tree(case.out)
    case = case.with_options("--overwrite")
    broken = ["-e", "trace=rename,renameat2", "-e", "inject=renameat2:error=EINVAL"]
    ran, lines = traced(case, [*broken, "-P", str(case.out)])
    assert struck(lines)
    assert ran.code == 0, ran
    case.assert_complete()
    for number in (1, 2):
        case = new_case().with_options("--max-length", "50")
        assert case.fork().code == 0
        case = case.with_options("--overwrite")
        paths = ["-P", str(case.out), "-P", str(case.staging / "dataset")]
        ran, lines = traced(case, [*broken, "-e", f"inject=rename:{fault}:when={number}", *paths])
        assert struck(lines)
        if fault == "error=EIO":
            assert ran.code == 74, ran
            assert_equal(tree(case.out), before)
        case.settle(ran, before=before)


@needs_strace
@pytest.mark.parametrize("call", ["openat", "read"])
def test_input_cannot_be_read(case: Case, call: str) -> None:
    """A broken disk under the input: the message names the file, and nothing appears."""
    source = str(case.world.source)
    options = ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=1+", "-P", source]
    ran, lines = traced(case, options)
    assert struck(lines)
    assert ran.code == 74, ran
    assert f"{source}: cannot be read: Input/output error" in ran.err
    case.settle(ran)
