"""The second half of a run: from staged rows to the shards of an arranged dataset.

    staged rows -> plan -> gather, shard by shard -> ledger of what is in no split -> manifest

In     the staged rows; how they are to be arranged; the manifest as it is without an arrangement.
Out    in the staging folder all shards with their indexes, durable; the manifest.
Keeps  one way for ``prepare`` and ``export``: the bytes depend on the rows and the options alone.
       Proves that the documents in the shards are those that came in, without what was dropped.
Raises UsageError: these rows cannot be arranged as asked. OSError: a file cannot be written.
       InternalError: a document was lost, doubled or changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sftprep.arrange.arrange import arrange
from sftprep.arrange.near import Tokens
from sftprep.arrange.options import Arrangement, PadTo
from sftprep.arrange.plan import Plan
from sftprep.data.ragged import Offsets
from sftprep.dataset.arranged_shards import ArrangedShards, OutputShard, output_shards
from sftprep.dataset.gather import FOR_PLANS, Gatherer, Layout
from sftprep.dataset.index import IndexWriter
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.outcome import (
    arranged_counts,
    arranged_inputs,
    dropped_entries,
    outcomes,
)
from sftprep.dataset.staged_rows import StagedRows
from sftprep.formats.buffers import share_memory
from sftprep.formats.staged import TOKEN_BYTES, decoded
from sftprep.formats.table import writable
from sftprep.progress import Progress
from sftprep.targets.table import form_of


@dataclass(frozen=True, kw_only=True)
class SecondHalf:
    """What the second half of a run works with."""

    staging: Path  # the staging folder of the run
    staged: StagedRows
    arrangement: Arrangement
    draft: Manifest  # of the rows as they are staged: without shards
    workers: int
    resume: bool  # whether shards that an interrupted run has finished are kept

    def plan(self) -> Plan:
        """Plan what becomes of each row."""
        plan = arrange(self.staged.columns(), self.arrangement, self._tokens_of)
        self.staged.release()
        return plan

    def _tokens_of(self, rows: Offsets) -> Tokens:
        tokens = self.staged.tokens(rows)
        ids, trained = decoded(tokens.values)
        return Tokens(ids, trained, tokens.offsets)

    def shards(self, plan: Plan) -> list[OutputShard]:
        """Divide the splits into shards of about as much data as the rows' input."""
        recipe = self.draft.recipe
        return output_shards(plan, max(1, recipe["shard_size"] // TOKEN_BYTES), recipe["format"])

    def write(self, plan: Plan, shards: list[OutputShard], progress: Progress) -> Manifest:
        """Write all shards, and return the manifest of the dataset, without its ledgers.

        Args:
            plan: what becomes of each row.
            shards: the shards of all splits, in order.
            progress: receives reports on how far the shards are.
        """
        share_memory()
        writing = ArrangedShards(
            self.staging,
            shards,
            Gatherer(self.staged, self._layout(), self._columns_of(), self._left_out()),
            writable(self.draft.recipe["format"], self.draft.tokenizer["vocabulary_size"]),
            partial(IndexWriter, form="parquet"),
        )
        progress.start(sum(int(split.lengths.sum()) for split in plan.splits) * TOKEN_BYTES)
        done = 0
        for entry in (*writing.begin(resume=self.resume), *writing.write(self.workers)):
            size = (entry["shard"]["tokens"] + entry["padding"]) * TOKEN_BYTES
            done += size
            progress.advance(done, size, entry["shard"]["documents"])
        return self._manifest(plan, writing)

    def _left_out(self) -> frozenset[str]:
        """Return the columns of the staged index that the dataset's indexes do not have."""
        has_groups = self.draft.recipe["split_by"] is not None
        return FOR_PLANS if has_groups else FOR_PLANS | {"group_key"}

    def _layout(self) -> Layout:
        pad = self.arrangement.pad
        padded = pad.to is not PadTo.NONE
        special: Mapping[str, Any] = self.draft.tokenizer["special_tokens"]
        return Layout(
            packed=self.arrangement.pack,
            padded=padded,
            pad_id=special["pad"]["id"] if padded else 0,
            pad_left=pad.side == "left",
        )

    def _columns_of(self) -> Any:
        recipe = self.draft.recipe
        return partial(form_of(recipe).columns_of, ignore_index=recipe["ignore_index"])

    def _manifest(self, plan: Plan, written: ArrangedShards) -> Manifest:
        draft = self.draft
        found = outcomes(plan, self.staged.column("source"), len(draft.inputs))
        digests: Mapping[str, str] = plan.facts["digests"]["splits"]
        return replace(
            draft.with_shards(written.entries(digests)),
            inputs=arranged_inputs(draft.inputs, found),
            counts=arranged_counts(draft.counts, found, written.counts()),
            arrangement={} if self.arrangement.is_plain else plan.facts,
        )

    def dropped(self, plan: Plan) -> Iterator[dict[str, Any]]:
        """Yield the ledger's entry of each row that is in no split, in input order."""
        names = [entry["name"] for entry in self.draft.inputs]
        return dropped_entries(plan, self.staged, names)
