"""Where a dataset is written: privately beside its place, and moved there once it is whole.

In     the output folder; whether an old dataset in it may be replaced.
Out    a private staging folder for one run at a time. It holds the plan and the journal of the run
       and the folder ``dataset``, which takes the output's name in one rename when all of it is
       durable: so a dataset appears complete, or not at all.
Keeps  an old dataset whole and in place until the new one takes its name; after an interruption
       the staging folder, for ``--resume``.
Never  touches a folder that holds anything but a dataset of ours; follows no symbolic link; waits
       for another run.
Raises OutputError (cannot be made, or is no dataset), LockedError (another run), StorageError
       (I/O).

The staging folder is the lock as well: the kernel releases it when its holder ends, however that
comes about. Its name is fixed, so that a later run finds it; one that another user has put there
is refused.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sftprep.dataset.durable import remove, sync
from sftprep.dataset.manifest import MANIFEST
from sftprep.errors import (
    DataError,
    LockedError,
    NoInputError,
    OutputError,
    StorageError,
    UsageError,
)
from sftprep.text import ascii_safe

AT_FDCWD = -100
RENAME_EXCHANGE = 2
HOLDER = "holder"
PLAN = "plan.json"
JOURNAL = "journal.jsonl"
OURS = re.compile(r"train-\d+-of-\d+\.\w+|tokenizer|rejects\.jsonl|dropped\.jsonl|manifest\.json")
MANIFEST_START = b'{\n  "format_version": '
FINAL = (DataError, NoInputError, UsageError)
"""Errors that running again does not cure: nothing is kept for ``--resume``."""


class Output:
    """The output folder and the staging folder beside it."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._full = self.path.absolute()
        self.staging = self._full.parent / f".{self._full.name}.sftprep-staging"
        self.dataset = self.staging / "dataset"
        self._replaces = False  # whether there was a dataset when we looked

    def check(self) -> None:
        """Refuse, before anything is read, an output that cannot be written."""
        path = self.path
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path}: is not a folder. Choose another --output.")
        if path.is_mount():
            raise OutputError(
                f"{path}: is a mount point, which cannot be replaced in one step. Name a folder "
                "inside it."
            )
        self._refuse_foreign()
        self._replaces = self.is_dataset()

    def _refuse_foreign(self) -> None:
        """Refuse an output folder with anything in it that no dataset of ours has."""
        if foreign := self._foreign():
            raise OutputError(
                f"{self.path}: holds files that sftprep did not write ({ascii_safe(foreign)}). "
                "Choose another --output."
            )

    def _foreign(self) -> str:
        """A file in the output folder that no dataset of ours has; "" if there is none."""
        names = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []
        if not names:
            return ""
        for name in names:
            if not OURS.fullmatch(name):
                return name
        if not self.is_dataset():
            return names[0]
        start = (self.path / MANIFEST).read_bytes()[: len(MANIFEST_START)]
        return "" if MANIFEST_START.startswith(start) else MANIFEST

    def check_inputs(self, paths: Iterable[str]) -> None:
        """Refuse inputs in the output, where they would be replaced, and an output in an input.

        Args:
            paths: files, and folders that are searched for files.
        """
        output = self._full.resolve()
        for path in paths:
            real = Path(path).resolve()
            if path == "-":
                continue
            if real.is_relative_to(output) or real.is_relative_to(self.staging.resolve()):
                raise UsageError(
                    f"{path}: lies in the output folder. Move it, or choose another --output."
                )
            if real.is_dir() and output.is_relative_to(real):
                raise UsageError(
                    f"{self.path}: lies in the input folder {path}, and would be read as input "
                    "next time. Choose another --output."
                )

    def is_taken(self) -> bool:
        """Whether there is anything in the output folder."""
        return self.path.is_dir() and any(self.path.iterdir())

    def is_dataset(self) -> bool:
        """Whether the output folder holds a dataset, whole or not."""
        return (self.path / MANIFEST).is_file()

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """The staging folder, for one run at a time.

        Afterwards it is gone, unless the run was interrupted: then ``--resume`` finds it.
        """
        handle = self._claim()
        try:
            self._check_still_free()
            yield self.staging
        except FINAL:
            self._clear()
            raise
        except BaseException as error:
            self._clear_unless_resumable()
            if not isinstance(error, OSError):
                raise
            raise StorageError(
                f"{error.filename or self.path}: cannot be written: {error.strerror}. Nothing was "
                "published; free space or mend the rights, and run again with --resume."
            ) from error
        else:
            self._clear()
        finally:
            with contextlib.suppress(OSError):  # the lock goes in any case
                os.close(handle)

    def _check_still_free(self) -> None:
        """Refuse an output that another run has written between our look and our lock."""
        if self.is_taken() and not self._replaces:
            raise LockedError(
                f"{self.path}: another run has written it meanwhile. Run again to see whether it "
                "is the same, or choose another --output."
            )

    def _claim(self) -> int:
        """Make the staging folder ours until we end; return the descriptor that holds it."""
        try:
            self.staging.parent.mkdir(parents=True, exist_ok=True)
            while True:
                self.staging.mkdir(mode=0o700, exist_ok=True)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                handle = os.open(self.staging, flags)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    os.close(handle)
                    raise self._locked() from error
                if self._owns(handle):
                    break
                os.close(handle)
            self._refuse_links(handle)
            (self.staging / HOLDER).write_text(str(os.getpid()))
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be created: {error.strerror} "
                f"({error.filename or self.staging.parent}). Choose another --output."
            ) from error
        return handle

    def _owns(self, handle: int) -> bool:
        """Whether the descriptor is still the staging folder, and ours alone."""
        held = os.fstat(handle)
        try:
            named = self.staging.lstat()
        except FileNotFoundError:
            return False  # a run that ended between our open and our lock took it away
        if held.st_uid != os.geteuid() or held.st_mode & 0o077:
            os.close(handle)
            raise OutputError(
                f"{self.staging}: was not made by sftprep for this user alone. Remove it, or "
                "choose another --output."
            )
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def _refuse_links(self, handle: int) -> None:
        """What is in the staging folder is written to: it must not lie elsewhere."""
        for path in self.staging.rglob("*"):
            if path.is_symlink():
                os.close(handle)
                raise OutputError(
                    f"{path}: is a symbolic link, which sftprep never makes. Remove the folder "
                    f"{self.staging}."
                )

    def _locked(self) -> LockedError:
        holder, patience = "", 10
        while not holder and patience:  # it has the lock a moment before it says who it is
            with contextlib.suppress(OSError):
                holder = (self.staging / HOLDER).read_text().strip()
            if not holder:
                time.sleep(0.02)
            patience -= 1
        holder = holder or "unknown"
        return LockedError(
            f"{self.path}: another run (process {holder}) is writing it. Wait for it, or choose "
            "another --output."
        )

    def tidy(self) -> None:
        """Remove what a run left that was killed after it had published."""
        if self.staging.is_dir():
            with contextlib.suppress(LockedError, OutputError):
                handle = self._claim()
                self._clear()
                os.close(handle)

    def begin(self) -> None:
        """Forget what another run left: an empty staging folder."""
        for path in self.staging.iterdir():
            if path.name == HOLDER:
                continue
            remove(path)
        self.dataset.mkdir()
        sync(self.staging)

    def publish(self) -> None:
        """Give the staged dataset the output's name, in one step; all its files are durable."""
        for folder in [p for p in self.dataset.rglob("*") if p.is_dir()]:
            sync(folder)
        self.dataset.chmod(0o777 & ~_umask())
        sync(self.dataset)
        if self._replaces and self.is_dataset():
            self._refuse_foreign()  # put there meanwhile
            _exchange(self.dataset, self._full)
        else:
            self._take_place()
        sync(self._full.parent)

    def _take_place(self) -> None:
        """Rename to a new name, or over an empty folder, but not over one that has been filled."""
        try:
            self.dataset.rename(self._full)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise OutputError(
                f"{self.path}: has been filled by something else meanwhile; nothing was published. "
                "Empty it and run again with --resume, or choose another --output."
            ) from error

    def _clear_unless_resumable(self) -> None:
        journal = self.staging / JOURNAL
        if not (journal.is_file() and journal.stat().st_size):
            self._clear()

    def _clear(self) -> None:
        """Remove the staging folder; what cannot be removed is in nobody's way."""
        shutil.rmtree(self.staging, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders' names at once; where the system cannot, one after the other."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    arguments = (AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE)
    if rename is not None and rename(*arguments) == 0:
        return
    aside = new.with_name(new.name + "-old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
