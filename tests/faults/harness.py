"""What every fault test stands on: a place for each run, ways to run, and the oracle.

In     the command line of ``sftprep``, as a user would type it; faults come from outside.
Out    for each run its exit code and its texts; ``Case.settle`` judges what a fault left behind.
Never  looks into the program: what counts is files, exit codes, messages and processes.
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
    """Every file below a folder, by its name in it; nothing where there is no folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_records(path: Path, size: int, *, seed: int = 0) -> Path:
    """At least ``size`` bytes of the sample's prompts and completions, each record another."""
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


# --- a case and its oracle ----------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What all cases share: the input, and what an undisturbed run makes of it."""

    folder: Path
    source: Path
    reference: Tree = field(repr=False)
    forks: Forks


@dataclass
class Case:
    """A run's place, and its command."""

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
        """The same place with other options."""
        workers = workers or self.workers
        return type(self)(
            self.world, self.folder, options, workers, self.source, dict(self.reference)
        )

    def argv(self, *more: str) -> list[str]:
        """The arguments of ``sftprep``."""
        source = self.source or self.world.source
        return [*prepare_argv(source, self.out, self.workers), *self.options, *more]

    def start(self, *more: str, **options: Any) -> Run:
        """Start a process of its own."""
        return Run([sys.executable, "-m", "sftprep", *self.argv(*more)], self.folder, **options)

    def run(self, *more: str, **options: Any) -> Ran:
        """Run a process of its own to its end."""
        with reaped(self.start(*more, **options)) as run:
            return run.ended()

    def fork(self, *more: str, **request: Any) -> Ran:
        """Run a fork to its end."""
        return self.command(*self.argv(*more), **request)

    def command(self, *argv: str, **request: Any) -> Ran:
        """Run any command of ``sftprep`` as a fork, to its end."""
        pid = self.world.forks.start(list(argv), self.folder, **request)
        return self.world.forks.ended(pid, self.folder)

    def assert_complete(self) -> None:
        """The output is what an undisturbed run makes, byte for byte, and nothing else is left."""
        assert_equal(tree(self.out), self.reference)
        assert not self.staging.exists(), "the staging folder is left beside a complete dataset"

    def settle(self, ran: Ran, *, before: Tree | None = None, resume: bool = True) -> None:
        """Judge what a fault left, and bring the dataset to its end.

        Args:
            ran: the run that met the fault.
            before: the dataset that was there, if the run was to replace one.
            resume: how to go on: with ``--resume``, or anew.
        """
        count("faults")
        assert_told(ran)
        found = tree(self.out)
        if ran.code == 0 or (found and found != before):
            assert_equal(found, self.reference)
        again = self.fork(*(("--resume",) if resume else ()))
        assert again.code == 0, f"after {ran}: {again}"
        self.assert_complete()

    def clear(self) -> None:
        """Remove what the run made."""
        for folder in (self.out, self.staging):
            shutil.rmtree(folder, ignore_errors=True)


def prepare_argv(source: Path, out: Path, workers: int) -> list[str]:
    """A plain ``prepare`` with shards of a few dozen records."""
    paths = ["prepare", str(source), "--output", str(out), "--tokenizer", str(TOKENIZER)]
    return [*paths, "--shard-size", SHARD_SIZE, "--workers", str(workers)]


def assert_told(ran: Ran) -> None:
    """A run that failed says so in its own words; a killed one cannot."""
    assert "Traceback" not in ran.err, ran.err
    if ran.code > 0 and ran.code != 141:
        assert ran.err.strip(), f"exit {ran.code} without a message"
    assert ran.code != 70 or "worker" in ran.err, ran.err


def assert_equal(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> None:
    """Two trees are the same; the message names files, not bytes."""
    assert sorted(found) == sorted(wanted)
    different = [name for name in wanted if found[name] != wanted[name]]
    assert not different, f"other bytes: {different}"


class Findings:
    """What went wrong at which point of a sweep: all of it is told, not just the first."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def at(self, point: object) -> Iterator[None]:
        """Try one point."""
        try:
            yield
        except AssertionError as error:
            self._found.append(f"{point}: {error}")

    def assert_none(self) -> None:
        """Nothing went wrong."""
        assert not self._found, "\n\n".join([f"{len(self._found)} points", *self._found])


def spread(points: list[Any], wanted: int) -> list[Any]:
    """At most ``wanted`` of the points, evenly; all of them in a full run."""
    if FULL or len(points) <= wanted:
        return points
    return [points[index * len(points) // wanted] for index in range(wanted)]


def many(default: int, full: int) -> int:
    """How often a test repeats itself."""
    return full if FULL else default
