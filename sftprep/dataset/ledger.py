"""A list of lost records on disk: ``rejects.jsonl`` and ``dropped.jsonl``.

In     entries, in input order: plain objects.
Out    a file with a JSON object a line, made with the first entry; its entries, bytes and SHA-256.
Keeps  the file for its owner's eyes (mode 0600): it holds data of the records.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO, Any

import orjson


class Ledger:
    """One ledger.

    Args:
        path: of the file; it is made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._entries = 0
        self._bytes = 0
        self._hash = hashlib.sha256()

    def add(self, entry: dict[str, Any]) -> None:
        """Write an entry."""
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        self._file.write(line)
        self._count(line)

    def _count(self, line: bytes) -> None:
        self._entries += 1
        self._bytes += len(line)
        self._hash.update(line)

    def resume(self) -> None:
        """Go on behind the entries that are in the file, if it is there."""
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    self._count(line)
            self._file = self._path.open("ab")

    def facts(self) -> dict[str, Any]:
        """Entries, bytes and SHA-256 so far; nothing where there is no entry."""
        if self._file is None:
            return {}
        if not self._file.closed:
            self._file.flush()
        return {
            "entries": self._entries,
            "bytes": self._bytes,
            "sha256": self._hash.hexdigest(),
        }

    def close(self) -> None:
        """Close the file, durable."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close the file of a run that failed; what is in it may end with half an entry."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
