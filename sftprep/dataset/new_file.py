"""A new file that a format's writer fills, group by group, until it is durable.

In     groups of rows.
Out    the file, and once it is durable its size and SHA-256.
Never  overwrites a file; leaves a file open, whatever happens.
Raises OSError: the file exists already, or cannot be written; the error names the file.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypedDict

from sftprep.system.files import sha256_of


class FileInfo(TypedDict):
    """What the manifest says about every file."""

    bytes: int
    sha256: str


class GroupWriter(Protocol):
    """Writes groups of rows to one open file."""

    def write(self, group: Any) -> None:
        """Write a group of rows."""
        ...

    def close(self) -> None:
        """Write the end of the data, such as a footer; leave the file object open."""
        ...


class NewFile:
    """A file that is being written. It is closed at the end of a ``with`` block.

    Args:
        path: the file to create.
        new_writer: returns the writer for an empty, open file.
    """

    def __init__(self, path: Path, new_writer: Callable[[BinaryIO], GroupWriter]) -> None:
        self._path = path
        self._is_finished = False
        self._file: BinaryIO = path.open("x+b")
        try:
            self._writer = new_writer(self._file)
        except BaseException:
            self._file.close()
            raise

    def write(self, group: Any) -> None:
        """Write a group of rows."""
        with self._named():
            self._writer.write(group)

    def finish(self) -> FileInfo:
        """Write the end of the file, make it durable, and describe it."""
        with self._named():
            self._writer.close()
            self._is_finished = True
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.seek(0)
            return {"bytes": size, "sha256": sha256_of(self._file)}

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in an error of the system: a failed write does not."""
        try:
            yield
        except OSError as error:
            text = error.strerror or str(error)
            raise OSError(error.errno, text, str(self._path)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_finished:
            with contextlib.suppress(Exception):
                self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()
