"""New files that a format's writer fills, group by group, until they are durable.

In     groups of rows.
Out    the files, and once they are durable the size and SHA-256 of each.
Never  overwrites a file; leaves a file open, whatever happens.
Raises OSError: a file exists already, or cannot be written; the error names the file, or the first
       one of those that the writer fills together.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
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
    """Writes groups of rows to open files."""

    def write(self, group: Any) -> None:
        """Write a group of rows."""
        ...

    def close(self) -> None:
        """Write the end of the data, such as a footer; leave the file objects open."""
        ...


class NewFiles:
    """Files that one writer fills. They are closed at the end of a ``with`` block.

    Args:
        paths: the files to create.
        new_writer: returns the writer for empty, open files.
    """

    def __init__(self, paths: Sequence[Path], new_writer: Callable[..., GroupWriter]) -> None:
        self._path = paths[0]
        self._is_finished = False
        self._files: list[BinaryIO] = []
        try:
            for path in paths:
                self._files.append(path.open("x+b"))
            self._writer = new_writer(*self._files)
        except BaseException:
            self._close()
            raise

    def write(self, group: Any) -> None:
        """Write a group of rows."""
        with self._named():
            self._writer.write(group)

    def finish(self) -> list[FileInfo]:
        """Write the ends of the files, make them durable, and describe them."""
        with self._named():
            self._writer.close()
            self._is_finished = True
            return list(map(_finished, self._files))

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
        self._close()

    def _close(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()


def _finished(file: BinaryIO) -> FileInfo:
    file.flush()
    os.fsync(file.fileno())
    size = file.tell()
    file.seek(0)
    return {"bytes": size, "sha256": sha256_of(file)}
