"""help: groups, examples and widths of the help; what is suggested for a misspelled name."""

import os
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from sftprep.cli.app import app
from sftprep.cli.help import EXAMPLES, WIDEST

COMMANDS = tuple(name for name in typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_examples(name: str) -> None:
    """The help of a command ends with examples, and each of them can be parsed."""
    text = CliRunner().invoke(app, [name, "--help"]).stdout
    assert "\nExamples:\n  # " in text
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    for what, arguments in EXAMPLES[name]:
        line = f"sftprep {name} {arguments}".rstrip()
        assert f"  # {what}\n  {line}\n" in text
        assert len(line) <= WIDEST
        command.make_context(name, shlex.split(arguments))


def test_examples_belong_to_commands() -> None:
    """No example is left over from a command that is gone."""
    assert set(COMMANDS) == set(EXAMPLES)


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_the_terminals_width_is_used(columns: int) -> None:
    """Options are laid out for the width of the terminal, up to ``WIDEST`` columns."""
    text = subprocess.run(
        [sys.executable, "-m", "sftprep", "prepare", "--help"],
        env=os.environ | {"COLUMNS": str(columns)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = text.partition("\nExamples:")[0].splitlines()
    longest = max(map(len, lines))
    most = min(columns, WIDEST)
    assert most - 12 <= longest <= most


def test_the_list_of_commands_is_not_cut() -> None:
    """In 80 columns, each command is described by a whole sentence."""
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    listed = text.partition("\nCommands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("prepare --tokeniser x", "No such option: --tokeniser (Possible options: --tokenizer)"),
        ("prepare --max_length 5", "No such option: --max_length (Possible options: --max-length)"),
        ("prepare --nothing-like-it", "No such option: --nothing-like-it"),
        ("verify --agianst x", "No such option: --agianst (Possible options: --against)"),
        ("prepre x", "No such command 'prepre'. Did you mean 'prepare'?"),
        ("Verify x", "No such command 'Verify'. Did you mean 'verify'?"),
        ("train x", "No such command 'train'. sftprep --help lists them."),
    ],
)
def test_what_is_near_is_suggested(arguments: str, message: str) -> None:
    """For a name that does not exist, at most one name is suggested, and only if it is near."""
    ran = CliRunner().invoke(app, arguments.split())
    assert (ran.exit_code, ran.stderr.splitlines()[-1]) == (2, f"Error: {message}")
