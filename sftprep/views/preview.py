"""Show the first rows that ``prepare`` would write: run the real stages, but write nothing.

In     a ``Recipe``, whose output is ignored; how many rows to show.
Out    text: the rows, and one line that counts the records that were read and those that gave no
       row.
Keeps  the work small, whatever the size of the input: records go through the stages one at a time,
       until there are enough rows or ``MAX_LOST`` records gave no row.
Never  writes a file or starts a process.
Raises what ``prepare`` raises before it reads the first record. NoInputError: there are no records.
       DataError: no record gave a row.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sftprep.data.block import Block, Element, Source
from sftprep.data.omitted import in_words
from sftprep.data.result import BlockResult, LostRecord
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.pipeline import Pipeline, Settings, with_schemas
from sftprep.plan import plan
from sftprep.reading.blocks import BlockReader
from sftprep.recipe import Recipe
from sftprep.text import ascii_safe, number
from sftprep.views.token_text import Row, legend, show_row
from sftprep.views.vocabulary import Vocabulary

BLOCK_BYTES = 64 << 10
"""How much input is read at a time: less than in a run, since few records are needed."""
MAX_LOST = 1000
"""A preview ends after this many records that gave no row."""

REMARKS = {
    "truncated": "cut to --max-length",
    "truncated_trained": "the cut removed trained tokens",
    "shortened": "lost its oldest exchanges, to fit --max-length",
    "unclean_boundaries": "prompt and completion do not meet at a token boundary",
}
"""Key of ``BlockResult.counts`` -> the remark on a row that it counts."""


def preview(recipe: Recipe, *, rows: int, colour: bool) -> str:
    """Return the first rows that ``prepare`` would write, as text.

    Args:
        recipe: the options.
        rows: how many rows.
        colour: True to mark text with colours; False to mark it with plain characters.
    """
    if rows < 1:
        raise UsageError(f"--rows is {rows}; expected 1 or more.")
    job = plan(recipe)
    reader = BlockReader(job.sources, recipe.shard_bytes, BLOCK_BYTES, limits=recipe.limits)
    outcome = _Outcome(job.sources)
    blocks = with_schemas(reader, recipe.schema, recipe.field_names)
    outcome.fill(blocks, Pipeline(job.settings), rows)
    if not outcome.read:
        raise NoInputError("the input holds no records. Check the files.")
    if not outcome.rows:
        raise DataError(
            f"no row to show: {outcome.account()}. Fix the data, or change the options."
        )
    vocabulary = Vocabulary(job.settings.tokenizer.json)
    bodies = [show_row(row, vocabulary, colour=colour) for row in outcome.rows]
    head = f"{_describe(job.settings)}\n{legend(colour=colour)}"
    return "\n\n".join([head, *bodies, outcome.account()])


def _describe(settings: Settings) -> str:
    return ascii_safe(
        f"template {settings.template.name}, tokenizer {settings.tokenizer.name}, at most "
        f"{settings.max_length:,} tokens per row; nothing is written"
    )


@dataclass
class _Outcome:
    """The results of the first records."""

    sources: Sequence[Source]
    read: int = 0
    rows: list[Row] = field(default_factory=list)
    lost: list[LostRecord] = field(default_factory=list)

    def fill(self, blocks: Iterator[Block], pipeline: Pipeline, wanted: int) -> None:
        """Process one record at a time, until there are ``wanted`` rows."""
        for block in blocks:
            for single in _single_records(block):
                result = pipeline.process(single)
                self.read += result.read
                self.lost += result.rejected + result.dropped
                self.rows = [*self.rows, *self._rows(single, result)][:wanted]
                if len(self.rows) >= wanted or len(self.lost) >= MAX_LOST:
                    return

    def account(self) -> str:
        """Return one line: records read, rows shown, and records without a row by reason."""
        text = f"{number(self.read, 'record')} read, {number(len(self.rows), 'row')} shown"
        for outcome, is_rejected in (("rejected", True), ("dropped", False)):
            places: dict[str, list[str]] = defaultdict(list)
            for lost in self.lost:
                if (lost.error is not None) == is_rejected:
                    places[lost.reason].append(self._place(lost.source, lost.line))
            reasons = [
                f"{len(found):,} {reason} ({'first at ' if len(found) > 1 else ''}{found[0]})"
                for reason, found in places.items()
            ]
            text += f"; {outcome}: {', '.join(reasons)}" if reasons else ""
        return text

    def _rows(self, block: Block, result: BlockResult) -> list[Row]:
        """Return the rows of a block that holds one record; ``per_turn`` may give several."""
        batch = result.batch
        if batch is None:
            return []
        remarks = [
            text if count >= len(batch) else f"{count} of this record's {len(batch)} rows: {text}"
            for key, text in REMARKS.items()
            if (count := result.counts[key])
        ]
        if result.omitted:
            remarks.append(f"left out of this record: {in_words(result.omitted)}")
        if result.controls:
            strings = ", ".join(sorted(result.controls))
            remarks.append(f"its text holds {strings}, which stays text (see --allow-control)")
        return [
            Row(
                number=row,
                ids=batch.input_ids[start:end].tolist(),
                trained=batch.loss_mask[start:end].tolist(),
                place=self._place(block.source, block.line),
                remarks=tuple(remarks),
            )
            for row, (start, end) in enumerate(pairwise(batch.offsets.tolist()), len(self.rows))
        ]

    def _place(self, source: int, line: int) -> str:
        return f"{ascii_safe(self.sources[source].name)}:{line}"


def _single_records(block: Block) -> Iterator[Block]:
    """Divide a block into blocks of one record, so that the place of each row's record is known."""
    for index, data in enumerate(block.lines()):
        line, offset = block.place(index)
        elements = None
        if block.elements is not None:
            elements = (Element(0, len(data), line, block.elements[index].column),)
        yield block._replace(line=line, offset=offset, data=data, elements=elements)
