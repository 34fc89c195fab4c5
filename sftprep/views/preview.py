"""Show the first rows that ``prepare`` would write: run the real stages, but write nothing.

In     a ``Recipe``, whose output is ignored; how many rows to show.
Out    text: the rows, and one line that counts the records that were read and those that gave no
       row.
Keeps  the work small, whatever the size of the input: records go through the stages one at a time,
       until there are enough rows or ``MAX_LOST`` records gave no row (``PATIENCE`` are enough if a
       chat template needs too much time for them).
Never  writes a file. Never runs a chat template in this process: a worker does it, as in a run.
Raises what ``prepare`` raises before it reads the first record. NoInputError: there are no records.
       DataError: no record gave a row.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise

from sftprep.data.block import Block, Source, place_in
from sftprep.data.omitted import in_words
from sftprep.data.result import BlockResult, LostRecord
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.pipeline import Pipeline, with_schemas
from sftprep.plan import Plan, is_chat_template, plan
from sftprep.reading.blocks import BlockReader
from sftprep.reading.parsing import single_records
from sftprep.recipe import Recipe
from sftprep.settings import Settings
from sftprep.templates.limits import PATIENCE, TOO_SLOW
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
    with closing(WorkerPool()) as pool:
        if is_chat_template(recipe.template):
            pool.start(1)  # it loads its libraries while this process does
        job = plan(recipe)
        reader = BlockReader(
            job.sources, recipe.shard_bytes, BLOCK_BYTES, limits=recipe.limits, hints=recipe.hints
        )
        outcome = _Outcome(job.sources)
        blocks = with_schemas(reader, recipe.schema, recipe.field_names)
        outcome.fill(_results(blocks, job, pool), rows)
    if not outcome.read:
        raise NoInputError("the input holds no records. Check the files.")
    if not outcome.rows:
        raise DataError(
            f"no row to show: {outcome.account()}. {outcome.first_error()}Fix the data, or change "
            "the options."
        )
    vocabulary = Vocabulary(job.settings.tokenizer.json)
    bodies = [show_row(row, vocabulary, colour=colour) for row in outcome.rows]
    head = f"{_describe(job.settings)}\n{legend(colour=colour)}"
    return "\n\n".join([head, *bodies, outcome.account()])


def _results(
    blocks: Iterator[Block], job: Plan, pool: WorkerPool
) -> Iterator[tuple[Block, BlockResult]]:
    """Process one record at a time; yield each record, as a block, with its result."""
    singles = (single for block in blocks for single in single_records(block))
    if not job.settings.untrusted:
        pipeline = Pipeline(job.settings)
        yield from ((single, pipeline.process(single)) for single in singles)
        return
    in_work: deque[Block] = deque()  # the worker answers in the order of the records

    def noted() -> Iterator[Block]:
        for single in singles:
            in_work.append(single)
            yield single

    paths = [source.path for source in job.sources]
    for result in run_blocks(noted(), job.settings, 1, paths, pool):
        yield in_work.popleft(), result


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

    def fill(self, results: Iterator[tuple[Block, BlockResult]], wanted: int) -> None:
        """Collect the results of one record after another, until there are ``wanted`` rows."""
        for single, result in results:
            self.read += result.read
            self.lost += result.rejected + result.dropped
            self.rows = [*self.rows, *self._rows(single, result)][:wanted]
            too_slow = sum(lost.reason == TOO_SLOW for lost in self.lost)
            if len(self.rows) >= wanted or len(self.lost) >= MAX_LOST or too_slow >= PATIENCE:
                return

    def first_error(self) -> str:
        """Return a sentence about the first bad record; "" if none is bad."""
        for lost in self.lost:
            if lost.error is not None:
                place = self._place(lost.source, lost.line, lost.offset)
                return f"The first bad record is {place}: {lost.error.problem}. "
        return ""

    def account(self) -> str:
        """Return one line: records read, rows shown, and records without a row by reason."""
        text = f"{number(self.read, 'record')} read, {number(len(self.rows), 'row')} shown"
        for outcome, is_rejected in (("rejected", True), ("dropped", False)):
            places: dict[str, list[str]] = defaultdict(list)
            for lost in self.lost:
                if (lost.error is not None) == is_rejected:
                    places[lost.reason].append(self._place(lost.source, lost.line, lost.offset))
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
        if result.counts["answers_without_stop"]:
            remarks.append(_stop_remark(result))
        if result.lookalikes:
            texts = ", ".join(sorted(result.lookalikes))
            remarks.append(f"the template writes {texts}, which is no token (see --plain-text)")
        if result.counts["glued_answers"]:
            remarks.append("an answer follows its prompt without a space or a line break")
        if blocks := result.counts["empty_think_blocks"]:
            trained = result.counts["trained_think_blocks"]
            remarks.append(
                f"the template writes {number(blocks, 'empty think block')}, {trained} trained"
            )
        if result.omitted:
            remarks.append(f"left out of this record: {in_words(result.omitted)}")
        if result.ignored:
            fields = ", ".join(sorted(result.ignored))
            remarks.append(f"not read in this record: {fields}")
        if result.controls:
            strings = ", ".join(sorted(result.controls))
            remarks.append(f"its text holds {strings}, which stays text (see --allow-control)")
        return [
            Row(
                number=row,
                ids=batch.input_ids[start:end].tolist(),
                trained=batch.loss_mask[start:end].tolist(),
                place=self._place(block.source, *block.place(0)),
                remarks=tuple(remarks),
            )
            for row, (start, end) in enumerate(pairwise(batch.offsets.tolist()), len(self.rows))
        ]

    def _place(self, source: int, line: int, offset: int | None) -> str:
        return place_in(ascii_safe(self.sources[source].name), line, offset)


def _stop_remark(result: BlockResult) -> str:
    """Say how many answers end without a stop token, and with which other tokens."""
    without = result.counts["answers_without_stop"]
    others = ", ".join(sorted(result.other_stops))
    return (
        f"{number(without, 'answer')} {'ends' if without == 1 else 'end'} without a trained stop "
        f"token{', but with ' if others else ''}{others}"
    )
