"""The commands: each turns its flags into one call of the package, and prints the result.

Results go to stdout, messages and progress to stderr. Nothing heavy is imported before a command
runs, because ``sftprep --help`` must be quick.
"""

import gc
from typing import TYPE_CHECKING, Annotated

import typer

from sftprep import __version__
from sftprep.cli.choosing import ROWS, AsJson, Choose, Dropped, Ids, Why, chooses_rows, look
from sftprep.cli.completion import completer, target_names, template_names, topics
from sftprep.cli.help import WIDEST, Command, Commands
from sftprep.cli.init import add_init
from sftprep.cli.lint import add_lint
from sftprep.cli.options import Given, options_command, recipe_command
from sftprep.cli.report import add_report
from sftprep.cli.stats import NOT_IN_STATS, show_dry_run, stats
from sftprep.cli.terminal import (
    advising,
    command,
    ignore_signals,
    is_coloured,
    progress_bar,
    say,
    seconds_so_far,
    set_up,
    show,
    show_paged,
)
from sftprep.recipe import arranging, exportable, not_for_rows

if TYPE_CHECKING:
    from sftprep.dataset.manifest import Prepared
    from sftprep.recipe import Recipe

app = typer.Typer(
    name="sftprep",
    help="Turn instruction data into tokenized, label-masked training shards.",
    no_args_is_help=True,
    cls=Commands,
    rich_markup_mode=None,  # plain help loads in half the time
    pretty_exceptions_enable=False,  # a bug in sftprep should show an ordinary traceback
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    epilog="Exit codes: 0 done, 1 datasets differ, 2 usage, 65 bad data, 66 no input, 70 a bug in "
    "sftprep or a dead worker, 73 output exists or cannot be created, 74 I/O, 75 output in use, "
    "129, 130 or 143 interrupted.",
)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="The folder of a finished dataset.")]
Workers = Annotated[
    int | None,
    typer.Option(help="Worker processes. [default: the number of cores that sftprep may use]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no summary.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check all options, and show what would be written and how long it takes, from a "
        "sample of the records. Writes nothing.",
    ),
]


def _show_version(asked: bool) -> None:
    if asked:
        show(f"sftprep {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Turn instruction data into tokenized, label-masked training shards."""


@recipe_command(app, without=not_for_rows())
def prepare(
    recipe: "Recipe", dry_run: DryRun = False, json: Json = False, quiet: Quiet = False
) -> None:
    """Write a dataset: render, tokenize, truncate, mask, arrange."""
    if dry_run:
        show_dry_run(recipe, json=json, quiet=quiet)
        return
    from sftprep.engine.local.early import started_early

    with (
        advising("nothing was published. Pass --resume to continue."),
        started_early(recipe.inputs, recipe.workers) as early,
        progress_bar(silent=quiet) as progress,
    ):
        from sftprep.run import prepare as run

        result = run(recipe, progress=progress, early=early)
    _show_result(result, str(recipe.output), of_input=True, json=json, quiet=quiet)


def _show_result(
    result: "Prepared", output: str, *, of_input: bool, json: bool, quiet: bool
) -> None:
    """Show what a run has done, as the options say.

    Args:
        result: the result of the run.
        output: the name of the output folder.
        of_input: whether the run has read input, and not a finished dataset.
        json: show one JSON object.
        quiet: show nothing, unless ``json`` is set.
    """
    if json:
        show(result.dump())
    elif not quiet:
        from sftprep.cli.colours import painted_summary
        from sftprep.cli.summary import account, summarize

        text = summarize(result.manifest, output, result.status, result.causes)
        show(painted_summary(text) if is_coloured() else text)
        if result.status != "unchanged":
            say(account(result.manifest, seconds_so_far(), of_input=of_input))


NOT_IN_PREVIEW = (
    *arranging(), *not_for_rows(), "output", "target", "format", "loss_mask", "shard_size",
    "private_ledgers", "max_rejects", "max_dropped", "workers", "overwrite", "resume",
)  # fmt: skip


@recipe_command(app, without=NOT_IN_PREVIEW)
@chooses_rows(3)
def preview(
    recipe: "Recipe",
    choose: Choose,
    dropped: Dropped = False,
    why: Why = False,
    ids: Ids = False,
    json: AsJson = False,
) -> None:
    """Show the tokens that prepare would write, and which it trains."""
    from sftprep.views.preview import list_lost, preview_json
    from sftprep.views.preview import preview as view

    choice = choose()
    if dropped:
        show(list_lost(recipe, choice))
    elif json:
        show(preview_json(recipe, choice))
    else:
        show_paged(view(recipe, choice, look(ids=ids, why=why)))


recipe_command(app, without=NOT_IN_STATS)(stats)
add_init(app)


def _export_options(given: Given, max_length: int | None) -> Given:
    return given if max_length is None else given | {"max_length": max_length}


def _export_recipe(given: Given, own: Given) -> "Recipe":
    from sftprep.export import export_recipe

    return export_recipe(own["folder"], _export_options(given, own["max_length"]))


@options_command(app, exportable(), _export_recipe)
def export(
    given: Given,
    folder: Folder,
    max_length: Annotated[
        int | None,
        typer.Option(metavar="N", help="The same as --pack-length.", rich_help_panel="Arrangement"),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a finished dataset in another arrangement or format.

    Nothing is tokenized again. Options that are not given stay as they are in the dataset.
    """
    with (
        advising("nothing was published. Pass --resume to continue."),
        progress_bar(silent=quiet) as progress,
    ):
        from sftprep.export import export as run

        result = run(folder, _export_options(given, max_length), progress=progress)
    _show_result(result, str(given["output"]), of_input=False, json=json, quiet=quiet)


add_lint(app)


@app.command(cls=Command)
def templates(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The template to show: a built-in name, or a YAML file.",
            autocompletion=completer(template_names),
        ),
    ] = None,
) -> None:
    """List the built-in templates, or show one."""
    with command():
        from sftprep.views.templates import describe_template, list_templates

        show(describe_template(name, colour=is_coloured()) if name else list_templates())


@app.command(cls=Command)
def targets(
    name: Annotated[
        str | None,
        typer.Argument(help="The trainer to show.", autocompletion=completer(target_names)),
    ] = None,
) -> None:
    """List the trainers of --target, or show what one needs."""
    with command():
        from sftprep.views.targets import describe_target, list_targets

        show(describe_target(name) if name else list_targets())


@app.command("inspect", cls=Command)
@chooses_rows(1)
def inspect_(
    folder: Folder,
    choose: Choose,
    row: Annotated[
        int | None,
        typer.Option(help="The first row to show, counted from 0.", rich_help_panel=ROWS),
    ] = None,
    dropped: Dropped = False,
    why: Why = False,
    ids: Ids = False,
    json: AsJson = False,
) -> None:
    """Show the tokens of a finished dataset, and which are trained."""
    with command():
        from sftprep.views.inspect import inspect_dataset, inspect_json, list_lost

        choice = choose()
        if dropped:
            show(list_lost(folder, choice))
        elif json:
            show(inspect_json(folder, choice, row=row))
        else:
            show_paged(inspect_dataset(folder, choice, look(ids=ids, why=why), row=row))


@app.command(cls=Command)
def verify(
    folder: Folder,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="More inputs for --against.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT...",
            help="The inputs of the dataset: render and encode them again, and compare the rows.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Check that this file is the template that the dataset was built with."),
    ] = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every file, row and count of a dataset.

    With --against, build the rows again from the inputs, and compare.
    """
    with command():
        from sftprep.verify.check import against_inputs
        from sftprep.verify.check import verify as job

        inputs = against_inputs(against, more)
        with progress_bar(silent=quiet) as progress:
            report = job(
                folder, against=inputs, template=template, workers=workers, progress=progress
            )
        if json:
            show(report.as_json())
        elif report.ok and not quiet:
            show(report.summary())
        report.check()


@app.command(cls=Command)
def diff(
    old: Annotated[str, typer.Argument(metavar="DIR_A", help="The folder of a dataset.")],
    new: Annotated[str, typer.Argument(metavar="DIR_B", help="The folder of another dataset.")],
    rows: Annotated[int, typer.Option(help="How many rows that differ to show.")] = 3,
    json: Json = False,
) -> None:
    """Show what differs between two datasets.

    Exit code 0: both hold the same rows, in the same order and splits. Exit code 1: they do not.
    """
    with command():
        from sftprep.comparison.compare import compare

        found = compare(old, new, examples=rows)
        if json:
            show(found.dump())
        else:
            from sftprep.views.diff import describe

            show(describe(found, colour=is_coloured()))
        if not found.is_equal:
            raise typer.Exit(1)


add_report(app)


@app.command("help", cls=Command)
def help_(
    topic: Annotated[
        str | None, typer.Argument(help="The page to show.", autocompletion=completer(topics))
    ] = None,
) -> None:
    """Show a page of the manual, or list its pages."""
    with command():
        from sftprep.views.manual import manual_page

        show(manual_page(topic, colour=is_coloured()))


def main() -> None:
    """Run the program ``sftprep``."""
    set_up()
    try:
        app()
    finally:
        ignore_signals()
        gc.freeze()  # the interpreter then exits without searching all objects for cycles
