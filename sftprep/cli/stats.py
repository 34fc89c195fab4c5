"""The command ``stats``, and ``prepare --dry-run``: figures about what is written or would be."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftprep.cli.terminal import is_coloured, progress_bar, show
from sftprep.errors import UsageError
from sftprep.recipe import Recipe, not_for_rows, options

if TYPE_CHECKING:
    from sftprep.statistics.figures import Statistics

NOT_IN_STATS = (
    "output", "private_ledgers", "max_rejects", "max_dropped", "on_error", "overwrite", "resume",
    *not_for_rows(),
)  # fmt: skip
"""The options of ``prepare`` that the command does not take."""
BATCH_SIZE = 32
DRY_RUN_RECORDS = 2000
"""How many records ``prepare --dry-run`` looks at."""

BatchSize = Annotated[
    int, typer.Option(metavar="N", help="How many rows, or packs, a training step takes.")
]
SampleRecords = Annotated[
    int | None,
    typer.Option(metavar="N", help="Look at N records of the inputs, chosen at random."),
]
SampleSeed = Annotated[
    int, typer.Option(metavar="N", help="Decides which records --sample-records chooses.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with all figures.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]


def stats(
    recipe: Recipe,
    batch_size: BatchSize = BATCH_SIZE,
    sample_records: SampleRecords = None,
    sample_seed: SampleSeed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show figures: lengths, losses, packs, duplicates, steps, sizes. Writes nothing.

    INPUT is the folder of a finished dataset, which needs no options; or it is what prepare reads,
    with prepare's options.
    """
    if batch_size < 1:
        raise UsageError(f"--batch-size is {batch_size}; expected 1 or more.")
    if sample_records is not None and sample_records < 1:
        raise UsageError(f"--sample-records is {sample_records}; expected 1 or more.")
    folder = dataset_folder(recipe)
    if folder is not None:
        if sample_records is not None:
            raise UsageError("--sample-records is for inputs; of a dataset, all rows are counted.")
        from sftprep.statistics.of_dataset import of_dataset

        show_found(of_dataset(folder, batch_size=batch_size), json=json)
        return
    from sftprep.engine.local.early import started_early

    with (
        started_early(recipe.inputs, 1 if sample_records else recipe.workers) as early,
        progress_bar(silent=quiet) as progress,
    ):
        from sftprep.statistics.of_inputs import of_inputs

        found = of_inputs(
            recipe,
            batch_size=batch_size,
            sample=sample_records,
            seed=sample_seed,
            progress=progress,
            early=None if sample_records else early,
        )
    show_found(found, json=json)


def show_dry_run(recipe: Recipe, *, json: bool, quiet: bool) -> None:
    """Show what ``prepare`` would write, from a sample of the records, and what would stop it.

    Args:
        recipe: the recipe of ``prepare``.
        json: show one JSON object.
        quiet: show no progress.
    """
    from sftprep.run import existing_dataset
    from sftprep.statistics.of_inputs import of_inputs

    with progress_bar(silent=quiet) as progress:
        if existing_dataset(recipe) is not None:
            progress.note(
                f"{recipe.output}: already complete, from the same input and options; a run would "
                "do nothing."
            )
        found = of_inputs(recipe, batch_size=BATCH_SIZE, sample=DRY_RUN_RECORDS, progress=progress)
        if stop := would_stop(recipe, found):
            progress.warn(f"a run would publish nothing: {stop}.")
    show_found(found, json=json)


def would_stop(recipe: Recipe, found: "Statistics") -> str:
    """Return why a run would fail on records like those that were looked at; "" if it would not."""
    losses = found.losses
    rejected, dropped = sum(losses.rejected.values()), sum(losses.dropped.values())
    if rejected and recipe.on_error == "fail":
        return f"{rejected:,} of {losses.read:,} records cannot be used; see --on-error quarantine"
    limit = recipe.reject_limit(losses.read)
    if limit is not None and rejected > limit:
        return f"{rejected:,} of {losses.read:,} records cannot be used, over --max-rejects"
    limit = recipe.drop_limit(losses.examples)
    if limit is not None and dropped > limit:
        return f"{dropped:,} of {losses.examples:,} records would be dropped, over --max-dropped"
    return ""


def dataset_folder(recipe: Recipe) -> Path | None:
    """Return the folder of the finished dataset that a recipe names as its only input.

    Returns:
        None if it names something else.

    Raises:
        UsageError: there is such a folder, and an option that says how to prepare inputs.
    """
    folders = [name for name in recipe.inputs if Path(name).is_dir()]
    if not folders:
        return None
    from sftprep.dataset.files import MANIFEST  # it loads numpy, which workers do meanwhile

    datasets = [name for name in folders if (Path(name) / MANIFEST).is_file()]
    if not datasets:
        return None
    if len(recipe.inputs) > 1:
        raise UsageError(
            f"{datasets[0]} is a finished dataset: it must be the only input. Ask for the stats of "
            "each by itself."
        )
    for option in options():
        given = getattr(recipe, option.name) != option.default
        if given and option.name not in ("inputs", "workers"):
            raise UsageError(
                f"{option.flag} cannot be used: {datasets[0]} is a finished dataset. Remove the "
                "option, or name the inputs of the dataset."
            )
    return Path(datasets[0])


def show_found(found: "Statistics", *, json: bool) -> None:
    """Show figures: as one JSON object, or as text as wide as the terminal."""
    if json:
        import orjson

        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        show(orjson.dumps(found.as_dict(), option=option))
        return
    from sftprep.views.stats import PLAIN_COLUMNS, show_statistics

    width = PLAIN_COLUMNS
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns, 40)
    show(show_statistics(found, width=width, colour=is_coloured()))
