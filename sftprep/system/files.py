"""SHA-256 of files. A file is read in small portions, so it may be larger than memory."""

import hashlib
from pathlib import Path
from typing import BinaryIO


def sha256_of(file: BinaryIO) -> str:
    """Return the SHA-256 of an open file as hexadecimal text.

    Args:
        file: open for reading; it is hashed from its current position to its end.
    """
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def sha256_of_path(path: Path) -> str:
    """Return the SHA-256 of a whole file as hexadecimal text.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return sha256_of(file)
