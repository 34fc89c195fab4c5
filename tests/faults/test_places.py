"""Output folders that a run must refuse, before it reads the input, and leave as they are."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import Case, assert_reported, tree
from faults.places import mounted, powerless
from faults.processes import Ran, Run, reaped

pytestmark = pytest.mark.faults
REFUSED = {2, 73}


@pytest.fixture
def hopeless(case: Case) -> Case:
    """A run whose input is bad data: if it is read, the exit code is 65."""
    case.source = case.folder / "bad.jsonl"
    case.source.write_text("no json\n")
    return case


def look(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every path below a folder with its kind, mode, inode and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name not in {"stdout", "stderr", "trace"}:
            facts = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            content += os.fsencode(path.readlink()) if path.is_symlink() else b""
            found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_ino, content)
    return found


def assert_refused(case: Case, run: Callable[[], Ran], text: str) -> None:
    """Assert that a run is refused with this text, before it reads, and changes nothing."""
    before = look(case.folder)
    ran = run()
    count("faults")
    assert ran.code in REFUSED, ran
    assert_reported(ran)
    assert text in ran.err, ran.err
    assert str(case.folder) in ran.err, ran.err
    assert look(case.folder) == before


@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--resume",)])
def test_output_is_a_file(hopeless: Case, flags: tuple[str, ...]) -> None:
    """A file is not replaced with a folder."""
    hopeless.out.write_text("mine")
    assert_refused(hopeless, lambda: hopeless.fork(*flags), "is not a folder")


@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--resume",)])
def test_output_holds_other_files(hopeless: Case, flags: tuple[str, ...]) -> None:
    """A folder with any other file in it was not written by sftprep."""
    hopeless.out.mkdir()
    (hopeless.out / "thesis.txt").write_text("mine")
    assert_refused(hopeless, lambda: hopeless.fork(*flags), "files that sftprep did not write")


@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--resume",)])
def test_output_holds_another_manifest(hopeless: Case, flags: tuple[str, ...]) -> None:
    """A ``manifest.json`` alone proves nothing: many programs write one."""
    hopeless.out.mkdir()
    (hopeless.out / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    (hopeless.out / "thesis.txt").write_text("mine")
    assert_refused(hopeless, lambda: hopeless.fork(*flags), str(hopeless.out))


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_output_is_a_mount_point(hopeless: Case, flags: tuple[str, ...]) -> None:
    """No folder can be renamed to a mount point."""
    with mounted(hopeless.out, "size=1m"):
        assert_refused(hopeless, lambda: hopeless.fork(*flags), "is a mount point")


def test_read_only_file_system(hopeless: Case) -> None:
    """The disk is mounted without the right to write."""
    with mounted(hopeless.folder / "disk", "ro") as disk:
        hopeless.out = disk / "out"
        assert_refused(hopeless, hopeless.fork, "Read-only file system")


@pytest.mark.parametrize("place", ["out", "deep/below/out"])
def test_no_permission(hopeless: Case, place: str) -> None:
    """The folder above is not writable."""
    parent = hopeless.folder / "parent"
    parent.mkdir(mode=0o555)
    hopeless.out = parent / place
    command = [*powerless(), sys.executable, "-m", "sftprep", *hopeless.argv()]

    def run() -> Ran:
        with reaped(Run(command, hopeless.folder)) as run:
            return run.ended()

    assert_refused(hopeless, run, "Permission denied")


def test_output_below_a_file(hopeless: Case) -> None:
    """A part of the path is a file."""
    (hopeless.folder / "file").write_text("mine")
    hopeless.out = hopeless.folder / "file" / "out"
    assert_refused(hopeless, hopeless.fork, str(hopeless.folder / "file"))


def test_name_too_long(hopeless: Case) -> None:
    """The output's own name would fit, but the staging folder's is longer."""
    hopeless.out = hopeless.folder / ("x" * 250)
    assert_refused(hopeless, hopeless.fork, "File name too long")


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_output_inside_an_input_folder(hopeless: Case, flags: tuple[str, ...]) -> None:
    """The next run would read the output as input."""
    data = hopeless.folder / "data"
    data.mkdir()
    (data / "in.jsonl").write_text("no json\n")
    hopeless.source, hopeless.out = data, data / "out"
    assert_refused(hopeless, lambda: hopeless.fork(*flags), "input")


def test_input_inside_the_output(hopeless: Case) -> None:
    """The run would replace its own input."""
    whole = Case(hopeless.world, hopeless.folder)
    assert whole.fork().code == 0
    hopeless.source = hopeless.out / "in.jsonl"
    hopeless.source.write_text("no json\n")
    assert_refused(hopeless, lambda: hopeless.fork("--overwrite"), "in.jsonl")


def test_input_inside_the_output_by_a_link(hopeless: Case) -> None:
    """A symbolic link to such a file is an input too."""
    whole = Case(hopeless.world, hopeless.folder)
    assert whole.fork().code == 0
    hopeless.source = hopeless.folder / "link.jsonl"
    hopeless.source.symlink_to(hopeless.out / "manifest.json")
    assert_refused(hopeless, lambda: hopeless.fork("--overwrite"), "link.jsonl")


# --- links and files that another program has put there -------------------------------------------


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder whose files must not change."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("identity.json", "journal.jsonl", "manifest.json", "holder", "shard-00000"):
        (folder / name).write_text("precious")
    return folder


@pytest.mark.parametrize("target", ["victim", "nowhere"])
@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--resume",)])
def test_output_is_a_link(hopeless: Case, victim: Path, target: str, flags: list[str]) -> None:
    """A symbolic link as output is not followed."""
    hopeless.out.symlink_to(victim.with_name(target))
    assert_refused(hopeless, lambda: hopeless.fork(*flags), "link")


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_staging_is_a_link(hopeless: Case, victim: Path, flags: list[str]) -> None:
    """A symbolic link in place of the staging folder is not followed."""
    hopeless.staging.symlink_to(victim)
    assert_refused(hopeless, lambda: hopeless.fork(*flags), str(hopeless.staging))


def test_staging_is_a_file(hopeless: Case) -> None:
    """A file in place of the staging folder is not replaced."""
    hopeless.staging.write_text("mine")
    assert_refused(hopeless, hopeless.fork, str(hopeless.staging))


@pytest.mark.parametrize("flags", [(), ("--resume",)])
@pytest.mark.parametrize("dataset", ["folder", "link"])
def test_links_in_staging(case: Case, victim: Path, dataset: str, flags: list[str]) -> None:
    """A run does not write through links inside the staging folder."""
    case.staging.mkdir(mode=0o700)
    for name in (
        "identity.json",
        "identity.json.new",
        "journal.jsonl",
        "journal.jsonl.new",
        "holder",
    ):
        (case.staging / name).symlink_to(victim / name.removesuffix(".new"))
    if dataset == "link":
        (case.staging / "dataset").symlink_to(victim)
    else:
        (case.staging / "dataset" / "data").mkdir(parents=True)
        for name in ("manifest.json", "data/shard-00000", "data/train-00000-of-00008.parquet"):
            (case.staging / "dataset" / name).symlink_to(victim / "shard-00000")
    before = tree(victim)
    ran = case.fork(*flags)
    count("faults")
    assert_reported(ran)
    assert tree(victim) == before
    if ran.code == 0:
        case.assert_complete()
    else:
        assert ran.code in REFUSED, ran
        assert not case.out.exists()


def test_staging_of_another_user(hopeless: Case) -> None:
    """A staging folder that another user has created is not used."""
    if os.geteuid():
        pytest.skip("only root can give a folder to another user")
    hopeless.staging.mkdir(mode=0o777)
    os.chown(hopeless.staging, 65534, 65534)
    assert_refused(hopeless, hopeless.fork, str(hopeless.staging))


# --- modes and names ------------------------------------------------------------------------------


def test_modes(case: Case) -> None:
    """Until a run ends, only its user can read its files; the ledgers stay so after it."""
    lines = case.world.source.read_text().splitlines()
    case.source = case.folder / "some-bad.jsonl"
    case.source.write_text("\n".join([*lines[:300], "no json", *lines[300:]]) + "\n")
    case.options = ("--on-error", "quarantine", "--max-length", "120")
    seen = set()
    old = os.umask(0)
    try:
        run = case.start()
    finally:
        os.umask(old)
    with reaped(run):
        while run.process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                seen.add(case.staging.stat().st_mode & 0o7777)
        assert run.ended().code == 0
    assert seen == {0o700}
    modes = {path.stat().st_mode & 0o7777 for path in case.out.rglob("*") if path.is_file()}
    assert modes == {0o666}


def test_names_in_the_data(case: Case) -> None:
    """Names in records never become names of files."""
    names = ["../../etc/x", "/etc/x", "..", "a/b", "\u0000", "CON", "x" * 5000]
    case.source = case.folder / "names.jsonl"
    with case.source.open("w") as file:
        for name in names:
            text = name.replace("\\", "\\\\").replace("\0", "\\u0000")
            keys = "".join(f'"{key}": "{text}", ' for key in ("id", "name", "file", "path"))
            file.write("{" + keys + '"prompt": "a\\n", "completion": "b"}\n')
    before = {path.name for path in case.folder.iterdir()}
    ran = case.fork()
    count("inputs", len(names))
    assert ran.code == 0, ran
    added = {path.name for path in case.folder.iterdir()} - before - {"stdout", "stderr"}
    assert added == {"out"}
    assert {name for name in tree(case.out) if not name.startswith("tokenizer/")} == {
        "manifest.json",
        "README.md",
        "index/train-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
    }
