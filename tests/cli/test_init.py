"""init: a recipe is written once, after questions or without them."""

from pathlib import Path

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER
from typer.testing import CliRunner
from views.commands import run

from sftprep.cli.app import app
from sftprep.recipe import Recipe

INPUT = (SAMPLE_DATA / "messages.jsonl", "--tokenizer", SAMPLE_TOKENIZER)


def test_without_questions(tmp_path: Path) -> None:
    """The file is a recipe; an existing file is left as it is."""
    file = tmp_path / "own.yaml"
    result = run("init", *INPUT, "--yes", "--to", file)
    assert result.exit_code == 0
    assert f"next: sftprep prepare --recipe {file} --output DIR" in result.stderr
    assert Recipe.from_sources(str(file), {}).schema == "messages"

    text = file.read_text()
    again = run("init", *INPUT, "--yes", "--to", file)
    assert (again.exit_code, "exists already" in again.stderr) == (73, True)
    assert file.read_text() == text


def test_to_standard_output() -> None:
    """The recipe is the result, and nothing else is."""
    result = run("init", *INPUT, "--yes", "--to", "-", "--validation", "10%")
    assert result.stdout.startswith("# A recipe for: sftprep prepare")
    assert "\nvalidation: 10%\n" in result.stdout


def test_nobody_to_ask() -> None:
    """Without a terminal, --yes is needed."""
    result = run("init", *INPUT, "--to", "-")
    assert (result.exit_code, "Pass --yes" in result.stderr) == (2, True)


def test_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty answer is the default; questions go to stderr."""
    monkeypatch.setattr("sftprep.cli.init.is_answered", lambda: True)
    arguments = ["init", *map(str, INPUT), "--to", "-"]
    answers = "chatml\n\nnone\ntrl\n"
    result = CliRunner().invoke(app, arguments, input=answers, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Template (tokenizer, " in result.stderr
    assert "Template" not in result.stdout
    for line in ("template: chatml", "max_length: 448", "target: trl"):
        assert f"\n{line}\n" in result.stdout
