"""output: a dataset appears complete or not at all, and nothing else is touched."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import SAMPLE_DATA, recipe, tree

from sftprep import prepare
from sftprep.errors import DataError, LockedError, OutputError, SftprepError, StorageError
from sftprep.manifest import MANIFEST
from sftprep.output import Output

Write = Callable[[str, str | bytes], Path]


def dataset(folder: Path, content: str) -> Path:
    """A folder that passes for a dataset of ours."""
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(content)
    (folder / "old").write_text(content)
    return folder


def publish(path: Path, content: str, *, overwrite: bool = False) -> None:
    """Write a dataset of one file and a manifest."""
    output = Output(str(path), overwrite=overwrite)
    with output.staged() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "data").write_text(content)
        (folder / MANIFEST).write_text(content)
        output.publish()


def beside(path: Path) -> list[str]:
    """All names in the folder of a path."""
    return sorted(entry.name for entry in path.parent.iterdir())


WRITTEN = {MANIFEST: b"new", "sub/data": b"new"}


# --- publishing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["out", "a/b/out", "out/"])
def test_publish(tmp_path: Path, path: str) -> None:
    """The staged files take the output's name, and nothing is left beside them."""
    publish(tmp_path / path, "new")
    assert tree(tmp_path / path) == WRITTEN
    assert beside(tmp_path / path) == ["out"]


def test_published_folder_can_be_read(tmp_path: Path) -> None:
    """The staging folder is private, the published one has the rights of an ordinary folder."""
    output = Output(str(tmp_path / "out"))
    before = os.umask(0o027)
    try:
        with output.staged() as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            output.publish()
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_nothing_is_there_before_publishing(tmp_path: Path) -> None:
    """Until it is published the output folder does not exist."""
    output = Output(str(tmp_path / "out"))
    with output.staged() as folder:
        (folder / MANIFEST).write_text("new")
        assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == []


def test_into_an_empty_folder(tmp_path: Path) -> None:
    """A folder that is there and empty may be taken."""
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out", "new")
    assert tree(tmp_path / "out") == WRITTEN


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative output is below the folder in which the program runs."""
    monkeypatch.chdir(tmp_path)
    publish(Path("out"), "new")
    assert tree(tmp_path / "out") == WRITTEN


# --- overwriting --------------------------------------------------------------------------------


def test_overwrite_keeps_the_old_until_the_new_is_whole(tmp_path: Path) -> None:
    """The old dataset is whole while the new one is staged, and gone once it is published."""
    old = dataset(tmp_path / "out", "old")
    before = tree(old)
    output = Output(str(old), overwrite=True)
    with output.staged() as folder:
        (folder / MANIFEST).write_text("new")
        assert before == tree(old)
        output.publish()
        assert tree(old) == {MANIFEST: b"new"}
    assert tree(old) == {MANIFEST: b"new"}
    assert beside(old) == ["out"]


@pytest.mark.parametrize("missing", [False, True], ids=["fails", "missing"])
def test_overwrite_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    """Where the system cannot exchange two names, the new dataset still takes the old one's."""

    class Library:
        """A C library without a working ``renameat2``."""

        if not missing:

            def renameat2(self, *_: object) -> int:
                """Fail."""
                return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    old = dataset(tmp_path / "out", "old")
    publish(old, "new", overwrite=True)
    assert tree(old) == WRITTEN
    assert beside(old) == ["out"]


class FailureOfOursError(Exception):
    """Something goes wrong while a dataset is written."""


def fail_while_writing(output: Output) -> None:
    """Write half of a dataset."""
    with output.staged() as folder:
        (folder / "half").write_text("x")
        raise FailureOfOursError


@pytest.mark.parametrize("there", [False, True])
def test_failure_leaves_nothing(tmp_path: Path, there: bool) -> None:
    """After a failure there is no staging folder, no lock, and what was there is as it was."""
    path = tmp_path / "out"
    before = tree(dataset(path, "old")) if there else {}
    with pytest.raises(FailureOfOursError):
        fail_while_writing(Output(str(path), overwrite=True))
    assert before == tree(path)
    assert (["out"] if there else []) == beside(path)


def test_failure_of_the_storage(tmp_path: Path) -> None:
    """An error of the system while writing is told as one, and leaves nothing."""
    with (
        pytest.raises(StorageError) as caught,
        Output(str(tmp_path / "out")).staged(),
    ):
        raise OSError(28, "No space left on device", "shard-00000")
    assert str(caught.value) == (
        "shard-00000: cannot be written: No space left on device. Nothing was published; free "
        "space or mend the rights, and run again."
    )
    assert list(tmp_path.iterdir()) == []


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("foreign", "{}: holds files that sftprep did not write. Choose another --output."),
        ("file", "{}: is not a folder. Choose another --output."),
        ("link", "{}: is not a folder. Choose another --output."),
        ("dangling", "{}: is not a folder. Choose another --output."),
    ],
)
def test_refused(tmp_path: Path, kind: str, message: str, overwrite: bool) -> None:
    """What sftprep did not write is not touched, with --overwrite neither."""
    path = tmp_path / "out"
    if kind == "foreign":
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
    elif kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(dataset(tmp_path / "elsewhere", "old"))
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = tree(tmp_path)
    output = Output(str(path), overwrite=overwrite)
    with pytest.raises(OutputError) as caught:
        output.check()
    with pytest.raises(OutputError) as again, output.staged():
        pass
    assert message.format(path) == str(caught.value) == str(again.value)
    assert caught.value.exit_code == 73
    assert before == tree(tmp_path)


def test_refused_without_overwrite(tmp_path: Path) -> None:
    """A dataset is not replaced unless that is said."""
    path = dataset(tmp_path / "out", "old")
    with pytest.raises(OutputError) as caught:
        Output(str(path)).check()
    assert (
        f"{path}: already holds a dataset. Choose another --output, or pass --overwrite."
    ) == str(caught.value)


def test_below_a_file(tmp_path: Path, write: Write) -> None:
    """An output that cannot be created is refused as such."""
    path = write("file", "x") / "out"
    with pytest.raises(SftprepError) as caught, Output(str(path)).staged():
        pass
    assert caught.value.exit_code == 73
    assert str(caught.value).startswith(f"{path}: cannot be created: ")


# --- one writer ---------------------------------------------------------------------------------


def test_one_writer(tmp_path: Path) -> None:
    """A second run on the same output is refused, and the first is not disturbed."""
    path = tmp_path / "out"
    with Output(str(path)).staged() as folder:
        (folder / "mine").write_text("x")
        with pytest.raises(LockedError) as caught, Output(str(path)).staged():
            pass
        assert tree(folder) == {"mine": b"x"}
    assert (
        f"{path}: another run (process {os.getpid()}) is writing it. Wait for it, or choose "
        "another --output."
    ) == str(caught.value)
    assert caught.value.exit_code == 75


def test_two_outputs_side_by_side(tmp_path: Path) -> None:
    """Runs on two outputs of one folder do not meet."""
    first, second = (Output(str(tmp_path / name)) for name in ("a", "b"))
    with first.staged() as one, second.staged() as two:
        assert one != two
        first.publish()
        second.publish()
    assert beside(tmp_path / "a") == ["a", "b"]


def test_the_lock_goes_with_the_run(tmp_path: Path) -> None:
    """After a run, the next may begin."""
    for content in ("first", "new"):
        publish(tmp_path / "out", content, overwrite=True)
    assert tree(tmp_path / "out") == WRITTEN


KILLED = """
import os, signal, sys
from sftprep.output import Output
with Output(sys.argv[1]).staged() as folder:
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_killed_run(tmp_path: Path) -> None:
    """What a killed run left behind does not hinder the next, and does not get into its output."""
    path = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -9
    assert not path.exists()
    publish(path, "new")
    assert tree(path) == WRITTEN
    assert beside(path) == ["out"]


# --- the whole program --------------------------------------------------------------------------


def test_failed_run_leaves_the_old_dataset(tmp_path: Path) -> None:
    """A run with bad records publishes nothing, and the dataset of before is as it was."""
    path = tmp_path / "out"
    prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", path))
    before = tree(path)
    with pytest.raises(DataError):
        prepare(recipe(SAMPLE_DATA / "bad.jsonl", path, template="chatml", overwrite=True))
    assert before == tree(path)
    assert beside(path) == ["out"]


def test_overwriting_run(tmp_path: Path) -> None:
    """A run with ``overwrite`` leaves the bytes of a run into a new folder, and no old file."""
    for name in ("out", "new"):
        options = {"overwrite": True} if name == "new" else {"format": "jsonl"}
        prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / "out", **options))
    prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / "fresh"))
    assert tree(tmp_path / "fresh") == tree(tmp_path / "out")
