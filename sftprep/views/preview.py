"""Show rows that ``prepare`` would write: run the real stages, but write nothing.

In     a ``Recipe``, whose output is ignored; which rows to show, and how.
Out    text: the rows, and one line that counts the records that were read and those that gave no
       row.
Keeps  the work small for the first rows, whatever the size of the input: records go through the
       stages one at a time, until there are enough rows or ``MAX_LOST`` records gave no row
       (``PATIENCE`` are enough if a chat template needs too much time for them). If rows are
       chosen otherwise, all records go through the stages first, in as many processes as in a run.
Never  writes a file. Never runs a chat template in this process: a worker does it, as in a run.
Raises what ``prepare`` raises before it reads the first record. NoInputError: there are no records.
       DataError: no record gave a row.
"""

from collections import defaultdict, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.block import Block, Source, place_in
from sftprep.data.omitted import in_words
from sftprep.data.provenance import CutAt, RowFacts
from sftprep.data.result import BlockResult, LostRecord
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import DataError, NoInputError
from sftprep.pipeline import Pipeline, with_schemas
from sftprep.plan import Plan, is_chat_template, plan
from sftprep.reading.blocks import BLOCK_BYTES as RUN_BLOCK_BYTES
from sftprep.reading.blocks import BlockReader
from sftprep.reading.parsing import single_records
from sftprep.recipe import Recipe
from sftprep.settings import Settings
from sftprep.system.cores import usable_cores
from sftprep.templates.limits import PATIENCE, TOO_SLOW
from sftprep.text import ascii_safe, number
from sftprep.views.choice import Candidate, Choice, check_lost, nothing_found
from sftprep.views.layout import fit
from sftprep.views.row_json import rows_as_json
from sftprep.views.token_text import Cut, Look, Row, cut_in_words, legend, show_row
from sftprep.views.vocabulary import Vocabulary
from sftprep.views.why import runs_of

Key = tuple[int, int, int]
"""A record: the number of its source, its line, and its offset (-1 in a table)."""
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


def preview(recipe: Recipe, choice: Choice, look: Look) -> str:
    """Return rows that ``prepare`` would write, as text.

    Args:
        recipe: the options.
        choice: which rows.
        look: how they are shown.
    """
    job, outcome = _shown(recipe, choice)
    vocabulary = Vocabulary(job.settings.tokenizer.json)
    if look.why is not None:
        look = replace(look, why=_options(recipe))
    bodies = [show_row(row, vocabulary, look) for row in outcome.rows]
    head = fit(f"{_describe(job.settings)}\n{legend(colour=look.colour)}", look.width)
    return "\n\n".join([head, *bodies, fit(outcome.account(), look.width)])


def preview_json(recipe: Recipe, choice: Choice) -> bytes:
    """Return rows that ``prepare`` would write, as one JSON object.

    Args:
        recipe: the options.
        choice: which rows.
    """
    job, outcome = _shown(recipe, choice)
    vocabulary = Vocabulary(job.settings.tokenizer.json)
    return rows_as_json(outcome.rows, vocabulary, _options(recipe))


def list_lost(recipe: Recipe, choice: Choice) -> str:
    """List the records that would have no row, with the reasons.

    Args:
        recipe: the options.
        choice: how many; a place and a reason if others are not wanted.
    """
    check_lost(choice)
    with closing(WorkerPool()) as pool:
        job = _start(recipe, pool)
        lines: list[str] = []
        read = count = 0
        with closing(_whole_blocks(recipe, job, pool)) as results:
            for result in results:
                read += result.read
                for lost in sorted(result.rejected + result.dropped, key=lambda each: each.line):
                    count += 1
                    source = job.sources[lost.source]
                    if len(lines) < choice.rows and choice.wants_lost(
                        source.name, lost.line, lost.reason
                    ):
                        place = place_in(source.name, lost.line, lost.offset)
                        what = lost.error.problem if lost.error else _length(lost)
                        lines.append(ascii_safe(f"{place}: {lost.reason}{what and ', '}{what}"))
    head = f"{number(count, 'record')} of {read:,} without a row, {len(lines):,} shown"
    return "\n".join([head, *lines])


def _length(lost: LostRecord) -> str:
    return number(lost.tokens, "token") if lost.tokens is not None else ""


def _shown(recipe: Recipe, choice: Choice) -> tuple[Plan, "_Outcome"]:
    """Make the rows that are chosen."""
    with closing(WorkerPool()) as pool:
        job = _start(recipe, pool)
        outcome = _Outcome(job.sources)
        chosen, seen = (None, 0) if choice.is_plain else _choose(recipe, choice, job)
        results = _results(_blocks(recipe, job, BLOCK_BYTES), job, pool, chosen)
        with closing(results):
            outcome.fill(results, choice.rows, chosen)
        if chosen is not None:
            outcome.chosen = f"chosen by {choice.in_words()} from {number(seen, 'row')}"
    if not outcome.read:
        raise NoInputError("the input holds no records. Check the files.")
    if not outcome.rows:
        raise DataError(
            f"no row to show: {outcome.account()}. {outcome.first_error()}Fix the data, or change "
            "the options."
        )
    return job, outcome


def _start(recipe: Recipe, pool: WorkerPool) -> Plan:
    if is_chat_template(recipe.template):
        pool.start(1)  # it loads its libraries while this process does
    return plan(recipe)


def _options(recipe: Recipe) -> dict[str, Any]:
    names = ("train_on", "train_reasoning", "train_tool_calls", "per_turn")
    return {name: getattr(recipe, name) for name in names}


def _blocks(recipe: Recipe, job: Plan, size: int) -> Iterator[Block]:
    reader = BlockReader(
        job.sources, recipe.shard_bytes, size, limits=recipe.limits, hints=recipe.hints
    )
    return with_schemas(reader, recipe.schema, recipe.field_names)


def _whole_blocks(recipe: Recipe, job: Plan, pool: WorkerPool) -> Generator[BlockResult]:
    """Process all records, in as many processes as a run would use."""
    paths = [source.path for source in job.sources]
    blocks = _blocks(recipe, job, RUN_BLOCK_BYTES)
    yield from run_blocks(blocks, job.settings, recipe.workers or usable_cores(), paths, pool)


def _choose(recipe: Recipe, choice: Choice, job: Plan) -> "tuple[dict[Key, list[int]], int]":
    """Find the rows that are chosen, among those of all records.

    Returns:
        for the record of each row: its source, and its line and offset -> the numbers of its
        examples that are chosen, in the order in which rows are shown; and how many rows there are.
    """
    vocabulary = Vocabulary(job.settings.tokenizer.json)
    seen, reasons = 0, set[str]()

    def wanted(results: Iterator[BlockResult]) -> Iterator[Candidate]:
        nonlocal seen
        for result in results:
            if result.batch is None:
                continue
            seen += len(result.batch)
            reasons.update(_facts(result.batch).reasons)
            for at, row in enumerate(_candidates(result.batch, job.sources)):
                if choice.wants(row) and _holds(result.batch, at, choice.grep, vocabulary):
                    yield row

    with closing(WorkerPool()) as pool, closing(_whole_blocks(recipe, job, pool)) as results:
        picked = choice.pick(wanted(results))
    if not picked:
        raise nothing_found(choice, seen, reasons)
    found: dict[Key, list[int]] = {}
    for row in picked:
        source, line, offset, answer = row.key
        found.setdefault((source, line, offset), []).append(answer)
    return found, seen


def _candidates(batch: Batch, sources: Sequence[Source]) -> Iterator[Candidate]:
    facts = _facts(batch)
    columns = (facts.source, facts.line, facts.offset, facts.answer, facts.cut_tokens)
    lengths = np.diff(batch.offsets).tolist()
    names = {name: rows.tolist() for name, rows in facts.reasons.items()}
    rows = zip(*(column.tolist() for column in columns), lengths, strict=True)
    for at, (source, line, offset, answer, cut, tokens) in enumerate(rows):
        reasons = [name for name, counted in names.items() if counted[at]]
        key = (source, line, offset, answer)
        yield Candidate(key, sources[source].name, line, tokens, cut, reasons)


def _holds(batch: Batch, row: int, text: str | None, vocabulary: Vocabulary) -> bool:
    """Tell whether a row holds a text."""
    if text is None:
        return True
    start, stop = batch.offsets[row : row + 2].tolist()
    data = (vocabulary.token(token).data for token in batch.input_ids[start:stop].tolist())
    return text.encode() in b"".join(data)


def _results(
    blocks: Iterator[Block], job: Plan, pool: WorkerPool, chosen: "dict[Key, list[int]] | None"
) -> Generator[tuple[Block, BlockResult]]:
    """Process one record at a time; yield each record, as a block, with its result.

    Args:
        blocks: all blocks of the input.
        job: what to do.
        pool: worker processes.
        chosen: the records that are wanted; None for all.
    """
    singles = (single for block in blocks for single in single_records(block))
    if chosen is not None:
        singles = (single for single in singles if _key(single) in chosen)
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


def _key(single: Block) -> "Key":
    line, offset = single.place(0)
    return single.source, line, -1 if offset is None else offset


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
    chosen: str = ""  # from how many rows they are chosen, and how; "" if they are the first ones

    def fill(
        self,
        results: Iterator[tuple[Block, BlockResult]],
        wanted: int,
        chosen: "dict[Key, list[int]] | None",
    ) -> None:
        """Collect the results of one record after another, until there are ``wanted`` rows.

        Args:
            results: records with their results.
            wanted: how many rows.
            chosen: the examples that are wanted of each record, in their order; None for all.
        """
        found: dict[Key, list[Row]] = {}
        for single, result in results:
            self.read += result.read
            self.lost += result.rejected + result.dropped
            rows = self._rows(single, result)
            if chosen is not None:
                key = _key(single)
                found[key] = [rows[answer] for answer in chosen[key] if answer < len(rows)]
                if len(found) < len(chosen):
                    continue
                rows = [row for key in chosen for row in found[key]]
            self.rows = [
                replace(row, number=at) for at, row in enumerate([*self.rows, *rows][:wanted])
            ]
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
        if self.chosen:
            return f"{number(len(self.rows), 'row')} shown, {self.chosen}"
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
                runs=runs_of(_facts(batch).segments.row(row)),
                cuts=_cuts(batch, row),
            )
            for row, (start, end) in enumerate(pairwise(batch.offsets.tolist()))
        ]

    def _place(self, source: int, line: int, offset: int | None) -> str:
        return place_in(ascii_safe(self.sources[source].name), line, offset)


def _facts(batch: Batch) -> RowFacts:
    assert batch.facts is not None  # the pipeline gives facts to all rows
    return batch.facts


def _cuts(batch: Batch, row: int) -> tuple[Cut, ...]:
    """Return what truncation has removed at the ends of a row."""
    facts = _facts(batch)
    if not facts.cut_tokens[row]:
        return ()
    lost = number(int(facts.cut_tokens[row]), "token")
    places = CutAt(int(facts.cut_at[row]))
    words = cut_in_words(lost, int(facts.cut_trained[row]), len(places))
    if CutAt.START in places:
        return (Cut(0, words),)
    size = int(batch.offsets[row + 1] - batch.offsets[row])
    return (Cut(size, words),) if CutAt.END in places else ()


def _stop_remark(result: BlockResult) -> str:
    """Say how many answers end without a stop token, and with which other tokens."""
    without = result.counts["answers_without_stop"]
    others = ", ".join(sorted(result.other_stops))
    return (
        f"{number(without, 'answer')} {'ends' if without == 1 else 'end'} without a trained stop "
        f"token{', but with ' if others else ''}{others}"
    )
