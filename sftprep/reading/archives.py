"""Files in ZIP and tar archives, read by name without unpacking anything to disk.

In     an open archive; the name of a member, or a pattern.
Out    the names of the members that are meant; the bytes of a member, as if it had been extracted.
Keeps  memory small. What an archive says about sizes is not trusted: the bytes are counted as they
       are read.
Never  chooses between several data files: the user names those that are meant.
Raises NoInputError: there is no such member. UsageError: it is not clear which members are meant.
       DataError: the archive is damaged, encrypted, or expands too much.
"""

import errno
import fnmatch
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, cast

from sftprep.errors import DataError, NoInputError, SftprepError, UsageError
from sftprep.reading.decompression import check_expansion, decompressed, read_error
from sftprep.reading.endings import IS_DATA, IS_DATA_IN_WORDS
from sftprep.reading.limits import Limits
from sftprep.reading.streams import StoredStream
from sftprep.text import ascii_safe, did_you_mean, number

SHOWN = 5
"""How many names a message lists."""
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError,
    NotImplementedError, RuntimeError, ValueError, IndexError, OverflowError,
)  # fmt: skip
"""What the libraries raise for archives that are damaged, encrypted or made in rare ways."""


def choose(file: IO[bytes], path: str, wanted: str) -> list[str]:
    """Return the names of the members that an input stands for, sorted.

    Args:
        file: the archive, at its start.
        path: its path, for messages.
        wanted: a name; or a pattern with ``*``, ``?`` or ``[``; or "" for the only data file.
    """
    counts = Counter(_names(file, path))
    names = sorted(counts)
    if wanted and wanted in counts:
        found = [wanted]
    elif any(character in wanted for character in "*?["):
        found = [n for n in names if fnmatch.fnmatchcase(n, wanted) and not _is_hidden(n)]
    elif wanted:
        raise NoInputError(
            f"{path}: has no member {ascii_safe(wanted)}. "
            f"{did_you_mean(wanted, names, f'It has {_list(names)}.')}"
        )
    else:
        found = [name for name in names if IS_DATA.search(name) and not _is_hidden(name)]
        if len(found) > 1:
            raise UsageError(
                f"{path}: holds {number(len(found), 'data file')}: {_list(found)}. Name one, as "
                f"{path}::{found[0]}, or several with a pattern, as '{path}::*'."
            )
    if not found:
        what = f"no member matches {ascii_safe(wanted)}" if wanted else "no data file in it"
        raise NoInputError(
            f"{path}: {what}; it has {_list(names)}. "
            f"{'Check the pattern' if wanted else f'Expected {IS_DATA_IN_WORDS}'}."
        )
    if twice := [name for name in found if counts[name] > 1]:
        raise DataError(f"{path}: has two members {ascii_safe(twice[0])}. Make the archive again.")
    return found


def _list(names: list[str]) -> str:
    more = len(names) - SHOWN
    shown = ", ".join(map(ascii_safe, names[:SHOWN])) or "nothing"
    return f"{shown} and {more:,} more" if more > 0 else shown


def _is_hidden(name: str) -> bool:
    """Return True for hidden files and folders, and for what macOS adds to archives."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)


def _names(file: IO[bytes], path: str) -> Iterator[str]:
    """Yield the names of the files in an archive."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield from (info.filename for info in archive.infolist() if not info.is_dir())
        else:
            with _tar(file, path, Limits()) as members:
                yield from (member.name for member in members if member.isreg())
                _check_end(members, path)
    except DAMAGE as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise _unreadable(path, error, file) from error


def _check_end(members: tarfile.TarFile, path: str) -> None:
    """Refuse a tar archive without end mark: it may have had more members."""
    assert members.fileobj is not None
    if members.fileobj.tell() < members.offset + tarfile.BLOCKSIZE:
        raise _damaged(path, "its end mark is missing")


@contextmanager
def opened_member(file: IO[bytes], path: str, name: str, limits: Limits) -> Iterator[IO[bytes]]:
    """Open a member to read its bytes as if it had been extracted.

    Args:
        file: the archive, at its start.
        path: its path, for messages.
        name: the name of the member.
        limits: how much the archive may expand.
    """
    with ExitStack() as stack:
        try:
            member = _member(file, path, name, limits, stack)
        except DAMAGE as error:
            raise _damaged(path, error) from error
        except OSError as error:
            raise _unreadable(path, error, file) from error
        if member is None:
            raise DataError(f"{path}: has no member {ascii_safe(name)} any more. Run again.")
        yield cast("IO[bytes]", member)


def _member(
    file: IO[bytes], path: str, name: str, limits: Limits, stack: ExitStack
) -> "_Member | None":
    """Open a member; what has to be closed later goes on the stack. None if there is no member."""
    if zipfile.is_zipfile(file):
        archive = stack.enter_context(zipfile.ZipFile(file))
        if name not in archive.namelist():
            return None
        info = archive.getinfo(name)
        opened = stack.enter_context(archive.open(info))
        return _Member(opened, path, info.compress_size, limits)
    for entry in (members := stack.enter_context(_tar(file, path, limits))):
        if entry.name == name and entry.isreg():
            return _Member(members.extractfile(entry), path, None, limits)
    return None


def _tar(file: IO[bytes], path: str, limits: Limits) -> tarfile.TarFile:
    """Open a tar archive, compressed or not."""
    file.seek(0)
    stored = StoredStream(file)
    stored.is_hashing = False
    plain = decompressed(stored, path, limits)
    if plain is stored:  # members can be found without reading those before them
        file.seek(0)
        return tarfile.open(fileobj=file, mode="r:")
    return tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|")


class _Member(io.RawIOBase):
    """Reads a member, and raises an error if it is damaged or expands too much.

    Args:
        file: the member, as the library of the archive opens it.
        path: the path of the archive, for messages.
        stored: the member's size in the archive; None if another object watches the expansion.
        limits: how much it may expand.
    """

    def __init__(
        self, file: IO[bytes] | None, path: str, stored: int | None, limits: Limits
    ) -> None:
        super().__init__()
        assert file is not None  # only regular members are opened
        self._file = file
        self._path = path
        self._stored = stored
        self._limits = limits
        self._bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        try:
            data = self._file.read(size)
        except DAMAGE as error:
            raise _damaged(self._path, error) from error
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise _damaged(self._path, error) from error
            raise
        self._bytes += len(data)
        if self._stored is not None:
            check_expansion(self._bytes, self._stored, self._path, self._limits)
        return data


def _unreadable(path: str, error: OSError, file: IO[bytes]) -> SftprepError:
    """Return the error for an archive that cannot be read.

    A position in the archive that cannot be right makes the system refuse to seek there.
    """
    if error.errno == errno.EINVAL:
        return _damaged(path, error)
    return read_error(path, error, file.tell())


def _damaged(path: str, error: Exception | str) -> DataError:
    what = ascii_safe(str(error))
    if isinstance(error, RuntimeError) and "encrypted" in what:
        return DataError(f"{path}: the archive is encrypted. Unpack it first.")
    return DataError(f"{path}: the archive is damaged or incomplete ({what}). Fetch it again.")
