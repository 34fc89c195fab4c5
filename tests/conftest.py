"""Options and fixtures for all tests."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import profiles  # noqa: F401 - makes the profiles known before the command line chooses one
import pytest

if TYPE_CHECKING:
    from toys import Started

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports transformers or datasets
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--update-golden``."""
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files; review the changes"
    )


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the test run its own folder for what sftprep caches between runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTPREP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let ``fsync`` return at once in this process, where no test can cut the power.

    A small run waits for the disk longer than it works. That it waits where it must is checked by
    tests of their own, and by the fault suite, whose runs are processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # it refuses what is no open file, like the original
        yield


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Return a function that writes a file below the test's own folder and returns its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture(scope="session", autouse=True)
def _signals_count() -> None:
    """Let child processes receive signals, also if the tests run in the background of a script."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Restore the handlers that a command run in this process has replaced."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator["Started"]:
    """The worker programs that are started, in order; none of their processes outlives the test."""
    from toys import Started

    from sftprep.engine.local.fork_server import WorkerProcess

    found, start, note_ready = Started(), subprocess.Popen, WorkerProcess.note_ready

    def record_start(command: list[str], **options: Any) -> Any:
        process = start(found.change(len(found), command), **options)
        found.append(process)
        return process

    def record_ready(worker: WorkerProcess, pid: int) -> None:
        found.workers.append(pid)
        note_ready(worker, pid)
        found.on_ready(pid)

    monkeypatch.setattr(subprocess, "Popen", record_start)
    monkeypatch.setattr(WorkerProcess, "note_ready", record_ready)
    yield found
    assert [process.returncode for process in found if process.returncode is None] == []
    for pid in found.workers:  # neither alive nor a zombie
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
