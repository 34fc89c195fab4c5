"""The command ``init``: look at inputs, ask, and write a recipe."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftprep.cli.options import Given, options_command
from sftprep.cli.terminal import progress_bar, say, show
from sftprep.errors import OutputError, UsageError
from sftprep.recipe import Recipe

if TYPE_CHECKING:
    from sftprep.statistics.proposal import Question

OPTIONS = (
    "inputs", "tokenizer", "revision", "add_token", "schema", "field", "template", "separator",
    "max_length", "truncation", "train_on", "validation", "target", "dedup", "on_error",
)  # fmt: skip
"""The options that may be given; the command decides about the others."""
STDOUT = "-"


def add_init(app: typer.Typer) -> None:
    """Add the command to the program."""

    @options_command(app, OPTIONS, lambda given, own: Recipe.from_sources(None, given))
    def init(
        given: Given,
        to: Annotated[
            str, typer.Option(metavar="FILE", help="The recipe to write; - for standard output.")
        ] = "recipe.yaml",
        yes: Annotated[
            bool, typer.Option("--yes", "-y", help="Decide by the data, and ask nothing.")
        ] = False,
    ) -> None:
        """Look at the data, ask, and write a recipe with comments.

        The recipe has the schema, the template, the separator, the length that 99% of the rows fit,
        a validation split and the trainer. An option that is given is not asked for.
        """
        write_recipe(given, to=to, yes=yes)


def write_recipe(given: Given, *, to: str, yes: bool) -> None:
    """Propose a recipe, and write it.

    Args:
        given: the options that are given.
        to: the file, which must not exist yet; ``-`` for standard output.
        yes: ask nothing.

    Raises:
        UsageError: there is nobody to ask.
        OutputError: the file exists, or cannot be written.
    """
    if not yes and not is_answered():
        raise UsageError(
            "there is no terminal to ask questions on. Pass --yes to decide by the data."
        )
    path = Path(to)
    if to != STDOUT and path.exists():
        raise OutputError(f"{to}: exists already. Pass --to with another name, or remove it.")
    from sftprep.statistics.proposal import decide, propose

    with progress_bar(silent=True) as progress:
        proposal = propose(given, decide if yes else _ask, progress)
    text = proposal.text()
    if to == STDOUT:
        show(text.encode())
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{to}: cannot be written: {error.strerror}.") from error
    say(f"wrote {to}; next: sftprep prepare --recipe {to} --output DIR")


def is_answered() -> bool:
    """Tell whether somebody can answer questions."""
    return sys.stdin.isatty()


def _ask(question: "Question") -> str:
    """Ask on the terminal; an empty answer is the default."""
    choices = f" ({', '.join(question.choices)})" if question.choices else ""
    answer: str = typer.prompt(
        f"{question.text}{choices}", default=question.default, show_default=bool(question.default),
        err=True,
    )  # fmt: skip
    return answer.strip()
