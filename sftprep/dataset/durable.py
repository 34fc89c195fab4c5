"""Durable writes, which survive a crash of the machine, and how to read what a crash has left.

A write is durable once ``fsync`` has returned for the file and for the folder that contains it.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import orjson


def read_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one if the data is damaged."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON Lines, such as a journal, that a run may have left.

    Returns:
        The objects up to the first line that is incomplete or damaged; none if there is no file.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    objects = list(map(read_object, lines))
    return objects[: objects.index({})] if {} in objects else objects


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole file, and replace an existing one.

    After a crash the file has either its old content or the complete new content. A new file name
    is durable only after ``sync`` was called for the folder.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content. A symbolic link is removed, not followed.

    Raises:
        OSError: something cannot be removed; the error names ``path``.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable.

    Raises:
        OSError: the system failed to write; the error names ``path``. Do not try again: the kernel
            reports a failed write only once, so a second ``fsync`` would wrongly succeed.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)
