"""The run, top to bottom: ``prepare``.

    read -> parse -> normalize -> render -> encode -> assemble -> truncate -> write -> manifest
    bytes   dicts    Conversation  pieces    ids       Batch       Batch      shard    manifest.json

``pipeline.py`` shows what happens to one block; this module shows what happens to the run. If rows
are to be arranged, the shards that it writes are only staged, and ``second_half.py`` shows how they
become the shards of the dataset.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from sftprep.arrange.options import Arrangement
from sftprep.arrange.plan import Plan as ArrangementPlan
from sftprep.commit import commit, say_what_is_discarded, say_what_is_kept
from sftprep.data.batch import Batch
from sftprep.data.columns import Columns
from sftprep.dataset.accounting import Accounting, longer_limit
from sftprep.dataset.durable import write_durably
from sftprep.dataset.files import TOKENIZER
from sftprep.dataset.identity import FORMAT_VERSION, fingerprint
from sftprep.dataset.journal import Journal, ShardFolders
from sftprep.dataset.manifest import Manifest, Prepared
from sftprep.dataset.reuse import find_reusable
from sftprep.dataset.shard_writer import ShardWriter
from sftprep.dataset.staged_rows import StagedRows
from sftprep.dataset.staging import OutputFolder
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import ArrangementError, DataError, NoInputError, UsageError
from sftprep.formats import staged
from sftprep.formats.table import WritableFormat, writable
from sftprep.pipeline import with_schemas
from sftprep.plan import Plan, plan
from sftprep.progress import Progress, Silent
from sftprep.reading.blocks import BLOCK_BYTES, BlockReader
from sftprep.recipe import Recipe
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import read_as
from sftprep.second_half import SecondHalf
from sftprep.targets.table import TARGETS
from sftprep.targets.target import columns_of_batch


def prepare(
    recipe: Recipe,
    *,
    progress: Progress | None = None,
    early: WorkerPool | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Prepared:
    """Turn instruction data into tokenized, label-masked shards.

    Args:
        recipe: what to do; it must name ``output`` and ``tokenizer``.
        progress: receives reports on how far the run is.
        early: worker processes that were started before this module was loaded.
        block_bytes: how much input a worker gets at a time; does not change what is written.

    Returns:
        The manifest of the finished dataset in ``recipe.output``, and whether this run wrote it.

    Raises:
        SftprepError: the run failed; the subclass says in what way. Nothing was published, and a
            dataset that was in the output folder before is still there.
    """
    progress = progress or Silent()
    output, job, arrangement, existing = _checked(recipe)
    if existing is not None:
        say_what_is_kept(output, existing, progress)
        return Prepared(existing, "unchanged")
    _say_notes(job, progress)
    quarantine = recipe.on_error == "quarantine"
    with (
        output.staged() as staging,
        Accounting(
            job.sources,
            output.dataset,
            quarantine=quarantine,
            private=recipe.private_ledgers,
        ) as accounting,
    ):
        stage = _Stage.of(job, staging, arrangement)
        journal = Journal(staging, job.sources, stage.folders)
        say_what_is_discarded(output, recipe, progress)
        rows = "" if arrangement.is_plain else job.fingerprint_of_rows()
        resumed = _begin(output, journal, accounting, job, rows)
        reader = BlockReader(
            job.sources,
            recipe.shard_bytes,
            block_bytes,
            limits=recipe.limits,
            hints=recipe.hints,
        )
        progress.start(reader.total_bytes)
        blocks = journal.unfinished(with_schemas(reader, recipe.schema, recipe.field_names))
        with stage.writer(job.workers) as shards:
            paths = [source.path for source in job.sources]
            results = run_blocks(blocks, job.settings, job.workers, paths, early)
            for _, of_shard in groupby(results, attrgetter("shard")):
                shard = shards.new_shard(journal.next_paths())
                for result in of_shard:
                    accounting.add(result)
                    shard.add(result.batch)
                    progress.advance(reader.stored_bytes, result.size, result.read)
                journal.add(accounting.state(), accounting.ledgers(), shard.close())
            journal.wait()
        accounting.check(recipe.reject_limit(accounting.read))
        accounting.check_dropped(recipe.drop_limit(accounting.examples))
        _check_rows(accounting)
        manifest = _manifest(job, reader, accounting, journal, _save_tokenizer(output, job))
        if arrangement.is_plain:
            manifest = manifest.with_shards(journal.finish())
        else:
            half = SecondHalf(
                staging=staging,
                staged=StagedRows(journal.staged_paths()),
                arrangement=arrangement,
                draft=manifest,
                workers=job.workers,
                resume=resumed and not journal.arranges_anew,
            )
            planned = _planned(half)
            manifest = half.write(planned, half.shards(planned), progress)
            accounting.list_dropped(half.dropped(planned))
        accounting.close()
        manifest = commit(output, replace(manifest, ledgers=accounting.described_ledgers()))
    causes = tuple(accounting.causes.listed())
    return Prepared(manifest, "resumed" if resumed else "written", causes)


def existing_dataset(recipe: Recipe) -> Manifest | None:
    """Check all that a run checks before it reads the first record; write nothing.

    Args:
        recipe: as for ``prepare``.

    Returns:
        The dataset that is there already and that a run would leave as it is; None if there is
        none.

    Raises:
        SftprepError: a run would fail before it reads the first record.
    """
    return _checked(recipe)[-1]


def _checked(recipe: Recipe) -> tuple[OutputFolder, Plan, Arrangement, Manifest | None]:
    """Return the output, the plan, the arrangement, and the dataset if it is there already."""
    if not recipe.output:
        raise UsageError("no output folder. Pass --output DIR.")
    output = OutputFolder(recipe.output)
    output.check()
    job = plan(recipe)
    arrangement = job.arrangement()
    output.check_inputs([*recipe.inputs, *(source.path for source in job.sources)])
    existing = find_reusable(
        output, job.sources, job.identity, overwrite=recipe.overwrite, resume=recipe.resume
    )
    return output, job, arrangement, existing


class _Stage(NamedTuple):
    """Where the shards of the first half are written, and how."""

    folders: ShardFolders
    file_format: WritableFormat
    columns_of: Callable[[Batch], Columns]
    index_form: Literal["parquet", "arrow"]

    @classmethod
    def of(cls, job: Plan, staging: Path, arrangement: Arrangement) -> "_Stage":
        """Return that of shards which are published as they are, or are still to be arranged."""
        recipe = job.recipe
        if arrangement.is_plain:
            size = job.settings.tokenizer.size
            form = TARGETS[recipe.target].form(packed=False, loss_mask=recipe.loss_mask)
            columns_of = partial(columns_of_batch, form, ignore_index=recipe.ignore_index)
            folders = ShardFolders.of_dataset(staging, recipe.file_format)
            return cls(folders, writable(recipe.file_format, size), columns_of, "parquet")
        return cls(ShardFolders.of_rows(staging), staged, staged.columns_of, "arrow")

    def writer(self, workers: int) -> ShardWriter:
        """Return what writes the shards."""
        return ShardWriter(self.file_format, self.columns_of, workers, index_form=self.index_form)


def _begin(
    output: OutputFolder, journal: Journal, accounting: Accounting, job: Plan, rows: str
) -> bool:
    """Start from nothing, or continue an interrupted run; return True if it was continued.

    Args:
        output: the output folder; its staging folder is locked.
        journal: the journal of the run.
        accounting: receives the counts of what an interrupted run has finished.
        job: the plan of the run.
        rows: the fingerprint of what decides the rows, if these are still to be arranged.
    """
    identity = job.identity([source.name for source in job.sources])
    if job.recipe.resume and journal.can_resume():
        journal.resume(identity, rows)
    else:
        output.begin()
        journal.begin(identity, rows)
    if not journal.finished:
        return False
    accounting.restore(journal.finished[-1]["counts"])
    return True


def _planned(half: SecondHalf) -> ArrangementPlan:
    """Plan what becomes of each row.

    Raises:
        ArrangementError: the rows cannot be arranged as asked, which only shows now that they are
            known.
    """
    try:
        return half.plan()
    except UsageError as error:
        raise ArrangementError(
            f"{error} The rows are kept: run again with options that fit and --resume, and they "
            "are only arranged."
        ) from error


def _say_notes(job: Plan, progress: Progress) -> None:
    """Tell the user what they should know before the work begins."""
    for note in job.notes:
        progress.note(note)
    for entry in job.recipe.template_arg:
        key, _, value = entry.partition("=")
        if value in ("True", "False", "None"):
            cure = {"None": "null"}.get(value, value.lower())
            progress.note(
                f"--template-arg {key}={value} is the text {value!r}. For the value, pass "
                f"{key}={cure}."
            )
    limit = job.settings.tokenizer.model_max_length
    if limit is not None and job.settings.max_length > limit:
        progress.note(
            f"--max-length {job.settings.max_length:,} is more than the tokenizer says its model "
            f"can read ({limit:,})."
        )
    encoding = job.settings.encoding
    if encoding is not None and encoding.why_not_fast:
        progress.note(f"using HF tokenizers, which is slower: {encoding.why_not_fast}.")


def _check_rows(accounting: Accounting) -> None:
    """Refuse to publish a dataset without rows."""
    if not accounting.read:
        raise NoInputError("the input holds no records. Check the files.")
    counts = accounting.totals()
    if not counts["written"]:
        lost = {**counts["dropped"], **counts["rejected"]}
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(lost.items()))
        cure = longer_limit(counts) or "Check --max-length and --truncation."
        if not counts["dropped"]:
            cure = "Run without --on-error quarantine: then the error says what is wrong with them."
        raise DataError(
            f"none of {accounting.read:,} records produced a row ({reasons}); nothing was "
            f"published. {cure}".rstrip()
        )


def _save_tokenizer(output: OutputFolder, job: Plan) -> dict[str, str]:
    """Save the tokenizer in the dataset; return each file's SHA-256."""
    hashes = {}
    for name, data in job.settings.tokenizer.files.items():
        path = output.dataset / TOKENIZER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, data)
        hashes[f"{TOKENIZER}/{name}"] = hashlib.sha256(data).hexdigest()
    return hashes


def _manifest(
    job: Plan,
    reader: BlockReader,
    accounting: Accounting,
    journal: Journal,
    tokenizer_files: dict[str, str],
) -> Manifest:
    """Return the manifest of the rows before they are arranged, without shards and ledgers."""
    fields = Fields(job.recipe.field_names)
    inputs = [
        {
            "name": source.name,
            "bytes": facts.bytes,
            "sha256": facts.sha256,
            "schema": counts.schema,
            "fields": read_as(counts.schema, fields),
            **counts.as_dict(),
        }
        for source, facts, counts in zip(
            job.sources, reader.digests, accounting.by_source, strict=True
        )
    ]
    identity = job.identity([facts.sha256 for facts in reader.digests])
    return Manifest(
        format_version=FORMAT_VERSION,
        recipe=identity["recipe"],
        inputs=inputs,
        tokenizer=job.tokenizer_facts() | {"files": tokenizer_files},
        template=job.template_facts(),
        counts=accounting.totals(),
        input_shards=journal.rows(),
        shards=[],
        digest_of_rows="",
        ledgers={},
        files={},
        arrangement={},
        libraries=identity["libraries"],
        fingerprint=fingerprint(identity),
    )
