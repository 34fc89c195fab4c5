"""A dataset's files, opened so that nothing outside its folder is ever read.

In     the folder, which may be anybody's.
Out    what lies in it; plain files, open for reading.
Never  follows a symbolic link, waits for a pipe, or takes a name from the manifest for a path: only
       what was found by looking is opened.
Raises StorageError: the system failed to read.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Set
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from sftprep.errors import StorageError
from sftprep.verify.report import Report

FILE = "a file"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Facts(NamedTuple):
    """What decides a file."""

    bytes: int
    sha256: str


class Folder:
    """A folder that is not trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, names: Set[str]) -> dict[str, str]:
        """Everything in the folder and its sub-folders, by path from here, and what it is.

        Args:
            names: the files that are known; other folders than theirs are not looked into.
        """
        inside = {str(parent) for name in names for parent in Path(name).parents}
        found: dict[str, str] = {}
        waiting = [""]
        while waiting:
            prefix = waiting.pop()
            with self._opened(prefix, os.O_DIRECTORY) as handle, os.scandir(handle) as entries:
                kinds = {prefix + entry.name: _kind(entry) for entry in entries}
            folders = {n for n, kind in kinds.items() if kind == "a folder" and n in inside}
            waiting += [name + "/" for name in folders]
            found |= {name: kind for name, kind in kinds.items() if name not in folders}
        return dict(sorted(found.items()))

    @contextmanager
    def open(self, name: str) -> Iterator[BufferedReader]:
        """Open a file that ``entries`` named."""
        with self._opened(name) as handle:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StorageError(f"{self.path / name}: is no file any more. Run again.")
            with os.fdopen(os.dup(handle), "rb") as file:
                yield file

    def facts(self, name: str) -> Facts:
        """A file's size and SHA-256."""
        with self.open(name) as file:
            return facts_of(file)

    @contextmanager
    def _opened(self, name: str, flags: int = 0) -> Iterator[int]:
        """A handle, reached by one step after the other so that no link is followed."""
        handle = -1
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            steps = [step for step in name.split("/") if step]
            for index, step in enumerate(steps):
                more = flags if index == len(steps) - 1 else os.O_DIRECTORY
                above, handle = handle, os.open(step, _FLAGS | more, dir_fd=handle)
                os.close(above)
            yield handle
        except OSError as error:
            raise StorageError(
                f"{self.path / name}: cannot be read: {error.strerror}. Check its rights, and "
                "that the disk is sound."
            ) from error
        finally:
            if handle >= 0:
                os.close(handle)


def facts_of(file: BufferedReader) -> Facts:
    """Size and SHA-256 of an open file, which is at its start again afterwards."""
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.tell()
    file.seek(0)
    return Facts(size, sha256)


def check_facts(name: str, found: Facts, expected: Facts, report: Report) -> None:
    """Note a file that is another than the manifest says."""
    if found.bytes != expected.bytes:
        report.add(name, f"has {found.bytes:,} bytes; the manifest says {expected.bytes:,}")
    elif found.sha256 != expected.sha256:
        report.add(name, f"SHA-256 is {found.sha256}; the manifest says {expected.sha256}")


def _kind(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return "a symbolic link"
    if entry.is_dir(follow_symlinks=False):
        return "a folder"
    return FILE if entry.is_file(follow_symlinks=False) else "no file"
