"""The output folder, and the staging folder next to it, in which a dataset is built.

In     the path of the output folder.
Out    a private staging folder, which one run at a time can use; in the end the finished dataset in
       the output folder, which appears complete or not at all.
Keeps  an old dataset complete and in place until the new one takes its name. Keeps the staging
       folder after an interruption, for ``--resume``.
Never  touches an output folder that holds, at any depth, anything but a dataset written by sftprep
       and what readers leave in one; follows a symbolic link that is the output or lies in it;
       waits for another run.
Raises OutputError: the output folder cannot be created, or holds something else.
       LockedError: another run is writing it.
       UsageError: an input lies in the output folder, or the output folder in an input folder.
       StorageError: the system failed to write.

The staging folder of the output ``out``::

    .out.sftprep-staging/      mode 0700, locked with flock by the run that uses it
        holder                 the process ID of that run, for messages
        identity.json          what decides the bytes of the dataset (written by dataset.journal)
        journal.jsonl          one line for each finished shard      (written by dataset.journal)
        rows/                  only to be arranged: the staged shards, tokens and index of each
        arranged.jsonl         one line for each arranged shard      (by dataset.arranged_shards)
        dataset/               renamed to the output folder in the end; see dataset.files
            data/shard-00000   renamed to data/train-00000-of-00004.parquet in the end, or to
                               where the format has its shards
            index/shard-00000  renamed to index/train-00000-of-00004.parquet in the end
            rejects.jsonl, dropped.jsonl, tokenizer/, manifest.json

The commit protocol. At the end of each step, everything that it wrote is durable (``fsync``):

1. The run locks the staging folder. It empties the folder, or takes over an interrupted run.
2. It writes ``identity.json``, and then an empty ``journal.jsonl``.
3. For each shard it writes its file, its index and the ledgers, and then its journal line.
4. It gives the shards their final names, saves the tokenizer, writes the files that describe the
   shards and the card, and ``manifest.json`` last.
   It syncs the folders of the dataset.
5. It renames ``dataset`` to the output folder. If an old dataset is there, the two exchange names.
6. It removes the staging folder, with the old dataset in it.

What is left after a crash:

- before step 2 is done: nothing that can be resumed. The next run starts over.
- in step 3: every shard with a complete journal line. ``--resume`` continues after these.
- in step 4: all shards. ``--resume`` checks them and repeats only step 4.
- after step 5: the complete new dataset. The next run removes the staging folder. A run that finds
  nothing to do removes only that: it keeps what an interrupted run of another dataset has left.

Until step 5 the output folder does not change. Step 5 is one system call, unless the system cannot
exchange two names: then it is two renames, and for a moment there is no output folder.

The lock is on the staging folder itself, so the kernel releases it whenever the run ends, even if
it is killed. The folder's name is fixed, so that a later run finds it. A staging folder that
belongs to another user, or that other users may access, is an error.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftprep.dataset.durable import read_object, read_objects, remove, sync
from sftprep.dataset.files import MANIFEST, is_ours
from sftprep.dataset.leftovers import is_left_folder, left_in
from sftprep.dataset.manifest import Manifest
from sftprep.errors import (
    ArrangementError,
    DataError,
    LockedError,
    NoInputError,
    OutputError,
    StorageError,
    UsageError,
)
from sftprep.system.rename import exchange
from sftprep.text import ascii_safe

DATASET = "dataset"
HOLDER = "holder"
IDENTITY = "identity.json"
JOURNAL = "journal.jsonl"
ARRANGED = "arranged.jsonl"
STAGED = "rows"
MANIFEST_START = b'{\n  "format_version": '
"""The first bytes of every manifest that sftprep writes."""
FIRST_WITH_FOLDERS = 7
"""The first format version of a dataset whose shards are in a folder of their own."""
NOT_RESUMABLE = (DataError, NoInputError, UsageError)
"""Errors that ``--resume`` would only raise again, so the staging folder is not kept."""


class OutputFolder:
    """The output folder of a run, and the staging folder next to it.

    Args:
        path: the path of the output folder, as the user gave it.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        absolute = self.path.absolute()
        if absolute.name in ("", ".."):
            self._absolute = Path(os.path.realpath(absolute))
        else:
            # Links on the way to the folder are followed here, once. A link that is the folder
            # itself is not followed: ``check`` refuses it.
            self._absolute = Path(os.path.realpath(absolute.parent)) / absolute.name
        self.staging = self._absolute.parent / f".{self._absolute.name}.sftprep-staging"
        self.dataset = self.staging / DATASET
        self.leftovers: dict[str, str] = {}
        """What readers have left in the dataset that ``check`` found: path -> the program."""
        self._had_dataset = False  # True if ``check`` found a dataset
        self._published = False

    def check(self) -> None:
        """Raise an error if the output folder cannot be written. Call this before reading input.

        Raises:
            OutputError: it is not a folder, is a mount point or the current folder, or holds files
                of other programs.
        """
        path = self.path
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path}: is not a folder. Choose another --output.")
        if self._absolute.is_mount():
            raise OutputError(
                f"{path}: is a mount point, which cannot be replaced in one step. Name a folder "
                "inside it."
            )
        if self._holds_current_folder():
            raise OutputError(
                f"{path}: is the current folder, or holds it. The new dataset takes the place of "
                "this folder, which is then removed. Change to another folder first, or choose "
                "another --output."
            )
        self._refuse_foreign_files()
        self._had_dataset = self.is_dataset()

    def _holds_current_folder(self) -> bool:
        """Return True if the output folder is the current folder, or one that it lies in."""
        try:
            current = Path(os.path.realpath(Path.cwd()))
        except OSError:  # it was removed
            return False
        return current.is_relative_to(self._absolute)

    def _refuse_foreign_files(self) -> None:
        """Raise an error if the output folder holds anything but a dataset."""
        if foreign := self._foreign_file():
            raise OutputError(
                f"{self.path}: holds files that sftprep did not write ({ascii_safe(foreign)}). "
                "Choose another --output."
            )

    def _foreign_file(self) -> str:
        """Return the path of a file that sftprep did not write; "" if there is none."""
        names = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []
        if not names:
            return ""
        is_dataset = self.is_dataset()
        data = (self.path / MANIFEST).read_bytes() if is_dataset else b""
        self.leftovers = {}
        tokenizer_files, is_old = _tokenizer_files(data), _version(data) < FIRST_WITH_FOLDERS
        for path in _paths_below(self.path):
            name, is_folder = str(path.relative_to(self.path)), _is_real_folder(path)
            is_known = is_ours(
                name,
                is_folder=is_folder,
                tokenizer_files=tokenizer_files,
                format_name=_format(data),
                is_old=is_old,
            )
            if not is_known and not (is_dataset and self._is_leftover(path, name)):
                return name
        if not is_dataset:
            return names[0]
        # A manifest that ends too early is a damaged manifest of sftprep, not a foreign file.
        return "" if MANIFEST_START.startswith(data[: len(MANIFEST_START)]) else MANIFEST

    def _is_leftover(self, path: Path, name: str) -> bool:
        """Note a file that a reader has left in the dataset; return False for any other path."""
        if _is_real_folder(path):
            return is_left_folder(name)
        program = left_in(path, name)
        if program:
            self.leftovers[name] = program
        return bool(program)

    def check_inputs(self, paths: Iterable[str]) -> None:
        """Raise an error if an input lies in the output folder, or the output folder in an input.

        The run would replace such an input, or read its own output next time.

        Args:
            paths: input files, and input folders that are searched for files.

        Raises:
            UsageError: an input lies in the output folder, or the output in an input folder.
        """
        output = Path(os.path.realpath(self._absolute))
        staging = Path(os.path.realpath(self.staging))
        for path in paths:
            if path == "-":
                continue
            real = Path(os.path.realpath(path))
            if real.is_relative_to(output) or real.is_relative_to(staging):
                raise UsageError(
                    f"{path}: lies in the output folder. Move it, or choose another --output."
                )
            if real.is_dir() and output.is_relative_to(real):
                raise UsageError(
                    f"{self.path}: lies in the input folder {path}, and would be read as input "
                    "next time. Choose another --output."
                )

    def is_dataset(self) -> bool:
        """Return True if the output folder has a manifest, damaged or not."""
        return (self.path / MANIFEST).is_file()

    def _is_filled(self) -> bool:
        """Return True if the output folder holds anything."""
        return self.path.is_dir() and any(self.path.iterdir())

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Lock the staging folder for this run, and yield its path.

        At the end the folder is removed, unless the run was interrupted and can be resumed.

        Raises:
            LockedError: another run is writing this output, or has just written it.
            OutputError: the folder cannot be created, or is not safe to use.
            StorageError: the run failed with an ``OSError``.
        """
        handle = self._claim()
        try:
            self._check_still_free()
            yield self.staging
        except ArrangementError:
            self._clear_unless_resumable()
            raise
        except NOT_RESUMABLE:
            self._clear()
            raise
        except BaseException as error:
            if self._published:
                self._clear()
            else:
                self._clear_unless_resumable()
            if not isinstance(error, OSError):
                raise
            if self._published:
                raise StorageError(
                    f"{self.path}: the dataset is there and complete, but it may be lost if the "
                    f"machine crashes now: {error.filename or 'the system'}: {error.strerror}. Run "
                    "sftprep verify on it later, or build it again on another disk."
                ) from error
            raise StorageError(
                f"{error.filename or self.path}: cannot be written: {error.strerror}. Nothing was "
                "published. Free disk space or correct the permissions, and run again with "
                "--resume."
            ) from error
        else:
            self._clear()
        finally:
            with contextlib.suppress(OSError):  # the lock is released even if close fails
                os.close(handle)

    def _check_still_free(self) -> None:
        """Raise an error if another run wrote the output between ``check`` and our lock."""
        if self._is_filled() and not self._had_dataset:
            raise LockedError(
                f"{self.path}: another run has written it in the meantime. Run again to see "
                "whether it is the same dataset, or choose another --output."
            )

    def _claim(self) -> int:
        """Create and lock the staging folder; return the descriptor that holds the lock."""
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
                if self._is_current(handle):
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

    def _is_current(self, handle: int) -> bool:
        """Check that the locked folder is still the staging folder.

        Args:
            handle: the descriptor of the locked folder.

        Returns:
            False if another run removed the folder after we opened it and before we locked it.

        Raises:
            OutputError: the folder is not private to this user.
        """
        held = os.fstat(handle)
        try:
            named = self.staging.lstat()
        except FileNotFoundError:
            return False
        if held.st_uid != os.geteuid() or held.st_mode & 0o077:
            os.close(handle)
            raise OutputError(
                f"{self.staging}: belongs to another user, or other users may access it; sftprep "
                "makes its staging folder for this user alone. Remove it, or choose another "
                "--output."
            )
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def _refuse_links(self, handle: int) -> None:
        """Raise an error if the staging folder has symbolic links: a run would follow them."""
        for path in self.staging.rglob("*"):
            if path.is_symlink():
                os.close(handle)
                raise OutputError(
                    f"{path}: is a symbolic link, which sftprep never makes. Remove the folder "
                    f"{self.staging}."
                )

    def _locked(self) -> LockedError:
        """Return an error that names the process that holds the lock."""
        holder, tries = "", 10
        while not holder and tries:  # a run writes its process ID just after it has taken the lock
            with contextlib.suppress(OSError):
                holder = (self.staging / HOLDER).read_text().strip()
            if not holder:
                time.sleep(0.02)
            tries -= 1
        holder = holder or "unknown"
        return LockedError(
            f"{self.path}: another run (process {holder}) is writing it. Wait for it, or choose "
            "another --output."
        )

    def remove_leftovers(self, manifest: Manifest) -> int:
        """Remove the staging folder of a run that was killed after it had published its dataset.

        What a run has left that was interrupted earlier stays, because it can be resumed.

        Args:
            manifest: of the dataset in the output folder.

        Returns:
            The number of finished shards that stay.
        """
        if not self.staging.is_dir():
            return 0
        with contextlib.suppress(LockedError, OutputError):
            handle = self._claim()
            try:
                if not self._is_published(manifest):
                    return self.finished_shards()
                self._clear()
            finally:
                os.close(handle)
        return 0

    def _is_published(self, manifest: Manifest) -> bool:
        """Return True if the run that left the staging folder has published its dataset.

        Publishing takes the folder ``dataset`` away, or puts the old dataset in its place.

        Args:
            manifest: of the dataset in the output folder.
        """
        if not self.dataset.is_dir():
            return True
        journal = self._finished()
        if not journal:
            return True  # nothing was finished, so there is nothing to resume
        identity_file = self.staging / IDENTITY
        if not (self.dataset / MANIFEST).is_file() or not identity_file.is_file():
            return False
        published = manifest.identity() | {"inputs": [entry["name"] for entry in manifest.inputs]}
        arranged = sorted(read_objects(self.staging / ARRANGED), key=lambda entry: entry["name"])
        written = [entry.get("shard") for entry in arranged or journal]
        shards = sorted(manifest.shards, key=lambda s: s["name"]) if arranged else manifest.shards
        return read_object(identity_file.read_bytes()) == published and [
            shard["sha256"] for shard in written if isinstance(shard, dict)
        ] == [shard["sha256"] for shard in shards]

    def finished_shards(self) -> int:
        """Return how many finished shards an interrupted run has left in the staging folder."""
        if not (self.staging / IDENTITY).is_file():
            return 0
        return len(self._finished())

    def _finished(self) -> list[dict[str, Any]]:
        """Return the lines of all finished shards: those of the first half, if there are any."""
        return read_objects(self.staging / JOURNAL) or read_objects(self.staging / ARRANGED)

    def begin(self) -> None:
        """Start over: remove what an interrupted run may have left in the staging folder."""
        for path in self.staging.iterdir():
            if path.name == HOLDER:
                continue
            remove(path)
        self.dataset.mkdir()
        sync(self.staging)

    def publish(self) -> None:
        """Rename the staged dataset to the output folder, in one step.

        All files of the dataset must be durable already. The old dataset, if there was one, is in
        the staging folder afterwards.

        Raises:
            OutputError: another program has put files into the output folder since ``check``.
        """
        for folder in [p for p in self.dataset.rglob("*") if p.is_dir()]:
            sync(folder)
        self.dataset.chmod(0o777 & ~_umask())
        sync(self.dataset)
        if self._had_dataset and self.is_dataset():
            self._refuse_foreign_files()
            _replace(self.dataset, self._absolute)
        else:
            self._take_free_name()
        self._published = True
        sync(self._absolute.parent)

    def _take_free_name(self) -> None:
        """Rename the dataset to the output folder, which must not exist or must be empty."""
        try:
            self.dataset.rename(self._absolute)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise OutputError(
                f"{self.path}: another program has put files into it in the meantime; nothing was "
                "published. Empty it and run again with --resume, or choose another --output."
            ) from error

    def _clear_unless_resumable(self) -> None:
        """Remove the staging folder, unless at least one shard is finished."""
        journals = (self.staging / JOURNAL, self.staging / ARRANGED)
        if not any(path.is_file() and path.stat().st_size for path in journals):
            self._clear()

    def _clear(self) -> None:
        """Remove the staging folder. If something cannot be removed, a later run tries again.

        The journal goes first: without it there is nothing to resume, so whatever a kill leaves of
        the folder is removed by the next run.
        """
        with contextlib.suppress(OSError):
            (self.staging / JOURNAL).unlink()
        shutil.rmtree(self.staging, ignore_errors=True)


def _is_real_folder(path: Path) -> bool:
    """Return True for a folder, False for a symbolic link to one."""
    return path.is_dir() and not path.is_symlink()


def _paths_below(folder: Path) -> Iterator[Path]:
    """Yield everything in a folder, sorted, a folder before its content; follow no link."""
    for path in sorted(folder.iterdir()):
        yield path
        if _is_real_folder(path):
            yield from _paths_below(path)


def _version(manifest: bytes) -> int:
    """Return the format version of a manifest; 0 if it ends before that."""
    found = re.match(re.escape(MANIFEST_START) + rb"(\d+)", manifest)
    return int(found[1]) if found else 0


def _tokenizer_files(manifest: bytes) -> set[str]:
    """Return the tokenizer's files that a manifest names; empty if it is damaged."""
    tokenizer = read_object(manifest).get("tokenizer")
    files = tokenizer.get("files") if isinstance(tokenizer, dict) else None
    return set(files) if isinstance(files, dict) else set()


def _format(manifest: bytes) -> str:
    """Return the format that a manifest names; "" if it is damaged."""
    recipe = read_object(manifest).get("recipe")
    return str(recipe.get("format", "")) if isinstance(recipe, dict) else ""


def _umask() -> int:
    """Return the umask of the process, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _replace(new: Path, old: Path) -> None:
    """Rename the folder ``new`` to ``old``. The old folder moves to the parent of the new one.

    If the system cannot exchange two names, this takes two renames, and for a moment no folder has
    the name ``old``.
    """
    if exchange(new, old):
        return
    aside = new.with_name(new.name + "-old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
