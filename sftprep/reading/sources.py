"""Resolve inputs (files, globs, folders, archives, standard input) to sources, no file twice.

In     the inputs that the user named.
Out    ``Found``: ``Source``s in the order given, those of a folder, a glob or an archive sorted;
       and notes on what was skipped.
Never  skips a data file silently: a broken link, a device or an unreadable folder is an error, and
       hidden files and folders are noted. It is also an error to name a file twice, even through a
       link or with another spelling.
Raises NoInputError, UsageError, StorageError; DataError for a file that changes while it is read.
"""

import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from sftprep.data.block import Source
from sftprep.errors import DataError, NoInputError, StorageError, UsageError
from sftprep.reading import saved_datasets
from sftprep.reading.endings import IS_ARCHIVE, IS_DATA, IS_DATA_IN_WORDS
from sftprep.reading.limits import Limits
from sftprep.text import ascii_safe

STDIN = "-"
SEPARATOR = "::"
"""Between an archive and the name of a member."""
NAMED = 3
"""How many skipped or empty files a note names."""


class Found(NamedTuple):
    """The sources that some inputs stand for."""

    sources: list[Source]
    notes: list[str]  # sentences on what was skipped, and on empty files


class _Entry(NamedTuple):
    """A file that an input stands for."""

    path: str  # of a member, with its archive
    status: os.stat_result | None  # of the file on disk; None if it cannot be known
    member: str = ""


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Resolve files, globs, folders and archives to sources; see ``find_inputs``."""
    return find_inputs(inputs).sources


def find_inputs(inputs: Sequence[str]) -> Found:
    """Resolve files, globs, folders and archives to sources.

    Returns:
        The sources in the order given; those of a folder, a glob or an archive sorted by path.

    Raises:
        NoInputError: an input does not exist, or a folder, glob or archive holds no data file.
        UsageError: the same file is given twice, an input is not a file, or standard input is
            closed or a terminal; or an archive or a saved ``DatasetDict`` holds several files or
            splits, and the input does not say which is meant.
        StorageError: a file or folder cannot be read.
    """
    hidden: list[str] = []
    found = [entry for text in inputs for entry in _resolve(text, hidden)]
    seen: dict[object, str] = {}
    for path, status, member in found:
        # Some file systems give files no inode number.
        has_inode = status is not None and status.st_ino
        key = (status.st_dev, status.st_ino) if status and has_inode else os.path.realpath(path)
        if (key, member) in seen:
            raise UsageError(
                f"{path}: is the same file as {seen[key, member]}, and its records would count "
                "twice. Name it once."
            )
        seen[key, member] = path
    names = _short_names([(entry.path, entry.member) for entry in found])
    sources = [Source(e.path, name, e.member) for e, name in zip(found, names, strict=True)]
    notes = []
    if hidden:
        what = "hidden file or folder" if len(hidden) == 1 else "hidden files or folders"
        notes.append(f"{len(hidden):,} {what} skipped ({_some(hidden)}).")
    if empty := [entry.path for entry in found if _is_empty(entry)]:
        notes.append(f"{_some(empty)}: empty; the download may have failed.")
    return Found(sources, notes)


def _is_empty(entry: _Entry) -> bool:
    status = entry.status
    return (
        status is not None
        and not entry.member
        and stat.S_ISREG(status.st_mode)
        and not status.st_size
    )


def _some(paths: Sequence[str]) -> str:
    """Return a few paths for a note."""
    rest = len(paths) - NAMED
    named = ", ".join(map(ascii_safe, paths[:NAMED]))
    return f"{named} and {rest:,} more" if rest > 0 else named


def _resolve(text: str, hidden: list[str]) -> Iterator[_Entry]:
    """Yield the files that an input stands for; add to ``hidden`` what a folder hides."""
    if text == STDIN:
        yield _Entry(text, _stdin_status())
        return
    status = _status(text)
    archive, separator, wanted = text.partition(SEPARATOR)
    if status is None and separator and (in_archive := _status(archive)) is not None:
        yield from _members(archive, _check_kind(archive, in_archive), wanted)
    elif status is None and glob.has_magic(text):
        yield from _matches(text)
    elif status is None:
        raise NoInputError(
            f"{text}: no such file or folder. Check the path; - reads standard input."
        )
    elif stat.S_ISDIR(status.st_mode):
        yield from _files_below(text, hidden)
    elif IS_ARCHIVE.search(text) and stat.S_ISREG(status.st_mode):
        yield from _members(text, status, "")
    else:
        yield _Entry(text, _check_kind(text, status))


def _members(archive: str, status: os.stat_result, wanted: str) -> Iterator[_Entry]:
    """Yield the members of an archive that an input names.

    Args:
        archive: the path of the archive.
        status: its status.
        wanted: the name of a member, or a pattern; "" for the only data file.
    """
    from sftprep.reading import archives  # loads libraries that only archives need

    with _opened_file(archive) as (file, _):
        names = archives.choose(file, archive, wanted)
    for name in names:
        yield _Entry(f"{archive}{SEPARATOR}{name}", status, name)


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


def _files_below(folder: str, hidden: list[str]) -> list[_Entry]:
    """Return the data files below a folder. Links are followed; no folder is visited twice.

    Args:
        folder: the folder.
        hidden: the paths of hidden data files and hidden folders are added to it.
    """
    found: list[_Entry] = []
    visited = set()

    def refuse(error: OSError) -> None:
        raise _unreadable(str(error.filename), error) from error

    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        skipped = [name for name in folders if name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        saved = saved_datasets.data_files(root, folders, files)
        if saved is not None:
            folders.clear()
        for name in saved if saved is not None else files:
            if name in saved_datasets.ABOUT or not IS_DATA.search(name):
                continue
            path = os.path.join(root, name)  # noqa: PTH118 - faster, and there may be many
            if name.startswith("."):
                skipped.append(name)
            elif (file_status := _status(path)) is not None:
                found.append(_Entry(path, _check_kind(path, file_status)))
        hidden += [os.path.join(root, name) for name in sorted(skipped)]  # noqa: PTH118
    if not found:
        raise NoInputError(f"{folder}: no data file in this folder. Expected {IS_DATA_IN_WORDS}.")
    return sorted(found, key=lambda entry: entry.path)


def _matches(pattern: str) -> list[_Entry]:
    found: list[_Entry] = []
    for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - may be absolute
        status = _status(path)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            found.append(_Entry(path, _check_kind(path, status)))
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


def _short_names(paths: Sequence[tuple[str, str]]) -> list[str]:
    """Return the shortest ends of the paths that are all different.

    Args:
        paths: paths; of a member of an archive also its name, which is the end of its path.

    >>> _short_names([("/x/a/train.jsonl", ""), ("/x/b/train.jsonl", ""), ("/x/b/dev.jsonl", "")])
    ['a/train.jsonl', 'b/train.jsonl', 'b/dev.jsonl']
    >>> _short_names([("/x/a.zip::train.jsonl", "train.jsonl"), ("-", "")])
    ['train.jsonl', 'stdin']
    """
    folders: dict[str, tuple[str, ...]] = {}
    parts = [
        ("stdin",)
        if path == STDIN
        else (*_real_parts(path.removesuffix(f"{SEPARATOR}{member}"), folders), *member.split("/"))
        if member
        else _real_parts(path, folders)
        for path, member in paths
    ]
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


def size_of(source: Source) -> int | None:
    """Return the size of a source as stored; None for a stream or a file that no longer exists.

    The size of a member of an archive is not known before it is read.
    """
    if source.path == STDIN or source.member:
        return None
    try:
        status = os.stat(source.path)  # noqa: PTH116 - faster, and there may be many
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def opened(
    source: Source,
    limits: Limits = Limits(),  # noqa: B008 - it is immutable
) -> Iterator[IO[bytes]]:
    """Open a source to read its bytes as stored, and check that it does not change meanwhile.

    Args:
        source: a file, standard input, or a member of an archive: its bytes as if extracted.
        limits: how much an archive may expand.

    Raises:
        StorageError: the file cannot be opened.
        DataError: the file changed while it was read, or was not read to its end; the archive is
            damaged.
    """
    path = source.file
    if path == STDIN:
        yield sys.stdin.buffer  # not closed: it belongs to the process
    elif source.member:
        from sftprep.reading import archives

        with (
            _opened_file(path) as (file, _),
            archives.opened_member(file, path, source.member, limits) as member,
        ):
            yield member
    else:
        with _opened_file(path) as (file, before):
            yield file
            if stat.S_ISREG(before.st_mode) and file.tell() != before.st_size:
                raise _changed(
                    path, f"it had {before.st_size:,} bytes, and {file.tell():,} were read"
                )


@contextmanager
def _opened_file(path: str) -> Iterator[tuple[IO[bytes], os.stat_result]]:
    """Open a file, and check that it does not change before it is closed."""
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
            yield file, before
        except (DataError, OSError):
            _check_unchanged(path, file, before)  # a change is the better explanation
            raise
        _check_unchanged(path, file, before)


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
