"""stats and prepare --dry-run: what is shown before anything is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, write_jsonl
from views.commands import run

OPTIONS = ("--template", "chatml", "--tokenizer", SAMPLE_TOKENIZER)


def dry_run(path: Path, output: Path, *more: str) -> Any:
    """Run ``prepare --dry-run``."""
    return run("prepare", path, *OPTIONS, "--output", output, "--dry-run", *more)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It shows what stats shows, and leaves no file."""
    result = dry_run(SAMPLE_DATA / "messages.jsonl", tmp_path / "out", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    expected = json.loads(run("stats", SAMPLE_DATA / "messages.jsonl", *OPTIONS, "--json").stdout)
    for figures in (found, expected):
        figures["seconds"] = 0
    assert found == expected
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_a_run_refuses(tmp_path: Path) -> None:
    """The output folder is checked, and whether one is named."""
    (tmp_path / "own.txt").write_text("mine")
    assert dry_run(SAMPLE_DATA / "messages.jsonl", tmp_path).exit_code == 73
    result = run("prepare", SAMPLE_DATA / "messages.jsonl", *OPTIONS, "--dry-run")
    assert (result.exit_code, "no output folder" in result.stderr) == (2, True)


def test_a_dry_run_says_that_there_is_nothing_to_do(tmp_path: Path) -> None:
    """The dataset is there already."""
    out = tmp_path / "out"
    path = SAMPLE_DATA / "messages.jsonl"
    run("prepare", path, *OPTIONS, "--output", out, "--quiet")
    result = dry_run(path, out, "--resume")
    assert "already complete" in result.stderr


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ((), "1 of 3 records cannot be used; see --on-error quarantine"),
        (("--on-error", "quarantine", "--max-rejects", "0"), "over --max-rejects"),
        (("--on-error", "quarantine", "--max-dropped", "0"), "1 of 3 records would be dropped"),
        (("--on-error", "quarantine"), ""),
    ],
)
def test_a_dry_run_warns_of_what_would_stop_a_run(
    options: tuple[str, ...], warning: str, tmp_path: Path
) -> None:
    """Bad records, and more losses than are allowed."""
    records = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "c"},
        {"prompt": "word " * 900, "completion": "d"},
    ]
    path = write_jsonl(tmp_path / "in.jsonl", records)
    result = dry_run(path, tmp_path / "out", "--max-length", "500", *options)
    assert result.exit_code == 0
    assert warning in result.stderr
    assert ("a run would publish nothing" in result.stderr) == bool(warning)
