"""Options and fixtures that every test may use."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from toys import Started

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports transformers or datasets
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer ``--update-golden``."""
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew, to be reviewed"
    )


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What sftprep keeps between runs goes to a folder of the test run's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTPREP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file below the test's own folder, and return its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture(scope="session", autouse=True)
def _hang_up_counts() -> None:
    """Programs that are started answer SIGHUP, also where the tests run under ``nohup``."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator["Started"]:
    """The programs that are started for workers, in order; all have ended in the end."""
    from toys import Started

    from sftprep.engine.local.fork_server import Process

    found, start, born = Started(), subprocess.Popen, Process.born

    def record(command: list[str], **options: Any) -> Any:
        process = start(found.change(len(found), command), **options)
        found.append(process)
        return process

    def hear(worker: Process, pid: int) -> None:
        found.workers.append(pid)
        born(worker, pid)

    monkeypatch.setattr(subprocess, "Popen", record)
    monkeypatch.setattr(Process, "born", hear)
    yield found
    assert [process.returncode for process in found if process.returncode is None] == []
    for pid in found.workers:  # nor is one left, ours or not, or one that nobody has waited for
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
