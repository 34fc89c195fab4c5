"""Writes that survive a crash: what they replace, what they name, what they do not follow."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import tree

from sftprep.dataset.durable import read_object, read_objects, remove, sync, write_durably


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


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1', b"[1]", b"null", b"\xff"])
def test_a_damaged_object_is_empty(data: bytes) -> None:
    """A file that a crash has cut, or that is not a JSON object, gives no values."""
    assert read_object(data) == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b'{"a":1}\n{"a":2}\n', [{"a": 1}, {"a": 2}]),
        (b'{"a":1}\n{"a":2}', [{"a": 1}]),
        (b'{"a":1}\n{"a"\n{"a":3}\n', [{"a": 1}]),
        (b'{"a":1}\n7\n{"a":3}\n', [{"a": 1}]),
    ],
)
def test_lines_are_read_up_to_the_first_damage(
    tmp_path: Path, content: bytes, expected: list[dict[str, int]]
) -> None:
    """What comes after an incomplete or damaged line is not trusted."""
    (tmp_path / "lines").write_bytes(content)
    assert read_objects(tmp_path / "lines") == expected
    assert read_objects(tmp_path / "missing") == []
