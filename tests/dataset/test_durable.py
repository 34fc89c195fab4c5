"""Writes that survive a crash: what they replace, what they name, what they do not follow."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import tree

from sftprep.dataset.durable import remove, sync, write_durably


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """The new content takes the place of the old, and nothing is left beside it."""
    write_durably(tmp_path / "a", b"old")
    write_durably(tmp_path / "a", b"new")
    assert tree(tmp_path) == {"a": b"new"}


def test_a_write_that_fails_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the new content cannot be made durable, the old is still there; the error names it."""
    path = tmp_path / "a"
    write_durably(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_durably(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"


def test_the_file_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is synced before the rename: a crash between leaves the old file."""
    path = tmp_path / "a"
    write_durably(path, b"old")
    seen: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.read_bytes()))
    write_durably(path, b"new")
    assert seen == [b"old"]


def test_a_folder_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    """A folder is removed with everything in it; of a link, only the link itself is removed."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    for name in ("folder", "link", "file"):
        remove(tmp_path / name)
    assert tree(tmp_path) == {"mine/thesis.txt": b"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("call", [remove, sync])
def test_an_error_names_the_path(tmp_path: Path, call: Callable[[Path], None]) -> None:
    """An error about a path that does not exist has its name."""
    with pytest.raises(FileNotFoundError) as caught:
        call(tmp_path / "nothing")
    assert str(caught.value.filename) == str(tmp_path / "nothing")


def test_sync_names_the_path_and_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ``fsync``, which has no name of its own, gets one; a link is refused."""
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        sync(tmp_path / "link")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    sync(tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        sync(tmp_path)
    assert caught.value.filename == str(tmp_path)
