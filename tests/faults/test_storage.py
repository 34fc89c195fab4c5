"""Storage that is full or broken: the run ends with a message, and can be resumed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.harness import FULL, Case, Findings, World, assert_equal, assert_reported, spread, tree
from faults.places import mounted, remount
from faults.processes import Ran
from faults.tracing import calls, needs_strace, struck, sweep, traced

pytestmark = pytest.mark.faults
NewCase = Callable[[], Case]
PARTS = range(8) if FULL else range(2)  # a sweep is divided, so that test processes share it
STORAGE = {73, 74}  # the output cannot be created; reading or writing failed


def assert_storage_error(ran: Ran, place: Path, reason: str) -> None:
    """Assert that the message names the path and the system's reason."""
    assert ran.code == 74, ran
    assert_reported(ran)
    assert str(place) in ran.err, ran.err
    assert reason in ran.err, ran.err


def finished(case: Case, ran: Ran) -> bool:
    """Tell whether the run succeeded despite the fault; then the dataset must be complete."""
    if ran.code == 0:
        assert_equal(tree(case.out), case.reference)
    return ran.code == 0


# --- full -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kib", range(32, 1024, 32) if FULL else range(32, 700, 128))
def test_small_disk(world: World, tmp_path: Path, kib: int) -> None:
    """The disk is too small for the dataset; with more space the run can be resumed."""
    with mounted(tmp_path / "disk", f"size={kib}k") as disk:
        case = Case(world, disk)
        pid = world.forks.start(case.argv(), tmp_path)
        ran = world.forks.ended(pid, tmp_path)
        if not finished(case, ran):
            assert_storage_error(ran, disk, "No space left on device")
            assert "Free disk space" in ran.err
        remount(disk, "size=64m")
        case.settle(ran)


@pytest.mark.parametrize("inodes", range(2, 30) if FULL else range(3, 24, 5))
def test_few_inodes(world: World, tmp_path: Path, inodes: int) -> None:
    """The file system has room for a few files only."""
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
    """The dataset that was to be replaced is still there, complete."""
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


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", range(3, 25) if FULL else (6, 9, 12))
def test_few_descriptors(case: Case, files: int) -> None:
    """The number of open files is limited (``ulimit -n``)."""
    ran = case.fork(limits={"RLIMIT_NOFILE": files})
    if not finished(case, ran):
        assert ran.code in {2, 66, 73, 74}, ran
    case.settle(ran)


@pytest.mark.parametrize("size", [1_000, 5_000, 30_000, 200_000])
def test_small_files_only(case: Case, size: int) -> None:
    """Under ``ulimit -f``, the run ends with a message, not by the signal SIGXFSZ."""
    ran = case.fork(limits={"RLIMIT_FSIZE": size})
    assert_storage_error(ran, case.folder, "File too large")
    case.settle(ran)


# --- broken ---------------------------------------------------------------------------------------


@needs_strace
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_call_fails(new_case: NewCase, error: str, part: int) -> None:
    """If any one call on the output fails, the exit code is 74, or the dataset is complete."""
    found, findings = sweep(new_case()), Findings()
    for point in spread(found.points, 48)[part :: len(PARTS)]:
        case = new_case()
        with findings.at(point):
            ran, lines = traced(case, found.inject(case, point, f"error={error}"))
            if not struck(lines):
                continue
            if not finished(case, ran):
                assert ran.code in STORAGE, ran
                assert_reported(ran)
                assert str(case.folder) in ran.err, ran
            assert_not_synced_again(lines, case)
            case.settle(ran)
        case.clear()
    findings.assert_none()


def assert_not_synced_again(lines: list[str], case: Case) -> None:
    """Assert that a failed ``fsync`` is not repeated: the kernel may have dropped the data."""
    failed: set[str] = set()
    for call in calls(lines, case.folder):
        if call.name in {"fsync", "fdatasync"}:
            assert call.paths[0] not in failed, "fsync was called again"
            if "INJECTED" in call.text:
                failed.add(call.paths[0])


@needs_strace
@pytest.mark.parametrize("part", PARTS)
def test_a_call_fails_while_resuming(new_case: NewCase, part: int) -> None:
    """If what an interrupted run has left cannot be read or written, the run is not resumed."""
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
    """Return the case after a run that was killed just before it published its dataset."""
    place = str(case.staging / "dataset")
    kill = ["-e", "trace=rename", "-e", "inject=rename:signal=KILL:when=1", "-P", place]
    ran, _ = traced(case, kill)
    assert ran.code == -9
    assert not case.out.exists()
    return case


@needs_strace
@pytest.mark.parametrize("fault", ["error=EIO", "signal=KILL"])
def test_folders_cannot_be_exchanged(new_case: NewCase, fault: str) -> None:
    """Where two names cannot be swapped, a failure between two renames loses nothing."""
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
    """If the input cannot be read, the message names the file, and nothing is published."""
    source = str(case.world.source)
    options = ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=1+", "-P", source]
    ran, lines = traced(case, options)
    assert struck(lines)
    assert ran.code == 74, ran
    assert f"{source}: cannot be read: Input/output error" in ran.err
    case.settle(ran)
