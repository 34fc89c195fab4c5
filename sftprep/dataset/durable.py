"""Files that survive a crash."""

import os
import shutil
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole file, so that it has either its old content or all of the new."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def remove(path: Path) -> None:
    """Remove a file or a whole folder; an error names it."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync(path: Path) -> None:
    """Make a file or a folder durable. A failure is final: a second fsync would say all is well."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)
