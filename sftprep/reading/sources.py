"""Resolve inputs (files, globs, folders, standard input) to sources, with no file twice.

In     the inputs that the user named.
Out    ``Source``s in the order given; the files of a folder or a glob are sorted.
Never  skips a data file silently: a broken link, a device or an unreadable folder is an error. It
       is also an error to name a file twice, even through a link or with another spelling.
Raises NoInputError, UsageError, StorageError; DataError for a file that changes while it is read.
"""

import glob
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sftprep.data.block import Source
from sftprep.errors import DataError, NoInputError, StorageError, UsageError

ENDINGS = re.compile(r"\.(jsonl|json|ndjson)(\.(gz|zst|bz2|xz))?$", re.IGNORECASE)
ENDINGS_IN_WORDS = ".jsonl, .json and .ndjson, also with .gz, .zst, .bz2 or .xz"
STDIN = "-"


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Resolve files, globs and folders to sources.

    Returns:
        The sources in the order given; those of a folder or a glob sorted by path.

    Raises:
        NoInputError: an input does not exist, or a folder or glob holds no data file.
        UsageError: the same file is given twice, an input is not a file, or standard input is
            closed or a terminal.
        StorageError: a file or folder cannot be read.
    """
    found = [entry for text in inputs for entry in _resolve(text)]
    seen: dict[object, str] = {}
    for path, status in found:
        # Some file systems give files no inode number.
        has_inode = status is not None and status.st_ino
        key = (status.st_dev, status.st_ino) if status and has_inode else os.path.realpath(path)
        if key in seen:
            raise UsageError(
                f"{path}: is the same file as {seen[key]}, and its records would count twice. "
                "Name it once."
            )
        seen[key] = path
    paths = [path for path, _ in found]
    return [Source(path, name) for path, name in zip(paths, _short_names(paths), strict=True)]


def _resolve(text: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield the path and status of each file that an input stands for."""
    if text == STDIN:
        yield text, _stdin_status()
        return
    status = _status(text)
    if status is None and glob.has_magic(text):
        yield from _matches(text)
    elif status is None:
        raise NoInputError(
            f"{text}: no such file or folder. Check the path; - reads standard input."
        )
    elif stat.S_ISDIR(status.st_mode):
        yield from _files_below(text)
    else:
        yield text, _check_kind(text, status)


def _status(path: str) -> os.stat_result | None:
    """Return the status of what a path leads to; None if nothing is there.

    Raises:
        NoInputError: the path is a broken link, or cannot exist.
        StorageError: the path is not accessible.
    """
    try:
        return os.stat(path)  # noqa: PTH116 - Path("") would be the current folder
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114 - as above
            return None
        target = os.readlink(path)  # noqa: PTH115
        raise NoInputError(
            f"{path}: is a symbolic link to {target}, which does not exist. Correct the link."
        ) from None
    except NotADirectoryError:
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise _unreadable(path, error) from error
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise NoInputError(f"{path}: cannot be accessed: {words}. Check the path.") from error


def _check_kind(path: str, status: os.stat_result) -> os.stat_result:
    """Return the status of a file or a FIFO; refuse devices and sockets."""
    mode = status.st_mode
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return status
    kinds = {"a socket": stat.S_ISSOCK, "a device": stat.S_ISCHR, "a disk": stat.S_ISBLK}
    kind = next((name for name, is_kind in kinds.items() if is_kind(mode)), "not a file")
    raise UsageError(
        f"{path}: is {kind}. Name a file, a folder or a FIFO, or pass - for standard input."
    )


def _files_below(folder: str) -> list[tuple[str, os.stat_result | None]]:
    """Return the data files below a folder. Links are followed; no folder is visited twice."""
    found: list[tuple[str, os.stat_result | None]] = []
    visited = set()

    def refuse(error: OSError) -> None:
        raise _unreadable(str(error.filename), error) from error

    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        for name in files:
            if ENDINGS.search(name):
                path = os.path.join(root, name)  # noqa: PTH118 - faster, and there may be many
                if (file_status := _status(path)) is not None:
                    found.append((path, _check_kind(path, file_status)))
    if not found:
        raise NoInputError(f"{folder}: no data file in this folder. Expected {ENDINGS_IN_WORDS}.")
    return sorted(found, key=lambda entry: entry[0])


def _matches(pattern: str) -> list[tuple[str, os.stat_result | None]]:
    found: list[tuple[str, os.stat_result | None]] = []
    for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - may be absolute
        status = _status(path)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            found.append((path, _check_kind(path, status)))
    if not found:
        raise NoInputError(f"{pattern}: no file matches. Check the pattern and the folder.")
    return found


def _stdin_status() -> os.stat_result | None:
    """Return the status of standard input; None if the caller replaced it by another object."""
    if sys.stdin is None or sys.stdin.buffer.closed:
        raise UsageError("-: standard input is closed. Pipe data into it, or name a file.")
    try:
        status = os.fstat(sys.stdin.buffer.fileno())
    except (OSError, ValueError):  # it has no file descriptor
        return None
    if stat.S_ISCHR(status.st_mode) and status.st_rdev != Path(os.devnull).stat().st_rdev:
        kind = "terminal" if sys.stdin.buffer.isatty() else "device"
        raise UsageError(f"-: standard input is a {kind}. Pipe data into it, or name a file.")
    return status


def _unreadable(path: str, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: cannot be read: {error.strerror}. Check the file and its permissions."
    )


def _short_names(paths: list[str]) -> list[str]:
    """Return the shortest ends of the paths that are all different.

    >>> _short_names(["/x/a/train.jsonl", "/x/b/train.jsonl", "/x/b/dev.jsonl"])
    ['a/train.jsonl', 'b/train.jsonl', 'b/dev.jsonl']
    >>> _short_names(["/x/a/train.jsonl", "-"])
    ['train.jsonl', 'stdin']
    """
    folders: dict[str, tuple[str, ...]] = {}
    parts = [("stdin",) if p == STDIN else _real_parts(p, folders) for p in paths]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return [_as_utf8("/".join(p[-depth:])) for p in parts]


def _as_utf8(name: str) -> str:
    r"""Return a name as text for the manifest; a byte that is not UTF-8 is written as an escape.

    >>> _as_utf8("caf\udce9.jsonl")
    'caf\\xe9.jsonl'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _real_parts(path: str, folders: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the parts of a path with all links resolved.

    Args:
        path: the path.
        folders: the parts of the folders that were resolved so far; this function adds to them.
    """
    folder, name = os.path.split(path)
    if not name or name in (".", "..") or os.path.islink(path):  # noqa: PTH114 - faster
        return Path(os.path.realpath(path)).parts
    if folder not in folders:
        folders[folder] = Path(os.path.realpath(folder)).parts
    return (*folders[folder], name)


def size_of(path: str) -> int | None:
    """Return the size of a file as stored; None for a stream or a file that no longer exists."""
    if path == STDIN:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - faster, and there may be many
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a source to read its bytes as stored, and check that it does not change meanwhile.

    Raises:
        StorageError: the file cannot be opened.
        DataError: the file changed while it was read, or was not read to its end.
    """
    if path == STDIN:
        yield sys.stdin.buffer  # not closed: it belongs to the process
        return
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - closed below
    except FileNotFoundError as error:
        raise _changed(path, "it was deleted or moved") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        before = os.fstat(file.fileno())
        _check_kind(path, before)  # it may have been replaced since it was found
        try:
            yield file
        except (DataError, OSError):
            _check_unchanged(path, file, before)  # a change is the better explanation
            raise
        _check_unchanged(path, file, before)
        if stat.S_ISREG(before.st_mode) and file.tell() != before.st_size:
            raise _changed(path, f"it had {before.st_size:,} bytes, and {file.tell():,} were read")


def _check_unchanged(path: str, file: IO[bytes], before: os.stat_result) -> None:
    if not stat.S_ISREG(before.st_mode):
        return
    how = ""
    after = os.fstat(file.fileno())
    try:
        current = Path(path).stat()
    except OSError:
        how = "it was deleted or moved"
    else:
        if (current.st_dev, current.st_ino) != (before.st_dev, before.st_ino):
            how = "another file took its place"
    if after.st_size != before.st_size:
        how = f"it had {before.st_size:,} bytes, and then {after.st_size:,}"
    elif after.st_mtime_ns != before.st_mtime_ns:
        how = how or "it was written to"
    if how:
        raise _changed(path, how)


def _changed(path: str, how: str) -> DataError:
    return DataError(
        f"{path}: changed while it was read: {how}. Run again when nothing writes to it."
    )
