"""The command line: flags -> Recipe, errors -> stderr and exit code, progress. No logic.

Results go to stdout, messages and progress to stderr. Nothing heavy is imported before a command
runs: ``sftprep --help`` must be quick.
"""

import gc
from typing import Annotated, Any

import typer

from sftprep.cli.terminal import command, ignore_signals, is_coloured, progress_bar, set_up, show

app = typer.Typer(
    name="sftprep",
    help="Turn instruction data into tokenized, label-masked training shards.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: half the time to load
    pretty_exceptions_enable=False,  # a bug of ours shall show an ordinary traceback
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 usage, 65 bad data, 66 no input, 70 a bug of ours, 73 output "
    "exists or cannot be made, 74 I/O, 75 output in use, 130 and 143 interrupted.",
)

Inputs = Annotated[
    list[str] | None, typer.Argument(help="Files, globs, folders, or - for standard input.")
]
Output = Annotated[str | None, typer.Option(help="The folder to write the dataset to.")]
TokenizerName = Annotated[
    str | None, typer.Option("--tokenizer", help="A folder, a tokenizer.json, or a hub id.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
RecipeFile = Annotated[
    str | None, typer.Option("--recipe", help="A YAML file with any option as a key; flags win.")
]
PrintRecipe = Annotated[
    bool, typer.Option("--print-recipe", help="Print the resolved recipe, and stop.")
]
Schema = Annotated[
    str | None,
    typer.Option(
        help="auto, prompt-completion, instruction, messages or sharegpt. [default: auto]"
    ),
]
Field = Annotated[
    list[str] | None,
    typer.Option(
        help="CANONICAL=ACTUAL, what the data calls a field: prompt=question. Repeatable."
    ),
]
TemplateName = Annotated[
    str | None,
    typer.Option(
        "--template", help="Built-in, YAML or .jinja file, or tokenizer. [default: plain]"
    ),
]
TemplateArg = Annotated[
    list[str] | None,
    typer.Option(help="KEY=VALUE for a chat template: enable_thinking=false. Repeatable."),
]
Date = Annotated[str | None, typer.Option(help="YYYY-MM-DD: what a chat template takes for today.")]
System = Annotated[str | None, typer.Option(help="The system prompt where a record has none.")]
Separator = Annotated[
    str | None,
    typer.Option(help="Text between prompt and completion (plain); may be a special token."),
]
AddToken = Annotated[
    list[str] | None,
    typer.Option(help="TOKEN to add if missing; ROLE=TOKEN makes it bos, eos, pad or sep too."),
]
AllowControl = Annotated[
    list[str] | None,
    typer.Option(help="A control token that the data writes as text and means. Repeatable."),
]
MaxLength = Annotated[
    int | None,
    typer.Option(help="Longest row in tokens. [default: 2048, or the tokenizer's limit if less]"),
]
Truncation = Annotated[
    str | None,
    typer.Option(
        help="error, drop, keep-start, keep-end, prompt-start, completion-end, balanced or "
        "oldest-turns. [default: drop]"
    ),
]
TrainOn = Annotated[
    str | None,
    typer.Option(help="completion (all answers), last, or all. [default: completion]"),
]
PerTurn = Annotated[
    bool, typer.Option("--per-turn", help="One example for each answer, with its own prompt.")
]
IgnoreIndex = Annotated[
    int | None, typer.Option(help="The label of tokens without loss. [default: -100]")
]
Boundary = Annotated[
    str | None,
    typer.Option(help="Encode both sides of a loss boundary split or joint. [default: split]"),
]
BackendName = Annotated[
    str | None,
    typer.Option("--backend", help="auto, gigatoken or hf: the same ids. [default: auto]"),
]
Format = Annotated[str | None, typer.Option(help="parquet, arrow or jsonl. [default: parquet]")]
ShardSize = Annotated[
    str | None, typer.Option(help="Input bytes in one shard, e.g. 500KB. [default: 64MiB]")
]
MaxLineBytes = Annotated[
    str | None, typer.Option(help="Longest record; others are bad records. [default: 64MiB]")
]
MaxExpansion = Annotated[
    int | None,
    typer.Option(help="Compressed input: bytes that one stored byte may become. [default: 200]"),
]
OnInjection = Annotated[
    str | None,
    typer.Option(
        help="A control token's text in a record: encode it, or reject. [default: encode]"
    ),
]
OnError = Annotated[
    str | None,
    typer.Option(help="Bad records: fail, or quarantine them. [default: fail]"),
]
MaxRejects = Annotated[
    str | None, typer.Option(help="With quarantine: the most bad records, as N or P%.")
]
Workers = Annotated[
    int | None, typer.Option(help="Worker processes. [default: the cores it may use]")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a dataset, once the new one is whole.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run with these options ended.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


@app.command()
def prepare(
    inputs: Inputs = None,
    output: Output = None,
    tokenizer: TokenizerName = None,
    revision: Revision = None,
    recipe: RecipeFile = None,
    print_recipe: PrintRecipe = False,
    schema: Schema = None,
    field: Field = None,
    template: TemplateName = None,
    template_arg: TemplateArg = None,
    date: Date = None,
    system: System = None,
    separator: Separator = None,
    add_token: AddToken = None,
    allow_control: AllowControl = None,
    max_length: MaxLength = None,
    truncation: Truncation = None,
    train_on: TrainOn = None,
    per_turn: PerTurn = False,
    ignore_index: IgnoreIndex = None,
    boundary: Boundary = None,
    backend: BackendName = None,
    format: Format = None,  # noqa: A002 - the option's name
    shard_size: ShardSize = None,
    max_line_bytes: MaxLineBytes = None,
    max_expansion: MaxExpansion = None,
    on_injection: OnInjection = None,
    on_error: OnError = None,
    max_rejects: MaxRejects = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a dataset: read, apply the template, tokenize, cut, mask."""
    given = dict(locals())
    with command():
        from sftprep import prepare as job
        from sftprep.cli.summary import summarize
        from sftprep.recipe import Recipe

        resolved = Recipe.from_sources(recipe, _options(given))
        if print_recipe:
            show(resolved.to_yaml().encode())
            return
        with progress_bar(silent=quiet) as progress:
            result = job(resolved, progress=progress)
        if json:
            show(result.dump())
        elif not quiet:
            show(summarize(result.manifest, str(resolved.output), result.status))


@app.command()
def templates(
    name: Annotated[str | None, typer.Argument(help="Show this one, rendered.")] = None,
) -> None:
    """List the built-in templates, or show one with its trained part marked."""
    with command():
        from sftprep.views.templates import describe_template, list_templates

        show(describe_template(name, colour=is_coloured()) if name else list_templates())


@app.command()
def preview(
    inputs: Inputs = None,
    rows: Annotated[int, typer.Option(help="How many rows to show.")] = 3,
    tokenizer: TokenizerName = None,
    revision: Revision = None,
    recipe: RecipeFile = None,
    print_recipe: PrintRecipe = False,
    schema: Schema = None,
    field: Field = None,
    template: TemplateName = None,
    template_arg: TemplateArg = None,
    date: Date = None,
    system: System = None,
    separator: Separator = None,
    add_token: AddToken = None,
    allow_control: AllowControl = None,
    max_length: MaxLength = None,
    truncation: Truncation = None,
    train_on: TrainOn = None,
    per_turn: PerTurn = False,
    ignore_index: IgnoreIndex = None,
    boundary: Boundary = None,
    backend: BackendName = None,
    max_line_bytes: MaxLineBytes = None,
    max_expansion: MaxExpansion = None,
    on_injection: OnInjection = None,
    on_error: OnError = None,
) -> None:
    """Show what prepare would train on: tokens, trained or not. Nothing is written."""
    given = dict(locals())
    with command():
        from sftprep.recipe import Recipe
        from sftprep.views.preview import preview as job

        resolved = Recipe.from_sources(recipe, _options(given))
        if print_recipe:
            show(resolved.to_yaml().encode())
            return
        show(job(resolved, rows=rows, colour=is_coloured()))


@app.command("inspect")
def inspect_(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A finished dataset.")],
    row: Annotated[int, typer.Option(help="The first row to show, counted from 0.")] = 0,
    rows: Annotated[int, typer.Option(help="How many rows to show.")] = 1,
) -> None:
    """Show rows of a finished dataset: tokens, trained or not."""
    with command():
        from sftprep.views.inspect import inspect_dataset

        show(inspect_dataset(folder, row=row, rows=rows, colour=is_coloured()))


@app.command()
def verify(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A finished dataset.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="More of --against.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT...",
            help="What it was made from: rendered and encoded again, record by record.",
        ),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="A file that should be the template it was made with.")
    ] = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every file, row and sum of a dataset; with --against, make it again and compare."""
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


NOT_OPTIONS = frozenset({"recipe", "print_recipe", "json", "quiet", "rows", "row"})


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The command's parameters that are options of a recipe."""
    return {name: value for name, value in given.items() if name not in NOT_OPTIONS}


def main() -> None:
    """The program."""
    set_up()
    try:
        app()
    finally:
        ignore_signals()
        gc.freeze()  # the interpreter's end need not look for cycles in all that was loaded
