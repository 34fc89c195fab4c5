"""Where a dataset is written: privately beside its place, and moved there once it is whole.

In     the output folder and whether an old dataset in it may be replaced.
Out    a private staging folder; after ``publish`` the output folder holds the dataset.
Keeps  an old dataset whole and in place until the new one takes its name, in one rename.
Never  touches a folder that holds anything but a dataset of ours; never follows a half-written one.
Raises OutputError (exists, or is no dataset), LockedError (another run), StorageError (I/O).
"""

import ctypes
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sftprep.errors import LockedError, OutputError, StorageError
from sftprep.manifest import MANIFEST

AT_FDCWD = -100
RENAME_EXCHANGE = 2


class Output:
    """The output folder and the staging folder beside it."""

    def __init__(self, path: str, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        full = self.path.absolute()
        self.staging = full.parent / f".{full.name}.sftprep-staging"
        self._lock = full.parent / f".{full.name}.sftprep-lock"

    def check(self) -> None:
        """Refuse, before anything is read, an output that cannot be written."""
        path = self.path
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path}: is not a folder. Choose another --output.")
        if not path.is_dir() or not any(path.iterdir()):
            return
        if not (path / MANIFEST).is_file():
            raise OutputError(
                f"{path}: holds files that sftprep did not write. Choose another --output."
            )
        if not self._overwrite:
            raise OutputError(
                f"{path}: already holds a dataset. Choose another --output, or pass --overwrite."
            )

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A fresh staging folder, for one run at a time; gone afterwards unless published."""
        self.check()
        with ExitStack() as stack:
            try:
                self.staging.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self._locked())
                shutil.rmtree(self.staging, ignore_errors=True)
                self.staging.mkdir(mode=0o700)
            except OSError as error:
                raise OutputError(
                    f"{self.path}: cannot be created: {error.strerror} "
                    f"({error.filename or self.staging.parent}). Choose another --output."
                ) from error
            stack.callback(shutil.rmtree, self.staging, ignore_errors=True)
            try:
                yield self.staging
            except OSError as error:
                raise StorageError(
                    f"{error.filename or self.path}: cannot be written: {error.strerror}. "
                    "Nothing was published; free space or mend the rights, and run again."
                ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a lock that the kernel releases when this process ends, however it ends."""
        while True:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
                os.close(handle)
                raise LockedError(
                    f"{self.path}: another run (process {holder}) is writing it. Wait for it, or "
                    "choose another --output."
                ) from error
            # A run that ended between our open and our lock took the file's name with it.
            if self._lock.exists() and os.fstat(handle).st_ino == self._lock.stat().st_ino:
                break
            os.close(handle)
        try:
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            yield
        finally:
            self._lock.unlink(missing_ok=True)
            os.close(handle)

    def publish(self) -> None:
        """Make the staged files durable and give them the output's name, in one step."""
        for path in sorted(self.staging.rglob("*")):
            _sync(path)
        _sync(self.staging)
        self.staging.chmod(0o777 & ~_umask())
        if self.path.is_dir() and any(self.path.iterdir()):
            _exchange(self.staging, self.path.absolute())
        else:
            self.staging.rename(self.path.absolute())
        _sync(self.path.absolute().parent)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders' names at once; where the system cannot, one after the other."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    arguments = (AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE)
    if rename is not None and rename(*arguments) == 0:
        return
    aside = new.with_name(new.name + "-old")
    old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)
