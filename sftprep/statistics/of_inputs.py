"""The figures of the dataset that ``prepare`` would make of inputs, without writing it.

In     a ``Recipe``, whose output is ignored.
Out    ``Statistics``.
Keeps  the way of a run: all stages, the same worker processes, the same arrangement. Only nothing
       is written, and a few numbers of each row are kept in place of its tokens. A bad record is
       counted, and never ends the work.
Raises UsageError and the other errors of ``prepare`` before it reads the first record.
       NoInputError: there are no records. DataError: no record gives a row.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np

from sftprep.arrange.arrange import arrange
from sftprep.arrange.columns import Columns
from sftprep.arrange.options import Arrangement, Dedup
from sftprep.arrange.plan import Plan as RowPlan
from sftprep.data.block import Block
from sftprep.data.limits import LIMITS, LimitCounts
from sftprep.data.result import BlockResult
from sftprep.dataset.accounting import Accounting
from sftprep.dataset.files import SPLITS
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.formats.staged import TOKEN_BYTES
from sftprep.pipeline import with_schemas
from sftprep.plan import Plan, plan
from sftprep.progress import Progress, Silent
from sftprep.reading.blocks import BlockReader
from sftprep.recipe import Recipe
from sftprep.statistics import computing
from sftprep.statistics.estimate import Costs, TrialShard
from sftprep.statistics.figures import Lengths, Sample, Statistics
from sftprep.statistics.of_dataset import losses, packs_of
from sftprep.statistics.rows import Collected, RowNumbers
from sftprep.statistics.sampling import choose

CUT, LOST_TRAINED, SHORTENED = 1, 2, 4
"""What truncation has done to a row: bits of a column."""


def of_inputs(
    recipe: Recipe,
    *,
    batch_size: int,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    early: WorkerPool | None = None,
) -> Statistics:
    """Return the figures of what ``prepare`` would write.

    Args:
        recipe: the options of ``prepare``.
        batch_size: how many rows, or packs, a training step takes.
        sample: how many records to look at, chosen at random; None for all.
        seed: decides which records are chosen.
        progress: receives reports on how far the work is.
        early: worker processes that were started before this module was loaded.
    """
    progress = progress or Silent()
    job = plan(replace(recipe, on_error="quarantine"))
    arrangement = job.arrangement()
    if arrangement.dedup is Dedup.NEAR:
        raise UsageError(
            "--dedup near cannot be used with stats, which keeps no tokens to compare. Use "
            "--dedup normalized, or prepare the dataset and ask for the stats of its folder."
        )
    for note in job.notes:
        progress.note(note)
    reader = BlockReader(job.sources, recipe.shard_bytes, limits=recipe.limits, hints=recipe.hints)
    blocks: Iterable[Block] = with_schemas(reader, recipe.schema, recipe.field_names)
    progress.start(reader.total_bytes)
    costs = Costs(job.workers)
    chosen: Sample | None = None
    chosen_blocks: int | None = None
    if sample is not None:
        with costs.reading():
            found = choose(_reported(blocks, reader, progress), sample, seed)
        chosen_blocks = len(found.blocks)
        blocks = [*found.blocks, *found.neighbours]
        if found.chosen < found.records:
            chosen = Sample(found.chosen, found.records, seed)
        costs.all_bytes = found.bytes
    collected = _Collected(job)
    settings = replace(job.settings, tried_limits=LIMITS)
    paths = [source.path for source in job.sources]
    trial = TrialShard(recipe, settings.tokenizer.size)
    with costs.working():
        for number, result in enumerate(run_blocks(blocks, settings, job.workers, paths, early)):
            costs.add(result)
            if chosen_blocks is None or number >= chosen_blocks:
                trial.add(result)
            if chosen_blocks is None or number < chosen_blocks:
                collected.add(result)
            if sample is None:
                progress.advance(reader.stored_bytes, result.size, result.read)
    _check(collected)
    return _statistics(job, arrangement, collected, chosen, batch_size, costs, trial)


def _reported(blocks: Iterable[Block], reader: BlockReader, progress: Progress) -> Iterable[Block]:
    """Pass blocks on, and report how much was read."""
    for block in blocks:
        yield block
        progress.advance(reader.stored_bytes, len(block.data), block.records)


def _check(collected: "_Collected") -> None:
    if not collected.accounting.read:
        raise NoInputError("the input holds no records. Check the files.")
    counts = collected.accounting.totals()
    if not counts["written"]:
        lost = {**counts["dropped"], **counts["rejected"]}
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(lost.items()))
        causes = collected.accounting.causes.most_frequent()
        raise DataError(
            f"none of {counts['read']:,} records gives a row ({reasons}). Fix the data, or change "
            f"the options.\n{causes}".rstrip()
        )


@dataclass
class _Collected:
    """What is kept of the results of blocks."""

    job: Plan
    columns: dict[str, Collected] = field(default_factory=dict)
    lengths: Collected = field(default_factory=lambda: Collected(np.int32))
    limits: LimitCounts = field(
        default_factory=lambda: LimitCounts.none(len(LIMITS), np.zeros(0, np.int32))
    )
    records: int = 0  # so far, to number the records of rows
    shards: int = 0

    def __post_init__(self) -> None:
        self.accounting = Accounting(self.job.sources, None, quarantine=True)

    def add(self, result: BlockResult) -> None:
        """Keep the numbers of the rows of the next block."""
        self.accounting.add(result)
        self.shards = max(self.shards, result.shard + 1)
        if result.limits is not None:
            self.limits.add(result.limits)
            self.lengths.add(result.limits.lengths)
        batch = result.batch
        if batch is None or batch.facts is None:
            return
        facts = batch.facts
        cut = facts.cut_tokens > 0
        done = (
            CUT * cut + LOST_TRAINED * (facts.cut_trained > 0)
            + SHORTENED * (facts.exchanges_dropped > 0)
        )  # fmt: skip
        self._keep("source", np.int32, facts.source)
        self._keep("tokens", np.int32, batch.lengths)
        self._keep("trained", np.int32, facts.segments.row_trained)
        self._keep("prompt_key", np.uint64, facts.prompt_key)
        self._keep("record_key", np.uint64, facts.record_key)
        self._keep("done", np.uint8, done)
        self._keep("exchanges", np.int32, facts.exchanges_dropped)
        for name in ("normalized_key", "normalized_prompt_key", "group_key"):
            if (key := getattr(facts, name)) is not None:
                self._keep(name, np.uint64, key)
        if self.job.settings.per_turn:
            self._keep("record", np.int64, self.records + batch.record)
        self.records += result.read + result.blank

    def _keep(self, name: str, kind: type[np.generic], values: Any) -> None:
        self.columns.setdefault(name, Collected(kind)).add(values)

    def take(self) -> dict[str, Any]:
        """Return all columns, and forget them."""
        return {name: self.columns.pop(name).take() for name in [*self.columns]}


def _statistics(
    job: Plan,
    arrangement: Arrangement,
    collected: _Collected,
    sample: Sample | None,
    batch_size: int,
    costs: Costs,
    trial: TrialShard,
) -> Statistics:
    taken = collected.take()
    done, exchanges = taken.pop("done"), taken.pop("exchanges")
    columns = Columns(**taken)
    arranged = None if arrangement.is_plain else arrange(columns, arrangement)
    chosen = np.arange(len(columns)) if arranged is None else _chosen(arranged)
    rows = _rows(columns, chosen, arranged)
    facts = {} if arranged is None else arranged.facts
    counted = collected.accounting.totals()
    if arranged is not None:
        counted = counted | _arranged(counted, facts, done[chosen], exchanges[chosen])
    tokens = int(rows.tokens.sum(dtype=np.int64))
    lengths: Any = collected.lengths.take()
    numbers, counts = computing.counted(lengths)
    whole_tokens = int(lengths.sum(dtype=np.int64))
    recipe: dict[str, Any] = job.identity([source.name for source in job.sources])["recipe"]
    train = rows.split == 0
    packs = packs_of(facts, recipe)
    steps_of = packs[0].packs if packs else int(np.count_nonzero(train))
    scale = sample.of / sample.records if sample and sample.records else 1.0
    return Statistics(
        kind="inputs",
        name=job.sources[0].name if len(job.sources) == 1 else f"{len(job.sources):,} inputs",
        template=job.settings.template.name,
        tokenizer=job.settings.tokenizer.name,
        max_length=job.settings.max_length,
        truncation=job.settings.truncation,
        packed=arrangement.pack,
        sample=sample,
        losses=losses(counted),
        rows=computing.group("all", rows.tokens, rows.trained, tokens),
        splits=computing.groups(rows.splits, rows.split, rows, tokens),
        sources=computing.groups([s.name for s in job.sources], rows.source, rows, tokens),
        lengths=Lengths(
            rows=len(lengths),
            longest=int(numbers[-1]) if len(numbers) else 0,
            fits_99=computing.at_most(numbers, counts, 99),
            unknown=0,
            limits=computing.limits_of(LIMITS, collected.limits, len(lengths), whole_tokens),
            limits_of="input",
        ),
        packs=packs,
        packing=computing.packings(
            [rows.tokens[rows.split == number] for number in range(len(rows.splits))], LIMITS
        ),
        duplicates=computing.duplicates(rows, counted["repeated"]),
        epoch=computing.epoch(
            batch_size,
            steps_of,
            int(rows.tokens[train].sum(dtype=np.int64)),
            int(rows.trained[train].sum(dtype=np.int64)),
        ),
        shards=trial.shards(
            int(tokens * scale), _shard_count(recipe, arranged, collected, costs, scale)
        ),
        seconds=costs.seconds(trial.seconds_per_token * tokens * scale),
        workers=job.workers,
    )


def _chosen(arranged: RowPlan) -> Any:
    """Return the rows of all splits, in their order; a repeated row occurs more than once."""
    return np.concatenate([split.rows for split in arranged.splits])


def _rows(columns: Columns, chosen: Any, arranged: RowPlan | None) -> RowNumbers:
    """Return the numbers of the rows that are written, and the split of each."""
    number = np.zeros(len(chosen), np.uint8)
    if arranged is None:
        own = columns
    else:
        numbers = [SPLITS.index(split.name) for split in arranged.splits]
        sizes = [len(split.rows) for split in arranged.splits]
        number = np.repeat(np.array(numbers, np.uint8), sizes)
        own = Columns(
            *(
                column[chosen]
                for column in (
                    columns.source, columns.tokens, columns.trained, columns.prompt_key,
                    columns.record_key,
                )
            )
        )  # fmt: skip
    return RowNumbers(
        number, own.source, own.tokens, own.trained, own.prompt_key, own.record_key, SPLITS
    )


def _arranged(
    counts: dict[str, Any], facts: dict[str, Any], done: Any, exchanges: Any
) -> dict[str, Any]:
    """Return the counts that an arrangement changes.

    Args:
        counts: the counts before it.
        facts: the facts of the plan.
        done: what truncation has done to each row that is written.
        exchanges: how many exchanges each of them has lost.
    """
    dropped = Counter(counts["dropped"]) + Counter(facts["dropped"])
    return {
        "written": len(done),
        "repeated": facts["repeated"],
        "dropped": dict(sorted(dropped.items())),
        "truncated": int(np.count_nonzero(done & CUT)),
        "truncated_trained": int(np.count_nonzero(done & LOST_TRAINED)),
        "shortened": int(np.count_nonzero(done & SHORTENED)),
        "exchanges_dropped": int(exchanges.sum(dtype=np.int64)),
    }


def _shard_count(
    recipe: dict[str, Any],
    arranged: RowPlan | None,
    collected: _Collected,
    costs: Costs,
    scale: float,
) -> int:
    """Return how many shards ``prepare`` would write."""
    if arranged is not None:
        most = max(1, recipe["shard_size"] // TOKEN_BYTES)
        sizes = [int(split.lengths.sum(dtype=np.int64)) * scale for split in arranged.splits]
        return sum(max(1, ceil(size / most)) for size in sizes)
    if costs.all_bytes is None:
        return collected.shards
    size: int = recipe["shard_size"]
    return max(1, ceil(costs.all_bytes / size))
