"""What ``prepare`` would train on: the real stages over the first records, and nothing written.

In     a ``Recipe`` (its output is not looked at), and how many rows to show.
Out    text: the rows, and a line on the records on the way that gave none.
Keeps  reading small, whatever the input's size: records go through one at a time until there are
       enough rows, or ``ENOUGH`` records gave none.
Never  writes a file or starts a process.
Raises what ``prepare`` would, before the first record; NoInputError: no records; DataError: no row.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sftprep.data.block import Block, Element, Source
from sftprep.data.result import BlockResult, LostRecord
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.pipeline import Pipeline, Settings, with_schemas
from sftprep.plan import plan
from sftprep.reading.blocks import BlockReader
from sftprep.recipe import Recipe
from sftprep.text import ascii_safe
from sftprep.views.token_text import Row, legend, show_row
from sftprep.views.vocabulary import Vocabulary

BLOCK_BYTES = 64 << 10
ENOUGH = 1000
"""Records without a row after which it is no use to look further."""

REMARKS = {
    "truncated": "cut to --max-length",
    "shortened": "lost its oldest exchanges, to fit --max-length",
    "unclean_boundaries": "prompt and completion do not meet between tokens",
}
"""What the counts of a record's block say of its row."""


def preview(recipe: Recipe, *, rows: int, colour: bool) -> str:
    """The first ``rows`` rows that ``prepare`` would write, for a terminal."""
    if rows < 1:
        raise UsageError(f"--rows is {rows}; expected 1 or more.")
    job = plan(recipe)
    reader = BlockReader(job.sources, recipe.shard_bytes, BLOCK_BYTES, limits=recipe.limits)
    seen = _Seen(job.sources)
    seen.look(with_schemas(reader, recipe.schema, recipe.field_names), Pipeline(job.settings), rows)
    if not seen.read:
        raise NoInputError("the input holds no records. Check the files.")
    if not seen.rows:
        raise DataError(f"no row to show: {seen.account()}. Fix the data, or change the options.")
    vocabulary = Vocabulary(job.settings.tokenizer.json)
    shown = [show_row(row, vocabulary, colour=colour) for row in seen.rows]
    head = f"{_describe(job.settings)}\n{legend(colour=colour)}"
    return "\n\n".join([head, *shown, seen.account()])


def _describe(settings: Settings) -> str:
    return ascii_safe(
        f"template {settings.template.name}, tokenizer {settings.tokenizer.name}, at most "
        f"{settings.max_length:,} tokens a row; nothing is written"
    )


@dataclass
class _Seen:
    """What became of the records that were looked at."""

    sources: Sequence[Source]
    read: int = 0
    rows: list[Row] = field(default_factory=list)
    lost: list[LostRecord] = field(default_factory=list)

    def look(self, blocks: Iterator[Block], pipeline: Pipeline, wanted: int) -> None:
        """Take records one at a time, until there are rows enough."""
        for block in blocks:
            for single in _singles(block):
                result = pipeline.process(single)
                self.read += result.read
                self.lost += result.rejected + result.dropped
                self.rows += self._rows(single, result)
                if len(self.rows) >= wanted or len(self.lost) >= ENOUGH:
                    return

    def account(self) -> str:
        """One line on the records so far, and on those that gave no row."""
        noun = "record" if self.read == 1 else "records"
        text = f"{self.read:,} {noun} looked at, {len(self.rows):,} shown"
        for kind, refused in (("rejected", True), ("dropped", False)):
            places: dict[str, list[str]] = defaultdict(list)
            for lost in self.lost:
                if (lost.error is not None) == refused:
                    places[lost.reason].append(self._place(lost.source, lost.line))
            reasons = [
                f"{len(found):,} {reason} ({'first at ' if len(found) > 1 else ''}{found[0]})"
                for reason, found in places.items()
            ]
            text += f"; {kind}: {', '.join(reasons)}" if reasons else ""
        return text

    def _rows(self, block: Block, result: BlockResult) -> list[Row]:
        if result.batch is None:
            return []
        remarks = [text for name, text in REMARKS.items() if result.counts[name]]
        if result.controls:
            strings = ", ".join(sorted(result.controls))
            remarks.append(f"its text holds {strings}, which stays text (see --allow-control)")
        batch = result.batch
        return [
            Row(
                number=len(self.rows),
                ids=batch.input_ids.tolist(),
                trained=batch.loss_mask.tolist(),
                place=self._place(block.source, block.line),
                remarks=tuple(remarks),
            )
        ]

    def _place(self, source: int, line: int) -> str:
        return f"{ascii_safe(self.sources[source].name)}:{line}"


def _singles(block: Block) -> Iterator[Block]:
    """The block's records as blocks of their own: so a row is known by its place."""
    for index, data in enumerate(block.lines()):
        line, offset = block.place(index)
        elements = None
        if block.elements is not None:
            elements = (Element(0, len(data), line, block.elements[index].column),)
        yield block._replace(line=line, offset=offset, data=data, elements=elements)
