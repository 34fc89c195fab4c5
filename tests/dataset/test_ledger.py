"""What is known of a ledger is true of its file, and a ledger never overwrites another file."""

import hashlib
import os
from pathlib import Path

import pytest

from sftprep.dataset.ledger import Ledger


def test_info_is_true_of_the_file(tmp_path: Path) -> None:
    """There is one line per entry, and the info is true of what is in the file at that time."""
    path = tmp_path / "a.jsonl"
    ledger = Ledger(path)
    assert ledger.info() is None
    assert not path.exists()
    for count in (1, 2, 3):
        ledger.add({"价": count, "raw": "a\nb"})
        data = "".join(f'{{"价":{n},"raw":"a\\nb"}}\n' for n in range(1, count + 1)).encode()
        expected = {
            "entries": count,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        assert ledger.info() == expected
        assert path.read_bytes() == data
    ledger.close()
    assert ledger.info() == expected


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_mode(tmp_path: Path, umask: int) -> None:
    """A ledger has the mode that the umask gives any new file, as the shards have."""
    before = os.umask(umask)
    try:
        ledger = Ledger(tmp_path / "a.jsonl")
        ledger.add({"n": 1})
    finally:
        os.umask(before)
    ledger.close()
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o666 & ~umask


def test_mode_of_a_private_ledger(tmp_path: Path) -> None:
    """Nobody but the owner may read a private ledger, also if an earlier run created it."""
    for name in ("new", "old"):
        if name == "old":
            (tmp_path / "old").write_text('{"n":0}\n')
        ledger = Ledger(tmp_path / name, private=True)
        ledger.resume()
        ledger.add({"n": 1})
        ledger.close()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_resumed_ledger(tmp_path: Path) -> None:
    """A resumed ledger continues after the entries that are in the file."""
    path = tmp_path / "a.jsonl"
    whole = Ledger(tmp_path / "whole")
    first = Ledger(path)
    for ledger in (whole, first):
        ledger.add({"n": 1})
    first.abandon()
    again = Ledger(path)
    again.resume()
    assert again.info() == whole.info()
    for ledger in (whole, again):
        ledger.add({"n": 2})
        ledger.close()
    assert again.info() == whole.info()
    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n' == (tmp_path / "whole").read_bytes()


def test_resumed_without_a_file(tmp_path: Path) -> None:
    """Resuming creates no file if there was none."""
    ledger = Ledger(tmp_path / "a.jsonl")
    ledger.resume()
    assert ledger.info() is None
    ledger.abandon()
    ledger.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_never_over_a_file(tmp_path: Path, kind: str) -> None:
    """A ledger is a new file: neither a file of its name nor the target of a link is written to."""
    path = tmp_path / "a.jsonl"
    (tmp_path / "mine").write_text("mine")
    if kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / ("mine" if kind == "link" else "nowhere"))
    with pytest.raises(FileExistsError):
        Ledger(path).add({"n": 1})
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
