"""The common parts of the fault tests: a folder for each run, ways to run, and the checks.

In     Command lines of ``sftprep``, as a user would type them; faults come from outside.
Out    The exit code and the output of each run. ``Case.settle`` checks what a fault has left.
Never  Looks into the program: only files, exit codes, messages and processes count.
"""

import json
import os
import random
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from faults.counts import count
from faults.processes import Forks, Ran, Run, reaped

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
TOKENIZER = SAMPLE_DATA / "tokenizer"
FULL = os.environ.get("SFTPREP_FAULTS") == "full"
SHARD_SIZE = "40KB"
Tree = dict[str, bytes]


def tree(folder: Path) -> Tree:
    """Return every file below a folder, by its relative path; nothing if there is no folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_records(path: Path, size: int, *, seed: int = 0) -> Path:
    """Write at least ``size`` bytes of sample records, no two of them alike."""
    lines = (SAMPLE_DATA / "prompt_completion.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    choose = random.Random(seed)
    written = number = 0
    with path.open("w") as file:
        while written < size:
            record = dict(choose.choice(records))
            record["prompt"] = f"{number}: {record['prompt']}"
            written += file.write(json.dumps(record) + "\n")
            number += 1
    return path


# --- a case and its checks ------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What all cases share: the input, and the dataset of an undisturbed run."""

    folder: Path
    source: Path
    reference: Tree = field(repr=False)
    forks: Forks


@dataclass
class Case:
    """The folder of a run, and its command."""

    world: World
    folder: Path
    options: tuple[str, ...] = ()
    workers: int = 1
    source: Path | None = None
    reference: Tree = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.out = self.folder / "out"
        self.staging = self.folder / ".out.sftprep-staging"
        self.reference = self.reference or self.world.reference

    def with_options(self, *options: str, workers: int | None = None) -> Self:
        """Return the same folder with other options."""
        workers = workers or self.workers
        return type(self)(
            self.world, self.folder, options, workers, self.source, dict(self.reference)
        )

    def argv(self, *more: str) -> list[str]:
        """Return the arguments of ``sftprep``."""
        source = self.source or self.world.source
        return [*prepare_argv(source, self.out, self.workers), *self.options, *more]

    def start(self, *more: str, **options: Any) -> Run:
        """Start a run as a new process."""
        return Run([sys.executable, "-m", "sftprep", *self.argv(*more)], self.folder, **options)

    def run(self, *more: str, **options: Any) -> Ran:
        """Run a new process to its end."""
        with reaped(self.start(*more, **options)) as run:
            return run.ended()

    def fork(self, *more: str, **request: Any) -> Ran:
        """Run a fork to its end (faster than a new process)."""
        return self.command(*self.argv(*more), **request)

    def command(self, *argv: str, **request: Any) -> Ran:
        """Run any command of ``sftprep`` as a fork, to its end."""
        pid = self.world.forks.start(list(argv), self.folder, **request)
        return self.world.forks.ended(pid, self.folder)

    def assert_complete(self) -> None:
        """Assert that the output is the dataset of an undisturbed run, and nothing else is left."""
        assert_equal(tree(self.out), self.reference)
        assert not self.staging.exists(), "the staging folder is left beside a complete dataset"

    def settle(self, ran: Ran, *, before: Tree | None = None, resume: bool = True) -> None:
        """Check what a fault has left, then run again and check that the dataset is complete.

        Args:
            ran: the result of the run that met the fault.
            before: the dataset that was there, if the run was to replace one.
            resume: whether the second run has ``--resume``.
        """
        count("faults")
        assert_reported(ran)
        found = tree(self.out)
        if ran.code == 0 or (found and found != before):
            assert_equal(found, self.reference)
        again = self.fork(*(("--resume",) if resume else ()))
        assert again.code == 0, f"after {ran}: {again}"
        self.assert_complete()

    def clear(self) -> None:
        """Remove what the run has written."""
        for folder in (self.out, self.staging):
            shutil.rmtree(folder, ignore_errors=True)


def prepare_argv(source: Path, out: Path, workers: int) -> list[str]:
    """Return the arguments of a plain ``prepare`` with shards of a few dozen records."""
    paths = ["prepare", str(source), "--output", str(out), "--tokenizer", str(TOKENIZER)]
    return [*paths, "--shard-size", SHARD_SIZE, "--workers", str(workers)]


def assert_reported(ran: Ran) -> None:
    """Assert that a run that failed has printed a message; a killed one cannot."""
    assert "Traceback" not in ran.err, ran.err
    if ran.code > 0 and ran.code != 141:
        assert ran.err.strip(), f"exit {ran.code} without a message"
    assert ran.code != 70 or "worker" in ran.err, ran.err


def assert_equal(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> None:
    """Assert that two trees are the same; the message names files, not bytes."""
    assert sorted(found) == sorted(wanted)
    different = [name for name in wanted if found[name] != wanted[name]]
    assert not different, f"other bytes: {different}"


class Findings:
    """The failures of a sweep over many points, which are all reported, not just the first."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def at(self, point: object) -> Iterator[None]:
        """Note a failed assert as a failure at this point, and go on."""
        try:
            yield
        except AssertionError as error:
            self._found.append(f"{point}: {error}")

    def assert_none(self) -> None:
        """Assert that there was no failure."""
        assert not self._found, "\n\n".join([f"{len(self._found)} points", *self._found])


def spread(points: list[Any], wanted: int) -> list[Any]:
    """Return ``wanted`` points at even distances; all of them in a full run."""
    if FULL or len(points) <= wanted:
        return points
    return [points[index * len(points) // wanted] for index in range(wanted)]


def many(default: int, full: int) -> int:
    """Return how often a test repeats itself."""
    return full if FULL else default
