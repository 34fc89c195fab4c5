"""Two names are exchanged in one step, or not at all."""

import ctypes
import sys
from pathlib import Path

import pytest

from sftprep.system.rename import exchange


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has renameat2")
def test_two_folders_exchange_their_names(tmp_path: Path) -> None:
    """Each folder has the other's name afterwards, with all that is in it."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "file").read_text() == "b"
    assert (tmp_path / "b" / "file").read_text() == "a"


def test_nothing_is_changed_if_it_fails(tmp_path: Path) -> None:
    """If one of the two does not exist, the other keeps its name."""
    (tmp_path / "a").mkdir()
    assert not exchange(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_system_without_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without ``renameat2`` is no error."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert not exchange(tmp_path / "a", tmp_path / "b")
