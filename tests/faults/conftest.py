"""Fixtures of the fault suite, and its counts at the end of a test run."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.counts import COUNTS, summary
from faults.harness import FULL, Case, World, prepare_argv, tree, write_records
from faults.processes import Forks, Run, reaped

SOURCE_BYTES = 300_000


def pytest_configure(config: pytest.Config) -> None:
    """Create the folder of the counts; processes that are started later inherit its name."""
    if COUNTS not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="sftprep-faults-")
        os.environ[COUNTS] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts."""
    if lines := summary():
        terminalreporter.section("faults" + (", full" if FULL else ""))
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def world(_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The input, the dataset of an undisturbed run, and the process that forks runs."""
    import sys

    folder = tmp_path_factory.mktemp("world")
    source = write_records(folder / "in.jsonl", SOURCE_BYTES)
    argv = prepare_argv(source, folder / "out", 1)
    with reaped(Run([sys.executable, "-m", "sftprep", *argv], folder)) as run:
        ran = run.ended()
    assert ran.code == 0, ran.err
    reference = tree(folder / "out")
    assert len([name for name in reference if name.startswith("data/train-")]) >= 6
    forks = Forks(prepare_argv(source, folder / "warm", 1))
    yield World(folder, source, reference, forks)
    forks.close()


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    """A folder for one run."""
    return Case(world, tmp_path)


@pytest.fixture
def new_case(world: World, tmp_path: Path) -> Callable[[], Case]:
    """A function that returns a folder for another run."""

    def make() -> Case:
        number = sum(1 for _ in tmp_path.iterdir())
        folder = tmp_path / f"case-{number}"
        folder.mkdir()
        return Case(world, folder)

    return make
