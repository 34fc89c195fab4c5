"""linux: processes that end with their parent, and parents of orphans."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import pytest

from sftprep.system.linux import (
    PR_GET_CHILD_SUBREAPER,
    PR_SET_CHILD_SUBREAPER,
    Subreaper,
    die_with_parent,
    is_orphan,
)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


def setting() -> int:
    """Whether this process is a subreaper, as the kernel knows it."""
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    return found.value


@needs_linux
@pytest.mark.parametrize("before", [0, 1])
def test_the_setting_is_restored_by_the_last_of_its_users(before: int) -> None:
    """The setting stays on as long as one of them needs it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, before, 0, 0, 0)
    subreaper = Subreaper()
    try:
        assert subreaper.acquire()
        assert subreaper.acquire()
        assert setting() == 1
        subreaper.release()
        assert setting() == 1
        subreaper.release()
        assert setting() == before
        assert subreaper.acquire()  # it can be acquired again
        assert setting() == 1
        subreaper.release()
        assert setting() == before
    finally:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@needs_linux
def test_a_subreaper_becomes_the_parent_of_orphans() -> None:
    """It can wait for a grandchild whose parent has ended."""
    subreaper = Subreaper()
    assert subreaper.acquire()
    code = "import os, sys\npid = os.fork()\nprint(pid, flush=True) if pid else sys.exit(7)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, status = os.waitpid(int(done.stdout), 0)
    subreaper.release()
    assert os.waitstatus_to_exitcode(status) == 7


def test_other_systems_grant_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told, and nothing fails."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not Subreaper().acquire()
    assert not die_with_parent()


def test_a_process_is_an_orphan_when_its_parent_is_another_one() -> None:
    """The parent's process id is compared."""
    assert not is_orphan(os.getppid())
    assert is_orphan(os.getpid())


CHILD = """
import time
from sftprep.system.linux import die_with_parent
print(die_with_parent(), flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), flush=True)
time.sleep(60)
"""


@needs_linux
def test_a_process_dies_with_its_parent_if_it_has_asked_for_that() -> None:
    """The kernel kills it with SIGKILL as soon as its parent has ended."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, granted = parent.stdout.readline().split()
        subreaper = Subreaper()
        assert subreaper.acquire()  # to learn how the child ends
        parent.kill()
        parent.wait()
        until = time.monotonic() + 10
        while not (found := os.waitpid(int(pid), os.WNOHANG))[0] and time.monotonic() < until:
            time.sleep(0.01)
        subreaper.release()
    assert granted == "True"
    assert os.waitstatus_to_exitcode(found[1]) == -signal.SIGKILL
