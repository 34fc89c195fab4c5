"""Files: their SHA-256."""

import hashlib
from pathlib import Path
from typing import BinaryIO


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of an open file, from where it stands to its end, in hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def sha256_of_path(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return sha256_of(file)
