"""Lay out the help of a command: options under headings, examples at the end.

In     a command with its parameters; the examples of ``EXAMPLES``.
Out    the text of ``--help``, as wide as the terminal, but no wider than ``WIDEST`` columns. For a
       command or an option that does not exist: an error that suggests the nearest one.
"""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from sftprep.cli.choosing import LOOK, ROWS
from sftprep.recipe import GROUPS
from sftprep.text import nearest

WIDEST = 120
"""Longer lines are hard to read."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "prepare": (
        ("with a built-in template", "train.jsonl -o out -t Qwen/Qwen3-8B --template chatml"),
        ("with the model's own chat template", "'*.jsonl' -o out -t MODEL --template tokenizer"),
        ("split, shuffled and packed for a trainer",
         "train.jsonl -o out -t MODEL --validation 2% --shuffle --pack --target trl"),
        ("keep bad records apart",
         "train.jsonl -o out -t MODEL --on-error quarantine --max-rejects 1%"),
        ("with the options of a file", "--recipe recipe.yaml --resume"),
    ),
    "export": (
        ("other packs", "out -o out8k --pack --pack-length 8192"),
        ("for another trainer", "out -o out-axolotl --target axolotl"),
        ("a split and another file format", "out -o split --validation 500 --format jsonl"),
    ),
    "preview": (
        ("three rows", "train.jsonl -t MODEL --template tokenizer"),
        ("why each token is trained or not", "train.jsonl -t MODEL --template tokenizer --why"),
        ("the record of line 12", "train.jsonl -t MODEL --line train.jsonl:12 --ids"),
        ("the longest rows of all", "train.jsonl -t MODEL --longest --rows 5"),
    ),
    "init": (
        ("questions about the data", "train.jsonl -t Qwen/Qwen3-8B"),
        ("no questions", "'data/*.jsonl' -t MODEL --yes --to recipe.yaml"),
    ),
    "stats": (
        ("of a finished dataset", "out"),
        ("of what prepare would write", "train.jsonl -t MODEL --template tokenizer"),
        ("from 2,000 records, chosen at random",
         "'data/*.jsonl' -t MODEL --template tokenizer --sample-records 2000"),
        ("all figures as JSON", "out --batch-size 64 --json"),
    ),
    "lint": (
        ("every rule that needs no tokenizer", "train.jsonl"),
        ("the rules about tokens too", "train.jsonl -t MODEL --template tokenizer"),
        ("training and validation files together", "train.jsonl valid.jsonl"),
        ("in a script", "train.jsonl --fail-on warning --ignore refusal --json"),
        ("a corrected copy", "train.jsonl --write-fixed clean.jsonl"),
        ("what a rule means", "--explain prompt-separator"),
    ),
    "inspect": (
        ("the first row", "out"),
        ("rows 100 to 104", "out --row 100 --rows 5"),
        ("ten rows at random, the same for a seed", "out --random --seed 7 --rows 10"),
        ("rows that were cut, and why tokens are masked", "out --cut --why --rows 5"),
        ("records without a row", "out --dropped --rows 100"),
    ),
    "verify": (
        ("all files, rows and counts", "out"),
        ("render and encode the input again, and compare", "out --against train.jsonl"),
    ),
    "diff": (
        ("what a new template has changed", "out-old out-new"),
        ("for a script: 0 if equal, 1 if not", "out-old out-new --json"),
    ),
    "report": (
        ("figures, and five rows at random", "out --html report.html"),
        ("with what lint has found", "out --html report.html --lint-json lint.json"),
        ("ten rows that were cut", "out --html cut.html --cut --rows 10"),
    ),
    "templates": (
        ("the list", ""),
        ("one template, with an example", "chatml"),
    ),
    "targets": (
        ("the list", ""),
        ("what one trainer reads and needs", "trl"),
    ),
    "help": (
        ("the list of pages", ""),
        ("one page", "masks"),
    ),
}  # fmt: skip
"""For each command: what an example does, and what follows ``sftprep COMMAND``."""


class Command(TyperCommand):
    """A command whose help has examples, and the options of a recipe under their headings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; for an option that does not exist, suggest only what is near."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # typer has no public name for this error.
            if hasattr(error, "possibilities") and hasattr(error, "option_name"):
                flags = [flag for each in self.get_params(ctx) for flag in each.opts]
                close = nearest(error.option_name, [f for f in flags if f.startswith("--")])
                error.possibilities = [close] if close else []
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the recipe's options by group, and the command's own options."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        rows |= {group: [] for group in GROUPS}
        rows |= {heading: [] for heading in (ROWS, LOOK)}
        rows["Other options"] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                rows["Arguments"].append(record)
            else:
                group = getattr(parameter, "rich_help_panel", None) or "Other options"
                rows[group].append(record)
        used = {heading: entries for heading, entries in rows.items() if entries}
        if set(used) <= {"Arguments", "Other options"} and "Other options" in used:
            used["Options"] = used.pop("Other options")
        for heading, entries in used.items():
            with formatter.section(heading):
                formatter.write_dl(entries)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples: a line that can be copied is never broken."""
        examples = EXAMPLES.get(self.name or "", ())
        if not examples:
            return
        lines = "".join(
            f"\n  # {what}\n  {f'sftprep {self.name} {arguments}'.rstrip()}\n"
            for what, arguments in examples
        )
        formatter.write(f"\nExamples:\n{lines.removeprefix(chr(10))}")


class Commands(TyperGroup):
    """The list of commands; for one that does not exist, the nearest is suggested."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            close = nearest(args[0], self.commands)
            hint = f"Did you mean {close!r}?" if close else "sftprep --help lists them."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)
