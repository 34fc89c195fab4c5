"""The disk cache: what is stored is recalled whole, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sftprep.tokenization.disk_cache import cache_folder, recall, store

KEY = {"a": 1, "b": ["x"]}
PARTS = {"one": b"1", "two": b"\x00\xff"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SFTPREP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_stored_and_recalled(cache: Path) -> None:
    """The same key gives the same parts; another key or another kind gives nothing."""
    assert recall("k", KEY) is None
    store("k", KEY, PARTS)
    assert recall("k", KEY) == PARTS
    assert recall("k", {"b": ["x"], "a": 1}) == PARTS
    assert recall("k", KEY | {"a": 2}) is None
    assert recall("other", KEY) is None
    assert len(list(cache.iterdir())) == 1
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "part-1").write_bytes(b"\x00\xfe"),
        lambda entry: (entry / "part-0").unlink(),
        lambda entry: (entry / "index.json").write_bytes(b"{"),
        lambda entry: (entry / "index.json").write_bytes(b"[]"),
        lambda entry: (entry / "index.json").write_bytes(b"{}"),
        lambda entry: (entry / "index.json").unlink(),
    ],
)
def test_a_damaged_entry_is_replaced(cache: Path, damage: Callable[[Path], object]) -> None:
    """An entry that is not what was written is not recalled, and can be stored again."""
    store("k", KEY, PARTS)
    (entry,) = cache.iterdir()
    damage(entry)
    assert recall("k", KEY) is None
    store("k", KEY, PARTS)
    assert recall("k", KEY) == PARTS
    assert [entry] == list(cache.iterdir())


def test_the_user_wants_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty ``SFTPREP_CACHE`` nothing is stored."""
    monkeypatch.setenv("SFTPREP_CACHE", "")
    assert cache_folder() is None
    store("k", KEY, PARTS)
    assert recall("k", KEY) is None


def test_the_folder_cannot_be_made(cache: Path) -> None:
    """If the folder cannot be made, nothing is stored, and nothing fails."""
    cache.write_text("a file")
    store("k", KEY, PARTS)
    assert recall("k", KEY) is None
    assert cache.read_text() == "a file"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SFTPREP_CACHE": "/c"}, "/c"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/sftprep"),
        ({"HOME": "/h"}, "/h/.cache/sftprep"),
    ],
)
def test_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    """``SFTPREP_CACHE`` comes first, then the folder of the system for caches."""
    for name in ("SFTPREP_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
