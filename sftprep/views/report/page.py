"""Build the page: figures, rows and facts into ``page.html.jinja``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftprep.data.limits import STRATEGIES
from sftprep.dataset.card import TRUNCATION
from sftprep.dataset.manifest import Manifest, size_of
from sftprep.recipe import command_line
from sftprep.statistics.figures import Group, Statistics
from sftprep.statistics.of_dataset import of_dataset
from sftprep.text import ascii_safe, flag, number
from sftprep.views.choice import Choice
from sftprep.views.dataset_rows import Dataset
from sftprep.views.report import bars
from sftprep.views.report.findings import Findings, read_findings
from sftprep.views.report.row_text import shown_row
from sftprep.views.stats import facts, limits_that_matter, percent, size

TEMPLATE = "page.html.jinja"
MOST_SOURCES = 30
"""How many inputs have a line in the table of sources; those with the most tokens."""
MOST_FILES = 200
"""How many inputs, and how many shards, are listed with their hashes."""
PERCENTILES = ("5", "25", "50", "75", "95", "99")


def report_page(
    folder: str, choice: Choice, *, batch_size: int, lint_json: str | None = None
) -> str:
    """Return the report of a dataset as one page of HTML.

    Args:
        folder: the folder of the dataset.
        choice: which rows are shown. If it chooses none but their number, they are chosen at
            random, with the choice's seed: the first rows are often of one kind.
        batch_size: how many rows, or packs, a training step takes.
        lint_json: the path of a file that ``sftprep lint --json`` has printed.
    """
    findings = None if lint_json is None else read_findings(lint_json)
    dataset = Dataset(Path(folder))
    manifest = dataset.manifest
    chosen = f"with {choice.in_words()}" if not choice.is_plain else "at random"
    if choice.is_plain:
        choice = Choice(rows=choice.rows, random=True)
    rows = list(dataset.chosen(choice, None))
    vocabulary = dataset.vocabulary()
    found = of_dataset(dataset.folder, batch_size=batch_size)
    names = [entry["name"] for entry in manifest.inputs]
    page: str = _template().render(
        name=Path(folder).resolve().name,
        noun="document" if found.packed else "row",
        found=found,
        manifest=manifest,
        tiles=list(_tiles(found, manifest)),
        what=_what(found, manifest),
        sentences=dict(facts(found)),
        histograms=list(_histograms(found)),
        percentiles=PERCENTILES,
        limits=limits_that_matter(found),
        fates=bars.fates(limits_that_matter(found), _strategy(found)),
        strategy=_strategy(found),
        strategies=STRATEGIES,
        groups=list(_groups(found)),
        losses=list(_losses(found)),
        rows=[shown_row(row, vocabulary, manifest.recipe) for row in rows],
        rows_chosen=chosen,
        findings=findings,
        other_inputs=findings is not None and _are_other(findings, manifest),
        command=command_line(manifest.recipe, names, manifest.tokenizer["name"]),
        options=[(flag(name), _value(value)) for name, value in manifest.recipe.items()],
        most_files=MOST_FILES,
        shard_size=size_of,
    )
    return page


def _template() -> Any:
    """Load the page's template; what it is given is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    environment.filters["percent"] = percent
    environment.filters["size"] = size
    return environment.get_template(TEMPLATE)


def _visible(value: Any) -> Any:
    """Write what cannot be seen in a text as escapes; text that is escaped already stays as it is.

    Line breaks stay: only elements that show them as they are hold any.
    """
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return "\n".join(map(ascii_safe, value.split("\n")))
    return value


def _tiles(found: Statistics, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the figures that come first: a label and a number each."""
    tokens, trained = found.rows.tokens, found.rows.trained
    stored = sum(shard["rows"] for shard in manifest.shards)
    yield ("packs" if found.packed else "rows"), f"{stored:,}"
    if found.packed:
        yield "documents", f"{found.rows.rows:,}"
    if tokens is not None and trained is not None:
        yield "tokens", f"{tokens.total:,}"
        yield "trained", percent(trained.total / tokens.total)
    losses = found.losses
    cut = losses.truncated + losses.shortened
    yield "cut", f"{cut:,}"
    yield "without a row", f"{sum(losses.dropped.values()) + sum(losses.rejected.values()):,}"
    yield "size", size(found.shards.bytes)


def _what(found: Statistics, manifest: Manifest) -> str:
    return (
        f"Made from {number(found.losses.read, 'record')} by sftprep "
        f"{manifest.libraries.get('sftprep', '')} with the template {found.template} and the "
        f"tokenizer {found.tokenizer}, for the target {manifest.recipe['target']}. At most "
        f"{number(found.max_length, 'token')} for each record; if one was longer, "
        f"{TRUNCATION.get(found.truncation, found.truncation)}."
    )


def _histograms(found: Statistics) -> Iterator[tuple[str, Any, list[bars.Bar]]]:
    for title, spread in (("Tokens", found.rows.tokens), ("Trained tokens", found.rows.trained)):
        if spread is not None:
            yield title, spread, bars.histogram(spread.histogram)


def _strategy(found: Statistics) -> str:
    """Return the strategy of the dataset; ``error`` refuses the rows that ``drop`` drops."""
    return found.truncation if found.truncation in STRATEGIES else "drop"


def _groups(found: Statistics) -> Iterator[tuple[str, list[Group], int]]:
    """Yield the splits and the inputs: a title, those that are shown, and how many are not."""
    splits = [group for group in found.splits if group.rows]
    yield "split", splits, 0
    ordered = sorted(found.sources, key=lambda group: -group.share_of_tokens)
    yield "input", ordered[:MOST_SOURCES], max(len(ordered) - MOST_SOURCES, 0)


def _losses(found: Statistics) -> Iterator[tuple[str, int, list[bars.Bar]]]:
    """Yield why records have no row, by what has become of them."""
    for title, by_reason in (
        ("Dropped", found.losses.dropped),
        ("Rejected", found.losses.rejected),
    ):
        if by_reason:
            yield title, sum(by_reason.values()), bars.counts(by_reason)


def _are_other(findings: Findings, manifest: Manifest) -> bool:
    """Tell whether lint has read other inputs than the dataset was made from."""
    names = sorted(Path(name).name for name in findings.inputs)
    return names != sorted(Path(entry["name"]).name for entry in manifest.inputs)


def _value(value: object) -> str:
    """Return the value of an option in words."""
    if value is None or value in ([], ""):
        return "none" if value != "" else "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
