"""options: every option of a recipe is a flag, with its help and its default."""

import re
from dataclasses import fields
from typing import Any

import typer
from typer.testing import CliRunner

from sftprep import Recipe
from sftprep.cli.app import app
from sftprep.recipe import GROUPS, Option, not_for_rows, options

VALUES = {option.name: option.values for option in options() if option.values}
"""The options that allow only some values, and these values."""


def flags_of(command: str) -> dict[str, Any]:
    """The parameters of a command, by name."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {parameter.name: parameter for parameter in group.commands[command].params}


def of_prepare() -> list[Option]:
    """The options that ``prepare`` has flags for."""
    return [option for option in options() if option.name not in not_for_rows()]


def test_flags_are_the_options() -> None:
    """``prepare`` has a flag for each option, of the same name, and a few of its own.

    The options of ``lint`` are only in the file.
    """
    flags = flags_of("prepare")
    own = {"recipe", "print_recipe", "dry_run", "json", "quiet"}
    assert {f.name for f in fields(Recipe)} - set(not_for_rows()) | own == set(flags)
    for option in of_prepare():
        if option.name != "inputs":
            assert [option.flag, *filter(None, [option.short])] == flags[option.name].opts


def test_preview_takes_what_decides_rows() -> None:
    """``preview`` has no flags for what only matters once a dataset is written."""
    missing = {f.name for f in fields(Recipe)} - set(flags_of("preview"))
    arranging = {option.name for option in options() if option.group == "Arrangement"}
    assert missing - arranging == {
        "output", "target", "format", "loss_mask", "shard_size", "private_ledgers",
        "max_rejects", "max_dropped", "workers", "overwrite", "resume", "lint_ignore",
    }  # fmt: skip
    assert arranging <= missing | {"seed"}  # which has a --seed of its own, for --random


def test_flags_have_no_defaults_of_their_own() -> None:
    """A flag that is not given says nothing: the defaults are the recipe's."""
    flags = flags_of("prepare")
    assert {flags[option.name].default for option in of_prepare()} == {None, False}


def test_help_names_every_allowed_value() -> None:
    """The help of an option names each value that it allows."""
    flags = flags_of("prepare")
    missing = {
        name: [value for value in values if value not in flags[name].help]
        for name, values in VALUES.items()
    }
    assert {name: [] for name in VALUES} == missing


def test_help_names_every_default() -> None:
    """The help of an option names its default, unless it has none or is off."""
    flags = flags_of("prepare")
    for option in of_prepare():
        if option.default not in (None, False, ()):
            assert flags[option.name].help.endswith(f"[default: {option.default}]")


def test_help_lists_options_by_group() -> None:
    """The help has a heading for each group, in order, and every option is in one."""
    text = CliRunner().invoke(app, ["prepare", "--help"]).stdout
    headings = [line.removesuffix(":") for line in text.splitlines() if re.match(r"\w.*:$", line)]
    groups = [group for group in GROUPS if group != "Lint"]
    assert headings == ["Arguments", *groups, "Other options", "Examples"]
    assert {option.group for option in options()} == set(GROUPS)
