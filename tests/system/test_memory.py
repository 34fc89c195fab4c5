"""memory: what a process holds, and what glibc does with freed memory."""

import ctypes
import resource
import subprocess
import sys
from mmap import PAGESIZE, mmap
from pathlib import Path

import pytest

from sftprep.system.memory import (
    PAGE_BYTES,
    give_back,
    keep_freed,
    limited,
    resident,
    share_freed,
)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@needs_linux
def test_resident_memory_grows_with_what_the_process_holds() -> None:
    """It grows by the size of the pages that were written to."""
    before = resident()
    with mmap(-1, 64 << 20) as held:  # fresh pages: malloc might reuse freed ones
        for start in range(0, len(held), PAGESIZE):
            held[start] = 1
        assert before + (48 << 20) < resident() < before + (96 << 20)


@needs_linux
def test_resident_memory_is_what_the_kernel_reports() -> None:
    """The value is ``VmRSS`` in the kernel's file, which has it in KiB."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - no more memory
        [line] = [line for line in file if line.startswith("VmRSS:")]
    assert abs(resident() - int(line.split()[1]) * 1024) < 16 << 20
    assert resident() % PAGE_BYTES == 0


def test_without_the_file_the_peak_stands_in() -> None:
    """As ``getrusage`` reports it: in KiB on Linux, in bytes on macOS."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert resident(statm="/nonexistent") >= peak
    assert resident(statm="/nonexistent") < peak + (64 << 20)


FREE_LARGE_BUFFERS = """
import sys
from mmap import PAGESIZE, mmap
from sftprep.system.memory import give_back, keep_freed, resident
if sys.argv[1] == "keep":
    keep_freed()
before = resident()
held = [b"x" * (8 << 20) for _ in range(3)]
del held
kept = resident() - before
give_back()
print(kept >> 20, (resident() - before) >> 20)
"""


def has_glibc() -> bool:
    """Whether the C library has the functions that are used here."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")


@pytest.mark.skipif(not has_glibc(), reason="needs glibc")
@pytest.mark.parametrize("mode", ["keep", "default"])
def test_glibc_keeps_freed_buffers_only_if_told_to(mode: str) -> None:
    """It also gives them back to the system when it is told to."""
    command = [sys.executable, "-c", FREE_LARGE_BUFFERS, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 16 if mode == "keep" else kept < 8
    assert left < 8


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without glibc, the functions do nothing, and nothing fails."""

    def no_library(name: None) -> object:
        raise OSError("no C library")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    keep_freed()
    share_freed()
    give_back()


FREE_IN_A_THREAD = """
import sys
from threading import Thread
from sftprep.system.memory import give_back, resident, share_freed
if sys.argv[1] == "share":
    share_freed()
def work():
    held = [b"x" * (8 << 20) for _ in range(6)]
before = resident()
for _ in range(2):
    thread = Thread(target=work)
    thread.start()
    thread.join()
kept = resident() - before
give_back()
print(kept >> 20, (resident() - before) >> 20)
"""


@pytest.mark.skipif(not has_glibc(), reason="needs glibc")
@pytest.mark.parametrize("mode", ["share", "default"])
def test_what_threads_free_is_kept_if_they_share_it(mode: str) -> None:
    """The next thread uses it again, so that it is kept only once."""
    command = [sys.executable, "-c", FREE_IN_A_THREAD, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert 40 < kept < 64 if mode == "share" else kept < 40
    assert left < 16


@needs_linux
def test_limited(tmp_path: Path) -> None:
    """In the block only so much more memory can be taken; after it, the old limit holds again."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), limited(64 << 20):
        bytearray(1 << 30)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    with limited(64 << 20, str(tmp_path / "none")):  # the size is not known
        assert resource.getrlimit(resource.RLIMIT_AS) == before
