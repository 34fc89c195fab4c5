"""Open the files of a dataset without ever reading outside its folder.

In     a folder that anybody may have made, so it is not trusted.
Out    the names of everything in it; its regular files, open for reading.
Never  follows a symbolic link, blocks on a pipe, or opens a path only because the manifest names
       it: a file is opened only after it was found by listing the folder.
Raises StorageError: a folder or file cannot be read.
"""

import os
import stat
from collections.abc import Iterator, Set
from contextlib import contextmanager
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from sftprep.dataset.leftovers import START_BYTES, is_left_folder, left_by
from sftprep.errors import StorageError
from sftprep.system.files import sha256_of
from sftprep.verify.report import Report

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class EntryKind(StrEnum):
    """The kinds of entries in a folder, as messages name them."""

    FILE = "a file"
    FOLDER = "a folder"
    LINK = "a symbolic link"
    SPECIAL = "a special file (a pipe, socket or device)"


class FileDigest(NamedTuple):
    """The size and the hash of a file: what the manifest records of it."""

    bytes: int
    sha256: str  # in hexadecimal


class DatasetFolder:
    """The folder of a dataset, which is not trusted.

    Args:
        path: the path of the folder. Links in it are followed, because the caller chose the path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, names: Set[str]) -> dict[str, EntryKind]:
        """List what the folder and its subfolders contain.

        Args:
            names: paths relative to the folder. The contents of a subfolder are listed only if it
                leads to one of these paths, or if readers make it; any other one is one entry.

        Returns:
            Path relative to the folder -> kind of the entry, sorted by path.
        """
        parents = {str(parent) for name in names for parent in Path(name).parents}
        found: dict[str, EntryKind] = {}
        waiting = [""]
        while waiting:
            prefix = waiting.pop()
            with self._opened(prefix, os.O_DIRECTORY) as handle, os.scandir(handle) as entries:
                kinds = {prefix + entry.name: _kind(entry) for entry in entries}
            folders = {
                name
                for name, kind in kinds.items()
                if kind is EntryKind.FOLDER and (name in parents or is_left_folder(name))
            }
            waiting += [f"{name}/" for name in folders]
            found |= {name: kind for name, kind in kinds.items() if name not in folders}
        return dict(sorted(found.items()))

    @contextmanager
    def open(self, name: str) -> Iterator[BufferedReader]:
        """Open a file that ``entries`` found."""
        with self._opened(name) as handle:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StorageError(
                    f"{self.path / name}: is no longer a regular file. Run verify again when "
                    "nothing writes to the dataset."
                )
            with os.fdopen(os.dup(handle), "rb") as file:
                yield file

    def left_by(self, name: str) -> str:
        """Return the program that has left a file that ``entries`` found; "" if none has."""

        def start() -> bytes:
            with self.open(name) as file:
                return file.read(START_BYTES)

        return left_by(name, start)

    def digest(self, name: str) -> FileDigest:
        """Return the size and SHA-256 of a file that ``entries`` found."""
        with self.open(name) as file:
            return digest_of(file)

    @contextmanager
    def _opened(self, name: str, flags: int = 0) -> Iterator[int]:
        """Open a path one folder at a time, so that no link in it is followed."""
        handle = -1
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            steps = [step for step in name.split("/") if step]
            for index, step in enumerate(steps):
                step_flags = flags if index == len(steps) - 1 else os.O_DIRECTORY
                parent, handle = handle, os.open(step, _FLAGS | step_flags, dir_fd=handle)
                os.close(parent)
            yield handle
        except OSError as error:
            raise StorageError(
                f"{self.path / name}: cannot be read: {error.strerror}. Check its permissions and "
                "the disk."
            ) from error
        finally:
            if handle >= 0:
                os.close(handle)


def digest_of(file: BufferedReader) -> FileDigest:
    """Return the size and SHA-256 of an open file, and go back to its start."""
    sha256 = sha256_of(file)
    size = file.tell()
    file.seek(0)
    return FileDigest(size, sha256)


def check_digest(
    report: Report, name: str, found: FileDigest, sha256: str, size: int | None = None
) -> None:
    """Add a problem if a file is not the one that the manifest describes.

    Args:
        report: the problem is added to it.
        name: the name of the file.
        found: the digest of the file.
        sha256: the SHA-256 in the manifest.
        size: the size in the manifest, in bytes; None if the manifest has no size for this file.
    """
    if size is not None and found.bytes != size:
        report.add(name, f"has {found.bytes:,} bytes; the manifest says {size:,}")
    elif found.sha256 != sha256:
        report.add(name, f"SHA-256 is {found.sha256}; the manifest says {sha256}")


def _kind(entry: "os.DirEntry[str]") -> EntryKind:
    if entry.is_symlink():
        return EntryKind.LINK
    if entry.is_dir(follow_symlinks=False):
        return EntryKind.FOLDER
    return EntryKind.FILE if entry.is_file(follow_symlinks=False) else EntryKind.SPECIAL
