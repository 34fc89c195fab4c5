"""A dataset appears complete or not at all, one run writes it, and nothing else is touched."""

import ctypes
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, recipe, tree

from sftprep import prepare
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.staging import HOLDER, JOURNAL, OutputFolder
from sftprep.errors import (
    DataError,
    InternalError,
    LockedError,
    NoInputError,
    OutputError,
    SftprepError,
    StorageError,
    TemplateError,
    UsageError,
)

Write = Callable[[str, str | bytes], Path]


def manifest(content: str) -> str:
    """Make what passes for a manifest of sftprep."""
    return f'{{\n  "format_version": 2,\n  "content": "{content}"\n}}\n'


def dataset(folder: Path, content: str) -> Path:
    """Make a folder that passes for a dataset of sftprep."""
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(manifest(content))
    (folder / "train-00000-of-00001.jsonl").write_text(content)
    return folder


def checked(path: Path) -> OutputFolder:
    """Return an output folder that was checked."""
    output = OutputFolder(str(path))
    output.check()
    return output


def fill(output: OutputFolder, content: str) -> None:
    """Start over, and write a dataset of one file and a manifest into the staging folder."""
    output.begin()
    (output.dataset / "tokenizer").mkdir()
    (output.dataset / "tokenizer" / "tokenizer.json").write_text(content)
    (output.dataset / MANIFEST).write_text(manifest(content))


def publish(path: Path, content: str) -> None:
    """Write and publish a dataset."""
    output = checked(path)
    with output.staged():
        fill(output, content)
        output.publish()


def beside(path: Path) -> list[str]:
    """List all names in the folder that holds a path."""
    return sorted(entry.name for entry in path.parent.iterdir())


WRITTEN = {MANIFEST: manifest("new").encode(), "tokenizer/tokenizer.json": b"new"}


# --- publishing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["out", "a/b/out", "out/"])
def test_publish(tmp_path: Path, path: str) -> None:
    """The staged dataset takes the name of the output, and nothing is left beside it."""
    publish(tmp_path / path, "new")
    assert tree(tmp_path / path) == WRITTEN
    assert beside(tmp_path / path) == ["out"]


def test_published_folder_can_be_read(tmp_path: Path) -> None:
    """The staging folder is private; the published one has the mode that the umask gives."""
    output = OutputFolder(str(tmp_path / "out"))
    before = os.umask(0o027)
    try:
        with output.staged() as folder:
            fill(output, "new")
            assert folder.stat().st_mode & 0o777 == 0o700
            output.publish()
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_nothing_is_there_before_publishing(tmp_path: Path) -> None:
    """The output folder does not exist before it is published."""
    output = OutputFolder(str(tmp_path / "out"))
    with output.staged():
        fill(output, "new")
        assert beside(tmp_path / "out") == [".out.sftprep-staging"]
    assert list(tmp_path.iterdir()) == []


def test_into_an_empty_folder(tmp_path: Path) -> None:
    """An empty folder may be the output."""
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out", "new")
    assert tree(tmp_path / "out") == WRITTEN


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative output is relative to the current folder."""
    monkeypatch.chdir(tmp_path)
    publish(Path("out"), "new")
    assert tree(tmp_path / "out") == WRITTEN


# --- overwriting --------------------------------------------------------------------------------


def test_overwrite_keeps_the_old_until_the_new_is_whole(tmp_path: Path) -> None:
    """The old dataset is whole while the new one is staged, and gone once it is published."""
    old = dataset(tmp_path / "out", "old")
    before = tree(old)
    output = checked(old)
    with output.staged():
        fill(output, "new")
        assert before == tree(old)
        output.publish()
        assert tree(old) == WRITTEN
    assert tree(old) == WRITTEN
    assert beside(old) == ["out"]


def test_two_names_are_exchanged_at_once(tmp_path: Path) -> None:
    """The two datasets exchange names, so that the output always exists."""
    old = dataset(tmp_path / "out", "old")
    before = tree(old)
    output = checked(old)
    with output.staged():
        fill(output, "new")
        inode = output.dataset.stat().st_ino
        output.publish()
        assert (before, inode) == (tree(output.dataset), old.stat().st_ino)


@pytest.mark.parametrize("missing", [False, True], ids=["fails", "missing"])
def test_overwrite_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    """If the system cannot exchange two names, the new dataset still replaces the old one."""

    class Library:
        """A C library without a working ``renameat2``."""

        if not missing:

            def renameat2(self, *_: object) -> int:
                """Fail."""
                return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    old = dataset(tmp_path / "out", "old")
    publish(old, "new")
    assert tree(old) == WRITTEN
    assert beside(old) == ["out"]


class FailureOfOursError(Exception):
    """A failure while a dataset is written."""


def fail_while_writing(output: OutputFolder) -> None:
    """Write a dataset and fail before it is published."""
    with output.staged():
        fill(output, "new")
        raise FailureOfOursError


@pytest.mark.parametrize("there", [False, True])
def test_parent_is_a_link(tmp_path: Path, there: bool) -> None:
    """An output whose parent folder is a symbolic link is published where the link leads."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    if there:
        dataset(tmp_path / "real" / "out", "old")
    publish(tmp_path / "link" / "out", "new")
    assert tree(tmp_path / "real" / "out") == WRITTEN
    assert beside(tmp_path / "real" / "out") == ["out"]


def test_failure_after_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last ``fsync`` fails, the error says that the dataset is there, not the opposite."""
    path = tmp_path / "out"
    fsync = os.fsync

    def failing(handle: int) -> None:
        if os.fstat(handle).st_ino == tmp_path.stat().st_ino:
            raise OSError(5, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError) as caught:
        publish(path, "new")
    assert str(caught.value) == (
        f"{path}: the dataset is there and complete, but it may be lost if the machine crashes "
        f"now: {tmp_path}: Input/output error. Run sftprep verify on it later, or build it again "
        "on another disk."
    )
    assert tree(path) == WRITTEN
    assert beside(path) == ["out"]


@pytest.mark.parametrize("there", [False, True])
def test_failure_leaves_nothing(tmp_path: Path, there: bool) -> None:
    """After a failure no staging folder is left, and the output is as it was."""
    path = tmp_path / "out"
    before = tree(dataset(path, "old")) if there else {}
    with pytest.raises(FailureOfOursError):
        fail_while_writing(checked(path))
    assert before == tree(path)
    assert (["out"] if there else []) == beside(path)


def test_failure_of_the_storage(tmp_path: Path) -> None:
    """An error of the system while writing is a storage error that names the file."""
    with (
        pytest.raises(StorageError) as caught,
        OutputFolder(str(tmp_path / "out")).staged(),
    ):
        raise OSError(28, "No space left on device", "shard-00000")
    assert str(caught.value) == (
        "shard-00000: cannot be written: No space left on device. Nothing was published. Free disk "
        "space or correct the permissions, and run again with --resume."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (FailureOfOursError(), True),
        (KeyboardInterrupt(), True),
        (SystemExit(143), True),
        (OSError(5, "Input/output error"), True),
        (StorageError("x"), True),
        (InternalError("x"), True),
        (OutputError("x"), True),
        (DataError("x"), False),
        (NoInputError("x"), False),
        (UsageError("x"), False),
        (TemplateError("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("journal", [None, "", "{}\n"])
def test_what_is_kept_for_resume(
    tmp_path: Path, error: BaseException, kept: bool, journal: str | None
) -> None:
    """The staging folder stays if a shard is finished and running again may succeed."""
    output = OutputFolder(str(tmp_path / "out"))

    def interrupted() -> None:
        with output.staged() as folder:
            fill(output, "new")
            if journal is not None:
                (folder / JOURNAL).write_text(journal)
            raise error

    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
        interrupted()
    expected = {JOURNAL: b"{}\n", HOLDER: str(os.getpid()).encode()}
    expected |= {f"dataset/{name}": data for name, data in WRITTEN.items()}
    assert tree(output.staging) == (expected if kept and journal else {})
    assert output.staging.exists() == (kept and journal == "{}\n")
    assert not output.path.exists()


def test_begin_forgets_what_was_left(tmp_path: Path) -> None:
    """A run that starts over removes what was left, and follows no link in it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    output = OutputFolder(str(tmp_path / "out"))
    with output.staged() as folder:
        fill(output, "old")
        (folder / JOURNAL).write_text("{}\n")
        (folder / "link").symlink_to(tmp_path / "mine")
        (folder / "dangling").symlink_to(tmp_path / "nowhere")
        output.begin()
        assert {HOLDER: str(os.getpid()).encode()} == tree(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["dataset", HOLDER]
    assert tree(tmp_path) == {"mine/thesis.txt": b"mine"}


# --- what is refused ----------------------------------------------------------------------------


ANOTHER = "Choose another --output."


@pytest.mark.parametrize("size", [0, 1, 20, 30])
def test_a_torn_manifest_is_ours(tmp_path: Path, size: int) -> None:
    """A dataset whose manifest was cut off counts as damaged, not as foreign."""
    path = dataset(tmp_path / "out", "old")
    (path / MANIFEST).write_text(manifest("old")[:size])
    publish(path, "new")
    assert tree(path) == WRITTEN


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("foreign", "{}: holds files that sftprep did not write (thesis.txt). " + ANOTHER),
        ("beside", "{}: holds files that sftprep did not write (thesis.txt). " + ANOTHER),
        ("manifest", "{}: holds files that sftprep did not write (manifest.json). " + ANOTHER),
        ("shards", "{}: holds files that sftprep did not write (tokenizer). " + ANOTHER),
        ("escape", "{}: holds files that sftprep did not write (\\x1b[2J). " + ANOTHER),
        ("file", "{}: is not a folder. Choose another --output."),
        ("link", "{}: is not a folder. Choose another --output."),
        ("dangling", "{}: is not a folder. Choose another --output."),
    ],
)
def test_refused(tmp_path: Path, kind: str, message: str) -> None:
    """An output that sftprep did not write is refused, and not touched."""
    path = tmp_path / "out"
    if kind == "foreign":
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
    elif kind == "beside":
        (dataset(path, "old") / "thesis.txt").write_text("mine")
    elif kind == "escape":
        (dataset(path, "old") / "\x1b[2J").write_text("mine")
    elif kind == "manifest":
        path.mkdir()
        (path / MANIFEST).write_text('{"name": "of another program"}')
    elif kind == "shards":
        (dataset(path, "old") / MANIFEST).unlink()
        (path / "tokenizer").mkdir()
    elif kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(dataset(tmp_path / "elsewhere", "old"))
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = tree(tmp_path)
    with pytest.raises(OutputError) as caught:
        OutputFolder(str(path)).check()
    assert message.format(path) == str(caught.value)
    assert caught.value.exit_code == 73
    assert before == tree(tmp_path)


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_a_run_does_not_touch_what_is_not_ours(tmp_path: Path, flags: dict[str, Any]) -> None:
    """A run refuses a foreign folder before it reads any input, with every flag."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that sftprep did not write"):
        prepare(recipe(SAMPLE_DATA / "bad.jsonl", tmp_path / "out", **flags))
    assert tree(tmp_path) == {"out/thesis.txt": b"mine"}


def test_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount point is refused at once, because no other folder can take its name."""
    path = tmp_path / "out"
    path.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self == path)
    with pytest.raises(OutputError) as caught:
        OutputFolder(str(path)).check()
    assert str(caught.value) == (
        f"{path}: is a mount point, which cannot be replaced in one step. Name a folder inside it."
    )
    OutputFolder(str(path / "inside")).check()


@pytest.mark.parametrize("output", [".", "..", "../tokenizer", "{}", "{}/tokenizer/.."])
@pytest.mark.parametrize("there", ["dataset", "nothing"])
def test_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, there: str
) -> None:
    """The current folder, and a folder that it lies in, cannot be replaced; the error says why."""
    path = tmp_path / "out"
    if there == "dataset":
        dataset(path, "old")
    (path / "tokenizer").mkdir(parents=True)
    monkeypatch.chdir(path / "tokenizer")
    before = tree(tmp_path)
    with pytest.raises(OutputError) as caught:
        OutputFolder(output.format(path)).check()
    assert str(caught.value) == (
        f"{output.format(path)}: is the current folder, or holds it. The new dataset takes the "
        "place of this folder, which is then removed. Change to another folder first, or choose "
        "another --output."
    )
    assert before == tree(tmp_path)


def with_tokenizer(path: Path, *names: str) -> Path:
    """Make a dataset whose manifest names these files of the tokenizer."""
    files = {f"tokenizer/{name}": "0" for name in names}
    value = {"format_version": 2, "tokenizer": {"files": files}}
    dataset(path, "old")
    (path / MANIFEST).write_text(json.dumps(value, indent=2))
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("old")
    return path


FOREIGN = (
    "tokenizer/thesis.txt",
    "tokenizer/mine/thesis.txt",
    "tokenizer/mine/",
    "rejects.jsonl/x",
)


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("torn", [False, True])
def test_foreign_files_at_any_depth(tmp_path: Path, foreign: str, torn: bool) -> None:
    """A dataset that holds a foreign file or folder, at any depth, is refused and not touched."""
    path = with_tokenizer(tmp_path / "out", "tokenizer.json")
    if torn:
        (path / MANIFEST).write_text(manifest("old")[:20])
    if foreign.endswith("/"):
        (path / foreign).mkdir()
    else:
        (path / foreign).parent.mkdir(exist_ok=True)
        (path / foreign).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError) as caught:
        OutputFolder(str(path)).check()
    first = {FOREIGN[1]: "tokenizer/mine", FOREIGN[3]: "rejects.jsonl"}.get(foreign, foreign)
    assert str(caught.value) == (
        f"{path}: holds files that sftprep did not write ({first.rstrip('/')}). Choose another "
        "--output."
    )
    assert before == tree(tmp_path)


@pytest.mark.parametrize("torn", [False, True])
def test_all_files_of_a_tokenizer_are_ours(tmp_path: Path, torn: bool) -> None:
    """What a tokenizer is saved as is replaced, also where the manifest no longer names it."""
    names = ("tokenizer.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja")
    path = with_tokenizer(tmp_path / "out", *names)
    if torn:
        (path / MANIFEST).write_text(manifest("old")[:20])
    publish(path, "new")
    assert tree(path) == WRITTEN


def test_old_datasets_are_replaced(tmp_path: Path) -> None:
    """Up to format version 6 shards lay beside the manifest; from version 7 on they may not."""
    path = dataset(tmp_path / "out", "old")
    checked(path)
    (path / MANIFEST).write_text(manifest("old").replace('": 2', '": 7'))
    with pytest.raises(OutputError, match=r"did not write \(train-00000-of-00001.jsonl\)"):
        checked(path)


@pytest.mark.parametrize("name", ["data", "index", "tokenizer"])
def test_a_link_in_place_of_a_folder(tmp_path: Path, name: str) -> None:
    """A link where a dataset has a folder is removed with the old dataset; its target stays."""
    path = dataset(tmp_path / "out", "old")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (path / name).symlink_to(tmp_path / "mine")
    publish(path, "new")
    assert tree(path) == WRITTEN
    assert tree(tmp_path / "mine") == {"thesis.txt": b"mine"}


def test_a_foreign_file_that_appears_below_the_top(tmp_path: Path) -> None:
    """A file that is put into the old dataset while the new one is staged is not deleted."""
    path = with_tokenizer(tmp_path / "out", "tokenizer.json")
    output = checked(path)

    def run() -> None:
        with output.staged():
            fill(output, "new")
            (path / "tokenizer" / "thesis.txt").write_text("mine")
            output.publish()

    with pytest.raises(OutputError, match=r"tokenizer/thesis\.txt"):
        run()
    assert (path / "tokenizer" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "place", ["out/a.jsonl", "out/sub/a.jsonl", ".out.sftprep-staging/dataset/a.jsonl", "link"]
)
@pytest.mark.parametrize("parent", ["here", "other"])
def test_inputs_inside_the_output(tmp_path: Path, place: str, parent: str) -> None:
    """An input that the run would replace or remove is refused, also through links."""
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "other").symlink_to(here)
    (here / "out" / "sub").mkdir(parents=True)
    (here / "link").symlink_to(here / "out" / "a.jsonl")
    path = str(here / place)
    with pytest.raises(UsageError) as caught:
        OutputFolder(str(tmp_path / parent / "out")).check_inputs(
            ["-", str(here / "b.jsonl"), path]
        )
    assert str(caught.value) == (
        f"{path}: lies in the output folder. Move it, or choose another --output."
    )


@pytest.mark.parametrize("place", [".", "..", "out/.."])
def test_output_inside_an_input(tmp_path: Path, place: str) -> None:
    """An output inside an input folder is refused: the next run would read it."""
    (tmp_path / "data").mkdir()
    output, folder = str(tmp_path / "data" / "out"), str(tmp_path / "data" / place)
    with pytest.raises(UsageError) as caught:
        OutputFolder(output).check_inputs([folder])
    assert str(caught.value) == (
        f"{output}: lies in the input folder {folder}, and would be read as input next time. "
        "Choose another --output."
    )


@pytest.mark.parametrize("place", ["link", "dataset/link"])
def test_links_in_the_staging_folder(tmp_path: Path, place: str) -> None:
    """A symbolic link in the staging folder is refused, and its target is not written to."""
    output = OutputFolder(str(tmp_path / "out"))
    (tmp_path / "mine").write_text("mine")
    (output.staging / "dataset").mkdir(parents=True)
    output.staging.chmod(0o700)
    (output.staging / place).symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError) as caught, output.staged():
        pass
    assert str(caught.value) == (
        f"{output.staging / place}: is a symbolic link, which sftprep never makes. Remove the "
        f"folder {output.staging}."
    )
    assert (tmp_path / "mine").read_text() == "mine"


def test_inputs_beside_the_output(tmp_path: Path) -> None:
    """An input whose path only begins with the name of the output is accepted."""
    paths = ["-", str(tmp_path / "out.jsonl"), str(tmp_path / "out2" / "a.jsonl")]
    OutputFolder(str(tmp_path / "out")).check_inputs(paths)


def test_filled_in_the_meantime(tmp_path: Path) -> None:
    """Files that appear in the output during the run are not replaced."""
    path = tmp_path / "out"
    output = checked(path)

    def run() -> None:
        with output.staged() as folder:
            fill(output, "new")
            (folder / JOURNAL).write_text("{}\n")
            path.mkdir()
            (path / "thesis.txt").write_text("mine")
            output.publish()

    with pytest.raises(OutputError) as caught:
        run()
    assert str(caught.value) == (
        f"{path}: another program has put files into it in the meantime; nothing was published. "
        "Empty it and run again with --resume, or choose another --output."
    )
    assert tree(path) == {"thesis.txt": b"mine"}
    assert {f"dataset/{name}" for name in WRITTEN} < set(tree(output.staging))


def test_written_in_the_meantime(tmp_path: Path) -> None:
    """A dataset that another run published between our check and our lock is not replaced."""
    path = tmp_path / "out"
    output = checked(path)
    publish(path, "theirs")
    theirs = tree(path)
    with pytest.raises(LockedError) as caught, output.staged():
        pass
    assert str(caught.value) == (
        f"{path}: another run has written it in the meantime. Run again to see whether it is the "
        "same dataset, or choose another --output."
    )
    assert theirs == tree(path)
    assert beside(path) == ["out"]


def test_removed_in_the_meantime(tmp_path: Path) -> None:
    """If the old dataset was removed during the run, the new one is published all the same."""
    path = dataset(tmp_path / "out", "old")
    output = checked(path)
    with output.staged():
        fill(output, "new")
        for name in tree(path):
            (path / name).unlink()
        path.rmdir()
        output.publish()
    assert tree(path) == WRITTEN


@pytest.mark.parametrize("kind", ["link", "file"])
def test_staging_name_is_taken(tmp_path: Path, kind: str) -> None:
    """A file or link with the name of the staging folder is refused, and not touched."""
    output = OutputFolder(str(tmp_path / "out"))
    (tmp_path / "mine").mkdir(mode=0o700)
    if kind == "link":
        output.staging.symlink_to(tmp_path / "mine")
    else:
        output.staging.write_text("mine")
    with pytest.raises(OutputError) as caught, output.staged():
        pass
    reason = {"link": "Not a directory", "file": "File exists"}[kind]
    assert str(caught.value) == (
        f"{tmp_path}/out: cannot be created: {reason} ({output.staging}). Choose another --output."
    )
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("planted", ["mode", "owner"])
def test_planted_staging(tmp_path: Path, planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A staging folder of another user, or one that others may access, is refused."""
    output = OutputFolder(str(tmp_path / "out"))
    output.staging.mkdir(mode=0o700)
    if planted == "mode":
        output.staging.chmod(0o770)
    else:
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    (output.staging / "trap").write_text("theirs")
    with pytest.raises(OutputError) as caught, output.staged():
        pass
    assert str(caught.value) == (
        f"{output.staging}: belongs to another user, or other users may access it; sftprep makes "
        "its staging folder for this user alone. Remove it, or choose another --output."
    )
    assert tree(output.staging) == {"trap": b"theirs"}


def test_below_a_file(tmp_path: Path, write: Write) -> None:
    """An output that cannot be created is refused with the reason."""
    path = write("file", "x") / "out"
    with pytest.raises(SftprepError) as caught, OutputFolder(str(path)).staged():
        pass
    assert caught.value.exit_code == 73
    assert str(caught.value).startswith(f"{path}: cannot be created: ")


# --- one writer ---------------------------------------------------------------------------------


def test_one_writer(tmp_path: Path) -> None:
    """A second run on the same output is refused, and does not disturb the first."""
    path = tmp_path / "out"
    with OutputFolder(str(path)).staged() as folder:
        (folder / "mine").write_text("x")
        with pytest.raises(LockedError) as caught, OutputFolder(str(path)).staged():
            pass
        assert tree(folder) == {HOLDER: str(os.getpid()).encode(), "mine": b"x"}
    assert (
        f"{path}: another run (process {os.getpid()}) is writing it. Wait for it, or choose "
        "another --output."
    ) == str(caught.value)
    assert caught.value.exit_code == 75


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_one_writer_without_a_name(tmp_path: Path, content: str | None) -> None:
    """The lock holds even if its holder has not written its process ID."""
    output = OutputFolder(str(tmp_path / "out"))
    output.staging.mkdir(mode=0o700)
    if content is not None:
        (output.staging / HOLDER).write_text(content)
    handle = os.open(output.staging, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(LockedError) as caught, output.staged():
        pass
    os.close(handle)
    assert str(caught.value) == (
        f"{tmp_path}/out: another run (process unknown) is writing it. Wait for it, or choose "
        "another --output."
    )
    with output.staged():
        pass


def test_a_staging_folder_that_is_removed_before_our_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another run removes the folder just before we lock it, we make and lock a new one."""
    output = OutputFolder(str(tmp_path / "out"))
    asked: list[int] = []
    flock = fcntl.flock

    def late(handle: int, how: int) -> None:
        if not asked:
            output.staging.rmdir()
        asked.append(handle)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with output.staged() as folder:
        assert folder.is_dir()
        with pytest.raises(LockedError), OutputFolder(str(tmp_path / "out")).staged():
            pass
    assert len(asked) == 3


def test_two_outputs_side_by_side(tmp_path: Path) -> None:
    """Two outputs in one folder do not disturb each other."""
    first, second = (OutputFolder(str(tmp_path / name)) for name in ("a", "b"))
    with first.staged() as one, second.staged() as two:
        assert one != two
        for output in (first, second):
            fill(output, "new")
            output.publish()
    assert beside(tmp_path / "a") == ["a", "b"]


def test_the_lock_ends_with_the_run(tmp_path: Path) -> None:
    """After a run has ended, the next may use the same output."""
    for content in ("first", "new"):
        publish(tmp_path / "out", content)
    assert tree(tmp_path / "out") == WRITTEN


KILLED = """
import os, signal, sys
from sftprep.dataset.staging import OutputFolder
output = OutputFolder(sys.argv[1])
with output.staged() as folder:
    output.begin()
    (folder / "journal.jsonl").write_text("x")
    (folder / "dataset" / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_killed_run(tmp_path: Path) -> None:
    """What a killed run left behind neither stops the next run nor gets into its output."""
    path = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -9
    assert beside(path) == [".out.sftprep-staging"]
    publish(path, "new")
    assert tree(path) == WRITTEN
    assert beside(path) == ["out"]


# --- the whole program --------------------------------------------------------------------------


def test_failed_run_leaves_the_old_dataset(tmp_path: Path) -> None:
    """A run with bad records publishes nothing, and the old dataset is as it was."""
    path = tmp_path / "out"
    prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", path))
    before = tree(path)
    with pytest.raises(DataError):
        prepare(recipe(SAMPLE_DATA / "bad.jsonl", path, template="chatml", overwrite=True))
    assert before == tree(path)
    assert beside(path) == ["out"]


def test_overwriting_run(tmp_path: Path) -> None:
    """A run with ``overwrite`` gives the same files as a run into a new folder."""
    for name in ("out", "new"):
        options = {"overwrite": True} if name == "new" else {"format": "jsonl"}
        prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / "out", **options))
    prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / "fresh"))
    assert tree(tmp_path / "fresh") == tree(tmp_path / "out")
