"""The main job, top to bottom.

    read -> parse -> normalize -> render -> encode -> assemble -> truncate -> write -> manifest
    bytes   dicts    Conversation  pieces    ids       Batch       Batch      shard    manifest.json

What happens to one block is in ``pipeline``; here is what happens to the run.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

from sftprep.data.block import Block
from sftprep.data.conversation import Record
from sftprep.dataset.accounting import Tally
from sftprep.dataset.durable import write_durably
from sftprep.dataset.identity import FORMAT_VERSION, fingerprint
from sftprep.dataset.journal import Journal
from sftprep.dataset.manifest import MANIFEST, Manifest, Prepared
from sftprep.dataset.reuse import finished
from sftprep.dataset.shard_writer import ShardWriter
from sftprep.dataset.staging import Output
from sftprep.engine.local.fork_server import Staff
from sftprep.engine.local.pool import run_blocks
from sftprep.errors import DataError, NoInputError, RecordError, UsageError
from sftprep.formats.table import shard_name
from sftprep.plan import Plan, plan
from sftprep.progress import Progress, Silent
from sftprep.reading.blocks import BlockReader
from sftprep.recipe import Recipe
from sftprep.schemas.fields import Fields
from sftprep.schemas.plain import detect_schema
from sftprep.strict_json import parse_line


def prepare(
    recipe: Recipe, *, progress: Progress | None = None, staff: Staff | None = None
) -> Prepared:
    """Turn instruction data into tokenized, label-masked shards.

    Args:
        recipe: what to do; ``output`` and ``tokenizer`` must be given.
        progress: told how it goes; nobody, unless given.
        staff: workers that were started early.

    Returns:
        The manifest, and whether the dataset was written now; ``early.prepare`` says more.
    """
    progress = progress or Silent()
    if recipe.output is None:
        raise UsageError("no output folder. Pass --output DIR.")
    output = Output(recipe.output)
    output.check()
    job = plan(recipe)
    output.check_inputs([*recipe.inputs, *(source.path for source in job.sources)])
    if there := finished(output, job, recipe):
        output.tidy()
        return Prepared(there, "unchanged")
    _tell(job, progress)
    quarantine = recipe.on_error == "quarantine"
    with (
        output.staged() as staging,
        Tally(job.sources, output.dataset, quarantine=quarantine) as tally,
    ):
        journal = Journal(staging, job.sources)
        resumed = _begin(output, journal, tally, recipe, job)
        reader = BlockReader(job.sources, recipe.shard_bytes, limits=recipe.limits)
        progress.start(reader.total)
        blocks = journal.left(with_schemas(reader, recipe))
        with ShardWriter(recipe.format, recipe.ignore_index, job.workers) as shards:
            results = run_blocks(blocks, job.settings, job.workers, job.names, staff)
            for _, group in groupby(results, attrgetter("shard")):
                shard = shards.shard(journal.next_shard())
                for result in group:
                    tally.add(result)
                    shard.add(result.batch)
                    progress.advance(reader.stored, result.size, result.read)
                journal.add(tally.state(), tally.ledgers(), shard.close())
            facts = journal.close(partial(shard_name, name=recipe.format))
        tally.close()
        tally.check(recipe.reject_limit(tally.read))
        _check_rows(tally)
        manifest = _manifest(recipe, job, reader, tally, facts, _save_tokenizer(output, job))
        write_durably(output.dataset / MANIFEST, manifest.dump())
        output.publish()
    return Prepared(manifest, "resumed" if resumed else "written")


def _begin(output: Output, journal: Journal, tally: Tally, recipe: Recipe, job: Plan) -> bool:
    """Begin anew, or where an interrupted run ended; whether it was the latter."""
    todo = job.identity(recipe, [source.name for source in job.sources])
    if recipe.resume and journal.resumable():
        journal.resume(todo)
    else:
        output.begin()
        journal.begin(todo)
    if not journal.finished:
        return False
    tally.restore(journal.finished[-1]["counts"])
    return True


def with_schemas(blocks: Iterable[Block], recipe: Recipe) -> Iterator[Block]:
    """The blocks, each with its source's schema: as given, or told by the first record."""
    fields = Fields(recipe.field_names)
    source, schema = -1, ""
    for block in blocks:
        if recipe.schema != "auto":
            schema = recipe.schema
        elif block.source != source or not schema:
            schema = detect_schema(_records(block), fields)
        source = block.source
        yield block._replace(schema=schema)


def _records(block: Block) -> Iterator[Record]:
    for line in block.lines():
        try:
            yield parse_line(line)
        except RecordError:  # it will be told of when the block is worked on
            continue


def _tell(job: Plan, progress: Progress) -> None:
    """What to know before the work begins."""
    limit = job.settings.tokenizer.model_max_length
    if limit is not None and job.settings.max_length > limit:
        progress.note(
            f"--max-length {job.settings.max_length:,} is more than the tokenizer says its model "
            f"can read ({limit:,})."
        )
    encoding = job.settings.encoding
    if encoding is not None and encoding.why_not_fast:
        progress.note(f"using HF tokenizers, which is slower: {encoding.why_not_fast}.")


def _check_rows(tally: Tally) -> None:
    """A dataset has rows."""
    if not tally.read:
        raise NoInputError("the input holds no records. Check the files.")
    counts = tally.totals()
    if not counts["written"]:
        lost = {**counts["dropped"], **counts["rejected"]}
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(lost.items()))
        raise DataError(
            f"none of {tally.read:,} records gave a row ({reasons}); nothing was published. "
            "Check --max-length and --truncation."
        )


def _save_tokenizer(output: Output, job: Plan) -> dict[str, str]:
    """Save the tokenizer beside the shards; return the files' SHA-256."""
    hashes = {}
    for name, data in job.settings.tokenizer.files.items():
        path = output.dataset / "tokenizer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, data)
        hashes[f"tokenizer/{name}"] = hashlib.sha256(data).hexdigest()
    return hashes


def _manifest(
    recipe: Recipe,
    job: Plan,
    reader: BlockReader,
    tally: Tally,
    shards: list[dict[str, Any]],
    tokenizer_files: dict[str, str],
) -> Manifest:
    inputs = [
        {
            "name": source.name,
            "bytes": facts.bytes,
            "sha256": facts.sha256,
            "schema": counts.schema,
            **counts.as_dict(),
        }
        for source, facts, counts in zip(job.sources, reader.facts, tally.sources, strict=True)
    ]
    identity = job.identity(recipe, [facts.sha256 for facts in reader.facts])
    return Manifest(
        format_version=FORMAT_VERSION,
        recipe=identity["recipe"],
        inputs=inputs,
        tokenizer=job.tokenizer_facts() | {"files": tokenizer_files},
        template=job.template_facts(),
        counts=tally.totals(),
        shards=shards,
        ledgers=tally.ledgers(),
        libraries=identity["libraries"],
        fingerprint=fingerprint(identity),
    )
