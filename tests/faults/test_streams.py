"""Standard streams that are closed or full: a result that cannot be printed is no success."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import Case, assert_reported, tree, write_records
from faults.processes import Ran, Run, reaped

pytestmark = pytest.mark.faults


def closed_pipe() -> int:
    """Return the writing end of a pipe whose reading end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full() -> int:
    """Open a device that is always full."""
    return os.open("/dev/full", os.O_WRONLY)


def run_with(case: Case, make: Callable[[], int], stream: str, *more: str) -> Ran:
    """Run with the file that ``make`` opens as a standard stream."""
    handle = make()
    try:
        return case.run(*more, **{stream: handle})
    finally:
        os.close(handle)


def run_shell(case: Case, redirect: str, *more: str) -> Ran:
    """Run from a shell that redirects or closes a stream."""
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-m", "sftprep"]
    with reaped(Run([*command, *case.argv(*more)], case.folder)) as run:
        return run.ended()


@pytest.mark.parametrize("flag", ["--json", "--on-error=fail"], ids=["json", "summary"])
def test_reader_has_gone(case: Case, flag: str) -> None:
    """As with ``| head -c 0``: the exit code is that of SIGPIPE, and there is no message."""
    ran = run_with(case, closed_pipe, "stdout", flag)
    assert (ran.code, ran.err) == (141, "")
    case.settle(ran)


@pytest.mark.parametrize("flag", ["--json", "--on-error=fail"], ids=["json", "summary"])
def test_stdout_is_full(case: Case, flag: str) -> None:
    """If the summary cannot be written, the run ends with an error."""
    ran = run_with(case, full, "stdout", flag)
    assert ran.code == 74, ran
    assert "No space left on device" in ran.err
    case.settle(ran)


def test_stdout_is_full_but_not_needed(case: Case) -> None:
    """With ``--quiet`` there is nothing to print, and the run succeeds."""
    ran = run_with(case, full, "stdout", "--quiet")
    assert ran.code == 0, ran
    case.settle(ran)


@pytest.mark.parametrize("flag", ["--json", "--on-error=fail"], ids=["json", "summary"])
def test_stdout_is_closed(case: Case, flag: str) -> None:
    """With ``>&-``, a file that the run opens must not be taken for stdout."""
    ran = run_shell(case, ">&-", flag)
    assert ran.code == 74, ran
    assert_reported(ran)
    case.settle(ran)


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_other_streams(case: Case, redirect: str) -> None:
    """Without stdin or stderr a good run still succeeds."""
    ran = run_shell(case, redirect)
    assert ran.code == 0, ran
    assert "8 shards" in ran.out
    count("faults")
    case.assert_complete()


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_errors_keep_their_codes(case: Case, redirect: str) -> None:
    """The exit code says bad data, even if the message cannot be printed."""
    case.source = case.folder / "bad.jsonl"
    case.source.write_text("no json\n")
    ran = run_shell(case, redirect)
    count("faults")
    assert ran.code == 65, ran
    assert "Traceback" not in ran.err
    assert not case.out.exists()
    assert not case.staging.exists()


def test_head(case: Case) -> None:
    """In a real pipe, a reader takes one byte and closes its end."""
    command = " ".join([sys.executable, "-m", "sftprep", *case.argv("--json")])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    count("faults")
    assert (done.returncode, done.stdout, done.stderr) in [(0, "{", ""), (141, "{", "")]
    case.assert_complete()


# --- standard input -------------------------------------------------------------------------------


@pytest.fixture
def from_stdin(case: Case) -> Case:
    """A run that reads standard input, with the dataset of an undisturbed one."""
    case.source = Path("-")
    with case.world.source.open("rb") as file:
        assert case.run(stdin=file).code == 0
    case.reference = tree(case.out)
    case.clear()
    return case


def test_stdin_is_closed(case: Case) -> None:
    """With ``<&-`` the message names standard input."""
    case.source = Path("-")
    ran = run_shell(case, "<&-")
    count("faults")
    assert ran.code in {2, 66, 74}, ran
    assert_reported(ran)
    assert "standard input" in ran.err or "stdin" in ran.err, ran.err
    assert not case.out.exists()


def test_stdin_is_slow(from_stdin: Case) -> None:
    """The writer is slow, and its writes end anywhere in a record."""
    case = from_stdin
    data = case.world.source.read_bytes()
    reader, writer = os.pipe()
    run = case.start(stdin=reader)
    os.close(reader)
    with reaped(run), os.fdopen(writer, "wb", buffering=0) as file:
        for start in range(0, len(data), 70_001):
            file.write(data[start : start + 70_001])
        file.close()
        ran = run.ended()
    assert ran.code == 0, ran
    count("faults")
    case.assert_complete()


def test_stdin_can_be_resumed(from_stdin: Case) -> None:
    """A run can be resumed if standard input gives the same bytes again."""
    case = from_stdin
    whole = write_records(case.folder / "in.jsonl", 2_500_000)
    with whole.open("rb") as file:
        assert case.run(stdin=file).code == 0
    case.reference = tree(case.out)
    case.clear()
    reader, writer = os.pipe()
    run = case.start(stdin=reader)
    os.close(reader)
    with reaped(run), os.fdopen(writer, "wb", buffering=0) as file:
        file.write(whole.read_bytes()[:2_000_000])
        journal = case.staging / "journal.jsonl"
        until = time.monotonic() + 30
        while not (journal.exists() and journal.read_bytes()) and time.monotonic() < until:
            time.sleep(0.01)
        assert journal.read_bytes()
        run.process.kill()
        assert run.ended().code == -9
    count("faults")
    count("kills")
    with whole.open("rb") as file:
        ran = case.run("--resume", stdin=file)
    assert ran.code == 0, ran
    case.assert_complete()
