"""files: the SHA-256 of a file, as ``hashlib`` computes it from its bytes."""

import hashlib
from pathlib import Path

import pytest

from sftprep.system.files import sha256_of, sha256_of_path

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4


@pytest.mark.parametrize("data", [b"", b"abc", bytes(range(256)) * 5000])
def test_a_file_is_hashed_whole(tmp_path: Path, data: bytes) -> None:
    """A file of any size is hashed whole."""
    path = tmp_path / "file"
    path.write_bytes(data)
    assert sha256_of_path(path) == hashlib.sha256(data).hexdigest()


def test_an_open_file_is_hashed_from_its_position(tmp_path: Path) -> None:
    """The rest of the file is hashed; a second time, nothing is left to hash."""
    path = tmp_path / "file"
    path.write_bytes(b"skipped, hashed")
    with path.open("rb") as file:
        file.seek(9)
        assert sha256_of(file) == hashlib.sha256(b"hashed").hexdigest()
        assert sha256_of(file) == EMPTY


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """The error of the system is raised."""
    with pytest.raises(FileNotFoundError):
        sha256_of_path(tmp_path / "missing")
