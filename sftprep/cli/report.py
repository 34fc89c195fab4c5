"""The command ``report``."""

from typing import Annotated

import typer

from sftprep.cli.choosing import Choose, chooses_rows
from sftprep.cli.help import Command
from sftprep.cli.stats import BATCH_SIZE, BatchSize
from sftprep.cli.terminal import command, say
from sftprep.errors import UsageError
from sftprep.text import ascii_safe


def add_report(app: typer.Typer) -> None:
    """Add the command to the program."""

    @app.command(cls=Command)
    @chooses_rows(5)
    def report(
        folder: Annotated[
            str, typer.Argument(metavar="DIR", help="The folder of a finished dataset.")
        ],
        choose: Choose,
        html: Annotated[str, typer.Option(metavar="FILE", help="The page to write.")],
        lint_json: Annotated[
            str | None,
            typer.Option(
                metavar="FILE", help="Show what lint has found: what sftprep lint --json printed."
            ),
        ] = None,
        batch_size: BatchSize = BATCH_SIZE,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace the page if it exists.")
        ] = False,
    ) -> None:
        """Write a page about a dataset: figures, rows, and how it was made.

        One HTML file that needs no network and no script. Rows are chosen at random, unless an
        option chooses others.
        """
        with command():
            if batch_size < 1:
                raise UsageError(f"--batch-size is {batch_size}; expected 1 or more.")
            from sftprep.views.report.page import report_page
            from sftprep.views.report.page_file import PageFile

            choice = choose()
            file = PageFile(html, overwrite=overwrite)
            file.write(report_page(folder, choice, batch_size=batch_size, lint_json=lint_json))
            say(f"wrote {ascii_safe(html)}")
