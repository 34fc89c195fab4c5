"""folder: nothing outside the dataset's folder is ever opened."""

import hashlib
import os
from pathlib import Path

import pytest

from sftprep.errors import StorageError
from sftprep.verify.folder import DatasetFolder, EntryKind, FileDigest, check_digest
from sftprep.verify.report import Report


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """A folder with a file, a subfolder with a file, and an unknown subfolder with a file."""
    home = tmp_path / "home"
    for name in ("a", "known/b", "unknown/c"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"this is {name}")
    return DatasetFolder(home)


def test_only_subfolders_of_known_files_are_listed(folder: DatasetFolder) -> None:
    """A subfolder that holds no known file is one entry."""
    os.mkfifo(folder.path / "pipe")
    (folder.path / "link").symlink_to("a")
    assert folder.entries({"a", "known/b", "known/missing"}) == {
        "a": EntryKind.FILE,
        "known/b": EntryKind.FILE,
        "link": EntryKind.LINK,
        "pipe": EntryKind.SPECIAL,
        "unknown": EntryKind.FOLDER,
    }


def test_a_name_that_leads_out_of_the_folder_lists_nothing_there(
    folder: DatasetFolder, tmp_path: Path
) -> None:
    """A known name with ``..`` or an absolute path does not make the folder above a subfolder."""
    (tmp_path / "secret").touch()
    names = {"../secret", str(tmp_path / "secret")}
    assert list(folder.entries(names)) == ["a", "known", "unknown"]


def test_a_file_can_be_read_and_hashed(folder: DatasetFolder) -> None:
    """``open`` gives the bytes, and ``digest`` their number and SHA-256."""
    with folder.open("known/b") as file:
        assert file.read() == b"this is known/b"
    sha256 = hashlib.sha256(b"this is known/b").hexdigest()
    assert folder.digest("known/b") == FileDigest(15, sha256)


@pytest.mark.parametrize("name", ["link", "folder-link/b"])
def test_a_link_is_not_opened(folder: DatasetFolder, name: str) -> None:
    """Neither a link nor a file in a linked folder can be opened."""
    (folder.path / "link").symlink_to("a")
    (folder.path / "folder-link").symlink_to("known")
    with (
        pytest.raises(StorageError, match=rf"^{folder.path}/{name}: cannot be read: "),
        folder.open(name),
    ):
        pytest.fail("the link was opened")


def test_a_pipe_does_not_block(folder: DatasetFolder) -> None:
    """A file that became a pipe after it was listed is an error; nothing waits for a writer."""
    os.mkfifo(folder.path / "pipe")
    with pytest.raises(StorageError) as error, folder.open("pipe"):
        pytest.fail("the pipe was opened")
    assert str(error.value) == (
        f"{folder.path}/pipe: is no longer a regular file. Run verify again when nothing writes "
        "to the dataset."
    )


@pytest.mark.parametrize(
    ("sha256", "size", "expected"),
    [
        ("aa", 5, []),
        ("aa", None, []),
        ("bb", 5, ["f: SHA-256 is aa; the manifest says bb"]),
        ("bb", None, ["f: SHA-256 is aa; the manifest says bb"]),
        ("bb", 1234, ["f: has 5 bytes; the manifest says 1,234"]),
    ],
)
def test_a_digest_is_compared_with_the_manifest(
    sha256: str, size: int | None, expected: list[str]
) -> None:
    """A wrong size is reported, or else a wrong hash; some files have no size in the manifest."""
    report = Report("out")
    check_digest(report, "f", FileDigest(5, "aa"), sha256, size)
    assert list(map(str, report.problems)) == expected
