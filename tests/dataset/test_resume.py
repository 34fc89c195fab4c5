"""A resumed run ends with the bytes of a run that nothing disturbed."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from toys import byte_hf, save_folder, tree, write_jsonl
from typer.testing import CliRunner

from sftprep import Recipe, prepare
from sftprep.cli.app import app
from sftprep.data.columns import Columns
from sftprep.data.result import BlockResult
from sftprep.dataset.accounting import Accounting
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.staging import JOURNAL, OutputFolder
from sftprep.engine.local.engine import run_blocks
from sftprep.errors import DataError, OutputError, StorageError
from sftprep.formats import jsonl

OPTIONS: dict[str, Any] = {
    "shard_size": "200B",
    "max_length": 40,
    "on_error": "quarantine",
    "format": "jsonl",
}


def records(letter: str) -> list[object]:
    """Make records of one letter: most are good, some are bad or too long."""
    return [
        {"prompt": f"{letter}{n}:", "completion": letter * (60 if n % 7 == 3 else n % 5 + 1)}
        if n % 5
        else {"prompt": f"{letter}{n}"}
        for n in range(80)
    ]


class World(NamedTuple):
    """A folder for a run on two inputs. The second may be a pipe that nobody writes to."""

    folder: Path
    expected: dict[str, bytes]  # the output of an undisturbed run

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder / "out"

    @property
    def staging(self) -> Path:
        """The staging folder."""
        return self.folder / ".out.sftprep-staging"

    def entries(self) -> list[dict[str, Any]]:
        """Read the complete lines of the journal."""
        path = self.staging / JOURNAL
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def recipe(self, **changed: Any) -> Recipe:
        """Return the recipe of the run, with changes."""
        inputs = tuple(str(self.folder / name) for name in ("a.jsonl", "b.jsonl"))
        fixed: dict[str, Any] = {"inputs": inputs, "output": str(self.out), "workers": 1}
        return Recipe(**fixed | {"tokenizer": str(self.folder / "toy")} | OPTIONS | changed)

    def stop_at_b(self) -> None:
        """Make the second input a pipe, so that a run waits there for ever."""
        (self.folder / "b.jsonl").rename(self.folder / "kept")
        os.mkfifo(self.folder / "b.jsonl")

    def go_on_at_b(self) -> None:
        """Make the second input a file again."""
        (self.folder / "kept").replace(self.folder / "b.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Make the inputs, and the output of an undisturbed run."""
    world = World(tmp_path_factory.mktemp("made"), {})
    write_jsonl(world.folder / "a.jsonl", records("a"))
    write_jsonl(world.folder / "b.jsonl", records("b"))
    save_folder(byte_hf(["</s>"]), world.folder / "toy", eos_token="</s>")
    assert prepare(world.recipe()).status == "written"
    found = tree(world.out)
    shutil.rmtree(world.out)
    assert sum(name.startswith("data/train-") for name in found) > 20
    for name in ("rejects.jsonl", "dropped.jsonl"):
        files = [json.loads(line)["file"] for line in found[name].splitlines()]
        assert {"a.jsonl", "b.jsonl"} == set(files)
    return World(world.folder, found)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """Copy the folder for one test."""
    shutil.copytree(made.folder, tmp_path / "world")
    return World(tmp_path / "world", made.expected)


class Ran(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def arguments(world: World, *more: object) -> list[str]:
    """Return the command line of the run."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    inputs = [str(world.folder / name) for name in ("a.jsonl", "b.jsonl")]
    fixed = ["--output", str(world.out), "--tokenizer", str(world.folder / "toy")]
    return ["prepare", *inputs, *fixed, *flags, *map(str, more)]


def run(world: World, *more: object) -> Ran:
    """Run the command in this process."""
    result = CliRunner().invoke(app, arguments(world, "--workers", 1, *more))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@contextmanager
def started(world: World, *more: object) -> Iterator["subprocess.Popen[str]"]:
    """Start the command as a process, which is killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "sftprep", *arguments(world, *more)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def interrupt(
    world: World, number: signal.Signals, *more: object, entries: int = 5, workers: int = 1
) -> Ran:
    """Run until some shards are finished and the run waits for input; then send a signal."""
    with started(world, "--workers", workers, *more) as process:
        until = time.monotonic() + 50
        while len(world.entries()) < entries:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "the run makes no progress"
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=50)
    return Ran(process.returncode, out, err)


def fails(world: World, kind: type[BaseException], **changed: Any) -> str:
    """Run, and return the message of the failure."""
    with pytest.raises(kind) as caught:
        prepare(world.recipe(**changed))
    assert not world.out.exists()
    return str(caught.value)


def cut_off(world: World, shard: int = 12, **changed: Any) -> None:
    """Run in this process, and interrupt before the first result of the given shard."""

    def stop(*args: Any) -> Iterator[BlockResult]:
        for result in run_blocks(*args):
            if result.shard == shard:
                raise KeyboardInterrupt
            yield result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sftprep.run.run_blocks", stop)
        fails(world, KeyboardInterrupt, **changed)
    assert 0 < len(world.entries()) <= shard


def assert_resumes(world: World, *more: object) -> None:
    """Resume; the status says so, and the output is that of an undisturbed run."""
    ran = run(world, "--resume", "--json", *more)
    assert (ran.code, ran.err) == (0, "")
    status = '{\n  "status": "resumed",\n'
    assert ran.out == status + world.expected[MANIFEST].decode().removeprefix("{\n")
    assert tree(world.out) == world.expected
    assert not world.staging.exists()


# --- killed, and asked to end -------------------------------------------------------------------

GO_ON = "nothing was published. Pass --resume to continue."


@pytest.mark.parametrize(
    ("number", "workers", "code", "text"),
    [
        (signal.SIGKILL, 2, -9, ""),
        (signal.SIGINT, 1, 130, f"interrupted; {GO_ON}\n"),
        *(
            pytest.param(*case, marks=pytest.mark.faults)
            for case in (
                (signal.SIGKILL, 1, -9, ""),
                (signal.SIGTERM, 1, 143, f"terminated; {GO_ON}\n"),
                (signal.SIGTERM, 2, 143, f"terminated; {GO_ON}\n"),
                (signal.SIGHUP, 1, 129, f"terminated; {GO_ON}\n"),
            )
        ),
    ],
)
def test_interrupted(
    world: World, number: signal.Signals, workers: int, code: int, text: str
) -> None:
    """However a run is ended, nothing is published, and it can be resumed."""
    world.stop_at_b()
    assert Ran(code, "", text) == interrupt(world, number, workers=workers)
    assert not world.out.exists()
    before = world.entries()
    assert 5 <= len(before) < 20
    world.go_on_at_b()
    assert_resumes(world)


LATE = """
import _thread, os, sys, threading
from sftprep.cli.app import main

number = int(sys.argv.pop())

def come_late():
    os.read(0, 1)
    _thread.interrupt_main(number)  # as a signal that ends no call

threading.Thread(target=come_late, daemon=True).start()
main()
"""


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interrupted_just_before_it_waits(world: World, number: int, code: int) -> None:
    """A signal that comes just before a blocking call ends the run, not only after that call."""
    world.stop_at_b()
    command = [sys.executable, "-c", LATE, *arguments(world, "--workers", 1), str(int(number))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 50
            while len(world.entries()) < 5:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until, "the run makes no progress"
                time.sleep(0.01)
            time.sleep(0.3)  # by now it waits for the second input
            _, err = process.communicate(b"!", timeout=20)
        finally:
            process.kill()
    assert process.returncode == code
    assert err.decode().endswith(f"; {GO_ON}\n")


def test_interrupted_again(world: World) -> None:
    """A resumed run may be interrupted again: no finished shard is lost."""
    counts = [0]
    for shard in (8, 16, 18):
        before = world.entries()
        cut_off(world, shard, resume=True)
        assert world.entries()[: len(before)] == before
        counts.append(len(world.entries()))
    assert counts == sorted(counts)
    assert counts[1] < counts[2]
    assert_resumes(world)


@pytest.mark.parametrize("quiet", [False, True])
def test_without_resume_a_run_starts_over(world: World, quiet: bool) -> None:
    """Without ``--resume`` finished shards are removed, and a warning says so."""
    cut_off(world)
    count = len(world.entries())
    (world.staging / "dataset" / "data" / "shard-00000").write_bytes(b"not to be seen again")
    ran = run(world, "--json", *(["--quiet"] if quiet else []))
    assert json.loads(ran.out)["status"] == "written"
    assert ran.err == (
        f"warning: {world.out}: an interrupted run has finished {count} shards. They are removed, "
        "and this run starts over; --resume would have continued after them.\n"
    )
    assert tree(world.out) == world.expected


def test_nothing_to_discard(world: World) -> None:
    """Where no shard was finished, a run that starts over has nothing to say."""
    ran = run(world, "--json")
    assert (ran.code, ran.err) == (0, "")


def test_an_unchanged_run_keeps_what_can_be_resumed(world: World) -> None:
    """A run that finds its dataset complete leaves the finished shards of another run alone."""
    prepare(world.recipe(max_length=41))
    before = tree(world.out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutputFolder, "publish", interrupted_now)
        with pytest.raises(KeyboardInterrupt):
            prepare(world.recipe(overwrite=True))
    staged, count = tree(world.staging), len(world.entries())
    ran = run(world, "--max-length", 41)
    assert (ran.code, ran.out) == (
        0, f"{world.out}: already complete, from the same input and options; nothing was done\n"
    )  # fmt: skip
    assert ran.err == (
        f"note: {world.staging}: an interrupted run of another dataset has finished {count} "
        "shards, which are kept. With its options, --overwrite and --resume that run continues; "
        "to give it up, remove the folder.\n"
    )
    assert (staged.keys(), before) == (tree(world.staging).keys(), tree(world.out))
    assert_resumes(world, "--overwrite")


@pytest.mark.parametrize("there", [False, True])
def test_an_unchanged_run_removes_what_a_finished_run_left(world: World, there: bool) -> None:
    """A staging folder whose dataset was published is removed, with the old dataset in it."""
    if there:
        prepare(world.recipe(max_length=41))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutputFolder, "_clear", lambda _: None)  # as if killed after publishing
        prepare(world.recipe(overwrite=there))
    assert (world.staging / "dataset").exists() == there
    ran = run(world)
    assert (ran.code, ran.err) == (0, "")
    assert "nothing was done" in ran.out
    assert not world.staging.exists()
    assert tree(world.out) == world.expected


def interrupted_now(_: OutputFolder) -> None:
    """Be interrupted."""
    raise KeyboardInterrupt


def test_resume_with_another_option(world: World) -> None:
    """Other options are refused with the difference; with the old ones the run can continue."""
    cut_off(world)
    before = tree(world.staging / "dataset")
    expected = (
        f"error: {world.staging}: the interrupted run cannot be resumed: --max-length was 40 and "
        "is 41. Run with the same options and input, or without --resume to start over.\n"
    )
    assert Ran(73, "", expected) == run(world, "--resume", "--max-length", 41)
    assert before == tree(world.staging / "dataset")
    assert_resumes(world)


def test_resume_with_other_workers_and_backend(world: World) -> None:
    """Options that do not decide bytes may differ."""
    cut_off(world)
    assert_resumes(world, "--backend", "hf")


def test_resume_of_a_changed_input(world: World) -> None:
    """If the input of a finished shard has changed, the run is refused."""
    cut_off(world)
    path = world.folder / "a.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a4", b"A4", 1))
    ran = run(world, "--resume")
    assert (ran.code, ran.out) == (73, "")
    assert ran.err == (
        f"error: the input from {path}:1 to {path}:5 is not what the interrupted run read. The "
        "input has changed: restore it, or run without --resume to start over.\n"
    )
    path.write_bytes(data)
    assert_resumes(world)


# --- failures, in this process ------------------------------------------------------------------


def test_full_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that cannot be written ends the run; the shards before it are finished."""
    write = jsonl.Writer.write

    def full(self: jsonl.Writer, group: Columns) -> None:
        if str(self._file.name).endswith("shard-00007"):
            raise OSError(28, "No space left on device")
        write(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(jsonl.Writer, "write", full)
        assert fails(world, StorageError) == (
            f"{world.staging}/dataset/data/shard-00007: cannot be written: No space left on "
            "device. Nothing was published. Free disk space or correct the permissions, and run "
            "again with --resume."
        )
    assert [e["shard"] is not None for e in world.entries()].count(True) == 7
    assert_resumes(world)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupted_before_publishing(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """A run that was interrupted just before it published is resumed."""

    def stop(_self: OutputFolder) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "publish", stop)
        fails(world, error)
    assert tree(world.staging / "dataset") == world.expected
    assert_resumes(world)


def test_no_space_for_the_manifest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the manifest cannot be written, nothing is published, and all shards are finished."""
    open_path = Path.open

    def full(path: Path, *args: Any, **options: Any) -> Any:
        if path.name.startswith(MANIFEST):
            raise OSError(28, "No space left on device", str(path))
        return open_path(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        assert fails(world, StorageError).startswith(
            f"{world.staging}/dataset/manifest.json: cannot be written: "
        )
    assert_resumes(world)


def test_bad_records_are_listed_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """If bad records are an error, a resumed run lists the same ones as an undisturbed run."""
    expected = fails(world, DataError, on_error="fail")
    assert not world.staging.exists()
    assert expected.startswith("32 of 160 records cannot be used; nothing was published.\n")

    def stop(_self: Accounting, _limit: int | None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Accounting, "check", stop)
        fails(world, KeyboardInterrupt, on_error="fail")
    for entries in (3, 10, len(world.entries())):
        lines = (world.staging / JOURNAL).read_bytes().splitlines(keepends=True)
        kept = shutil.copytree(world.staging, world.folder / f"kept-{entries}")
        (world.staging / JOURNAL).write_bytes(b"".join(lines[:entries]))
        assert expected == fails(world, DataError, on_error="fail", resume=True)
        kept.rename(world.staging)


def test_stdin(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on standard input is resumed if it gives the same bytes again."""
    data = b"".join((world.folder / f"{name}.jsonl").read_bytes() for name in "ab")

    def stop(_self: OutputFolder) -> None:
        raise KeyboardInterrupt

    def prepared(text: bytes, **flags: bool) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
            if not flags:
                patch.setattr(OutputFolder, "publish", stop)
            return prepare(world.recipe(inputs=("-",), **flags)).status

    with pytest.raises(KeyboardInterrupt):
        prepared(data)
    whole = tree(world.staging / "dataset")
    with pytest.raises(OutputError) as caught:
        prepared(data.replace(b"a4", b"A4", 1), resume=True)
    assert str(caught.value) == (
        "the input from -:1 to -:5 is not what the interrupted run read. The input has changed: "
        "restore it, or run without --resume to start over."
    )
    assert prepared(data, resume=True) == "resumed"
    assert tree(world.out) == whole


def test_nothing_to_resume(world: World) -> None:
    """If no run was interrupted, ``--resume`` makes no difference."""
    assert json.loads(run(world, "--resume", "--json").out)["status"] == "written"
    assert tree(world.out) == world.expected


def test_a_resumed_run_does_not_work_on_what_is_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the blocks of unfinished shards are tokenized."""
    cut_off(world)
    finished = len(world.entries())
    done: list[int] = []

    def watched(*args: Any) -> Iterator[BlockResult]:
        for result in run_blocks(*args):
            done.append(result.shard)
            yield result

    monkeypatch.setattr("sftprep.run.run_blocks", watched)
    assert_resumes(world)
    assert min(done) == finished
