"""File systems made for a test, and a run without the rights of root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, in memory; the test is skipped where it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Mount it with other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def powerless() -> list[str]:
    """What to put before a command so that files' modes hold for it, as they do not for root."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed, and modes do not hold for root")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-sys_admin"]
