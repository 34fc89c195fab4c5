"""Inputs -> sources: files, globs, folders and standard input, each of them once.

In     what the user named.
Out    ``Source``s in that order; what a folder or a glob stands for is sorted.
Never  leaves out a data file without a word: a broken link, a device or a folder that cannot be
       looked into is an error. Two names of one file are one too, be they links or spellings.
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
KINDS = ".jsonl, .json and .ndjson, also with .gz, .zst, .bz2 or .xz"
STDIN = "-"


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Resolve files, globs and folders to sources, in the order given; folders and globs sorted.

    Raises:
        NoInputError: an input does not exist, or a folder or glob holds no JSON file.
        UsageError: the same file is given twice, an input is nothing that holds data, or standard
            input is closed or a terminal.
        StorageError: a folder cannot be looked into.
    """
    found = [entry for text in inputs for entry in _expand(text)]
    seen: dict[object, str] = {}
    for path, status in found:
        # Some file systems do not number their files.
        numbered = status is not None and status.st_ino
        key = (status.st_dev, status.st_ino) if status and numbered else os.path.realpath(path)
        if key in seen:
            raise UsageError(
                f"{path}: is the same file as {seen[key]}, and its records would count twice. "
                "Name it once."
            )
        seen[key] = path
    paths = [path for path, _ in found]
    return [Source(path, name) for path, name in zip(paths, _short_names(paths), strict=True)]


def _expand(text: str) -> Iterator[tuple[str, os.stat_result | None]]:
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
        yield text, _readable(text, status)


def _status(path: str) -> os.stat_result | None:
    """What a path leads to; None where there is nothing of that name.

    Raises:
        NoInputError: a link that leads nowhere.
        StorageError: it cannot be looked at.
    """
    try:
        return os.stat(path)  # noqa: PTH116 - as Path, "" would be the current folder
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114 - any text may come here
            return None
        target = os.readlink(path)  # noqa: PTH115
        raise NoInputError(
            f"{path}: is a symbolic link to {target}, which does not exist. Correct the link."
        ) from None
    except NotADirectoryError:
        return None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, PermissionError):
            raise _unreadable(path, error) from error
        raise NoInputError(f"{path}: cannot be looked at: {words}. Check the path.") from error


def _readable(path: str, status: os.stat_result) -> os.stat_result:
    """The status of something that has an end."""
    mode = status.st_mode
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return status
    kinds = {"a socket": stat.S_ISSOCK, "a device": stat.S_ISCHR, "a disk": stat.S_ISBLK}
    kind = next((name for name, is_kind in kinds.items() if is_kind(mode)), "no file")
    raise UsageError(
        f"{path}: is {kind}. Name a file, a folder or a FIFO, or pass - for standard input."
    )


def _files_below(folder: str) -> list[tuple[str, os.stat_result | None]]:
    """The data files in a folder and its folders, through links too, but each folder once."""
    found: list[tuple[str, os.stat_result | None]] = []
    known = set()

    def refuse(error: OSError) -> None:
        raise _unreadable(str(error.filename), error) from error

    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in known:
            folders.clear()
            continue
        known.add((status.st_dev, status.st_ino))
        for name in files:
            if ENDINGS.search(name):
                path = os.path.join(root, name)  # noqa: PTH118 - there may be many
                if (there := _status(path)) is not None:
                    found.append((path, _readable(path, there)))
    if not found:
        raise NoInputError(f"{folder}: no data file in this folder. Looked for {KINDS}.")
    return sorted(found, key=lambda entry: entry[0])


def _matches(pattern: str) -> list[tuple[str, os.stat_result | None]]:
    found: list[tuple[str, os.stat_result | None]] = []
    for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - absolute ones too
        status = _status(path)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            found.append((path, _readable(path, status)))
    if not found:
        raise NoInputError(f"{pattern}: no file matches. Check the pattern and the folder.")
    return found


def _stdin_status() -> os.stat_result | None:
    if sys.stdin is None or sys.stdin.buffer.closed:
        raise UsageError("-: standard input is closed. Pipe data into it, or name a file.")
    try:
        status = os.fstat(sys.stdin.buffer.fileno())
    except (OSError, ValueError):  # not a file of the system: a caller's own object
        return None
    if stat.S_ISCHR(status.st_mode) and status.st_rdev != Path(os.devnull).stat().st_rdev:
        kind = "terminal" if sys.stdin.buffer.isatty() else "device"
        raise UsageError(f"-: standard input is a {kind}. Pipe data into it, or name a file.")
    return status


def _unreadable(path: str, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot be read: {error.strerror}. Check the file and its rights.")


def _short_names(paths: list[str]) -> list[str]:
    """The shortest ends of the paths that tell them apart.

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
    return ["/".join(p[-depth:]) for p in parts]


def _real_parts(path: str, folders: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The parts of a path without links; each folder is looked at once."""
    folder, name = os.path.split(path)
    if not name or name in (".", "..") or os.path.islink(path):  # noqa: PTH114 - there may be many
        return Path(os.path.realpath(path)).parts
    if folder not in folders:
        folders[folder] = Path(os.path.realpath(folder)).parts
    return (*folders[folder], name)


def size_of(path: str) -> int | None:
    """The size of a file as stored; None of a stream, or of what is not there any more."""
    if path == STDIN:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - there may be many
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A source's bytes as stored; a file must be the same at the end as at the start.

    Raises:
        StorageError: it cannot be opened.
        DataError: the file changed while it was read, or was not read to its end.
    """
    if path == STDIN:
        yield sys.stdin.buffer  # not ours to close
        return
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - closed below
    except FileNotFoundError as error:
        raise _changed(path, "it was deleted or moved") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        before = os.fstat(file.fileno())
        _readable(path, before)  # it may be something else by now
        try:
            yield file
        except (DataError, OSError):
            _check_unchanged(path, file, before)  # that may be why
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
        there = Path(path).stat()
    except OSError:
        how = "it was deleted or moved"
    else:
        if (there.st_dev, there.st_ino) != (before.st_dev, before.st_ino):
            how = "another file took its place"
    if after.st_size != before.st_size:
        how = f"it had {before.st_size:,} bytes, and then {after.st_size:,}"
    elif after.st_mtime_ns != before.st_mtime_ns:
        how = how or "it was written to"
    if how:
        raise _changed(path, how)


def _changed(path: str, how: str) -> DataError:
    return DataError(
        f"{path}: changed while it was read: {how}. Run again once nothing changes it."
    )
