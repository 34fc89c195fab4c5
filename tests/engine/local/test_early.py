"""early: workers are started before the run is planned, if the input is certainly large."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_TOKENIZER, Started, write_jsonl
from typer.testing import CliRunner

from sftprep import Recipe, UsageError
from sftprep.cli.app import app
from sftprep.data.block import Block
from sftprep.engine.local.early import ENOUGH_BYTES, started_early
from sftprep.engine.local.engine import FEW_BLOCKS
from sftprep.run import prepare
from sftprep.system.cores import usable_cores


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file of a few records."""
    return write_jsonl(tmp_path / "in.jsonl", [{"prompt": "What?\n", "completion": "It."}] * 10)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that is large enough for workers by default, most of it blank lines."""
    line = b'{"prompt": "What?\\n", "completion": "It."}\n' + b" " * (1 << 18) + b"\n"
    path = tmp_path / "large.jsonl"
    path.write_bytes(line * (ENOUGH_BYTES // len(line) + 1))
    return path


def recipe(data: Path, output: str = "out", **options: Any) -> Recipe:
    """A recipe for two workers."""
    folder = str(data.with_name(output))
    given = {"inputs": (str(data),), "output": folder, "tokenizer": str(SAMPLE_TOKENIZER)}
    return Recipe(**{"workers": 2, **given, **options})


def test_workers_that_were_started_early_do_all_the_work(
    started: Started, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that were started early change no byte of the dataset."""
    alone = prepare(recipe(large, workers=1))
    assert started == []
    sent: list[Block] = []
    send = Connection.send

    def record(self: Connection, content: Any) -> None:
        sent.extend([content] if isinstance(content, Block) else [])
        send(self, content)

    monkeypatch.setattr(Connection, "send", record)
    with started_early([str(large)], 2) as early:
        assert len(started) == 1
        made = prepare(recipe(large, "other"), early=early)
    assert (made.status, len(started)) == ("written", 1)
    assert len(sent) >= FEW_BLOCKS
    assert made.manifest.shards == alone.manifest.shards


@pytest.mark.parametrize("name", ["-", ".", "nothing\0", "*.jsonl", "missing.jsonl"])
def test_only_plain_files_tell_their_size(started: Started, data: Path, name: str) -> None:
    """For input that may be small no worker is started, and nothing fails."""
    with started_early([name], 2, enough_bytes=1):
        assert started == []
    with started_early([name, str(data)], 2, enough_bytes=data.stat().st_size):
        assert len(started) == 1


def test_small_files_need_no_workers(started: Started, data: Path) -> None:
    """The sum of the files' sizes decides whether workers are started."""
    size = data.stat().st_size
    for inputs, limit in (([], 1), ([data], size + 1), ([data, data], 2 * size + 1)):
        with started_early(list(map(str, inputs)), 2, enough_bytes=limit):
            assert started == []
    with started_early([str(data)] * 2, 2, enough_bytes=2 * size):
        assert len(started) == 1


def test_the_default_number_of_workers_is_that_of_the_cores(started: Started, data: Path) -> None:
    """A single worker is not started early: this process does the work itself."""
    with started_early([str(data)], 1, enough_bytes=1):
        assert started == []
    with started_early([str(data)], None, enough_bytes=1) as pool:
        cores = usable_cores()
        assert len(started) == (0 if cores == 1 else 1)
        if cores > 1:
            pool.take(cores)
            assert len(started) == 1  # no further worker had to be started


def test_workers_end_with_a_run_that_is_refused(started: Started, data: Path) -> None:
    """Workers do not wait for work that will never come."""
    with (
        pytest.raises(UsageError),
        started_early([str(data)], 2, enough_bytes=1) as early,
    ):
        prepare(recipe(data, allow_control=("<nothing>",)), early=early)
    assert len(started) == 1


def test_the_command_starts_workers_only_for_large_input(
    started: Started, data: Path, large: Path
) -> None:
    """The command starts them before it knows whether the recipe can work."""
    assert command(data) == 0
    assert started == []
    assert command(large, "--allow-control", "<nothing>") == 2
    assert len(started) == 1


def command(source: Path, *options: str) -> int:
    """Run ``sftprep prepare`` in this process with two workers; return its exit code."""
    given = [str(source), "--output", str(source.with_name("out")), "--workers", "2", *options]
    tokenizer = ["--tokenizer", str(SAMPLE_TOKENIZER)]
    return CliRunner().invoke(app, ["prepare", *given, *tokenizer]).exit_code
