"""A ledger: a file that lists lost records, ``rejects.jsonl`` or ``dropped.jsonl``.

In     entries in input order, as plain objects.
Out    a file with one JSON object per line, created with the first entry; and at any time its
       number of entries, its size in bytes and its SHA-256.
Raises FileExistsError: a file of this name exists already.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypedDict

import orjson


class LedgerInfo(TypedDict):
    """The description of a ledger in the manifest."""

    entries: int
    bytes: int
    sha256: str


class Ledger:
    """Writes one ledger.

    Args:
        path: the file to create with the first entry.
        private: whether only the owner may read the file.
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self._path = path
        self._mode = 0o600 if private else 0o666
        self._file: IO[bytes] | None = None
        self._entries = 0
        self._bytes = 0
        self._hash = hashlib.sha256()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry."""
        self.add_line(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def add_line(self, line: bytes) -> None:
        """Append an entry of another ledger, with its line end."""
        if self._file is None:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode)
            self._file = os.fdopen(handle, "wb")
        self._file.write(line)
        self._count(line)

    def _count(self, line: bytes) -> None:
        self._entries += 1
        self._bytes += len(line)
        self._hash.update(line)

    def resume(self) -> None:
        """Continue after the entries that an interrupted run left in the file, if it exists."""
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    self._count(line)
            self._file = self._path.open("ab")
            if self._mode == 0o600:
                self._path.chmod(self._mode)

    def info(self) -> LedgerInfo | None:
        """Write all entries so far to the file, and describe them; None if there are no entries."""
        if self._file is None:
            return None
        if not self._file.closed:
            self._file.flush()
        return {"entries": self._entries, "bytes": self._bytes, "sha256": self._hash.hexdigest()}

    def close(self) -> None:
        """Make the file durable and close it."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close the file of a run that failed. The file may end with an incomplete entry."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
