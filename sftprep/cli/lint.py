"""The command ``lint``."""

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sftprep.cli.completion import completer, rule_names
from sftprep.cli.options import recipe_command
from sftprep.cli.terminal import is_coloured, progress_bar, show
from sftprep.errors import UsageError
from sftprep.recipe import arranging, not_for_rows
from sftprep.text import shown

if TYPE_CHECKING:
    from sftprep.recipe import Recipe

NOT_IN_LINT = (
    *arranging(), *not_for_rows(), "output", "target", "format", "shard_size", "private_ledgers",
    "ignore_index", "on_error", "max_rejects", "max_dropped", "overwrite", "resume",
)  # fmt: skip
RULES = completer(rule_names)
FAIL_ON = ("error", "warning")


def add_lint(app: typer.Typer) -> None:
    """Add the command to the program."""

    @recipe_command(app, without=NOT_IN_LINT)
    def lint(
        recipe: "Recipe",
        select: Annotated[
            list[str] | None,
            typer.Option(
                metavar="RULE", help="Run this rule only. Repeatable.", autocompletion=RULES
            ),
        ] = None,
        ignore: Annotated[
            list[str] | None,
            typer.Option(
                metavar="RULE", help="Do not report this rule. Repeatable.", autocompletion=RULES
            ),
        ] = None,
        fail_on: Annotated[
            str | None,
            typer.Option(
                metavar="NAME",
                help="Exit with code 65 if a rule of this severity, or a greater one, has found "
                "something: error or warning.",
            ),
        ] = None,
        write_fixed: Annotated[
            str | None,
            typer.Option(
                metavar="FILE",
                help="Write a copy of the input, one file of JSON Lines, in which all is corrected "
                "that is certain; and FILE.changes, with a line for each change.",
            ),
        ] = None,
        explain: Annotated[
            str | None,
            typer.Option(
                metavar="RULE",
                help="Say what a rule finds, why it matters, and what to do.",
                autocompletion=RULES,
            ),
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    ) -> None:
        """Find what is not consistent, damaged or not meant to be learned. Reads all records.

        With --tokenizer, the rules about tokens are run too. Changes nothing.
        """
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        if explain is not None:
            from sftprep.views.lint import explain_rule

            show(explain_rule(explain, colour=is_coloured(), width=width))
            return
        if fail_on is not None and fail_on not in FAIL_ON:
            raise UsageError(f"--fail-on is {shown(fail_on)}. Choose error or warning.")
        with progress_bar(silent=quiet) as progress:
            from sftprep.lint_inputs import lint as run

            report = run(
                recipe,
                select=select or (),
                ignore=ignore or (),
                write_fixed=write_fixed,
                progress=progress,
            )
        from sftprep.views.lint import lint_json, lint_report

        if json:
            show(lint_json(report))
        else:
            show(lint_report(report, colour=is_coloured(), width=width))
        report.check(fail_on or "")
