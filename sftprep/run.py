"""The main job, top to bottom.

    read -> parse -> normalize -> render -> encode -> assemble -> truncate -> write -> manifest
    bytes   dicts    Conversation  pieces    ids       Batch       Batch      shard    manifest.json

What happens to one block is in ``pipeline``; here is what happens to the run.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sftprep.engine.local import run_blocks
from sftprep.errors import DataError, NoInputError, RecordError, UsageError
from sftprep.manifest import FORMAT_VERSION, MANIFEST, Manifest, fingerprint
from sftprep.normalize import Fields, Record, detect_schema
from sftprep.output import Output
from sftprep.parse import parse_line
from sftprep.pipeline import Pipeline
from sftprep.plan import Plan, library_versions, plan
from sftprep.progress import Progress, Silent
from sftprep.read import Block, BlockReader
from sftprep.recipe import Recipe
from sftprep.shards.writer import ShardWriter
from sftprep.tally import Tally


def prepare(recipe: Recipe, *, progress: Progress | None = None) -> Manifest:
    """Turn instruction data into tokenized, label-masked shards.

    Args:
        recipe: what to do; ``output`` and ``tokenizer`` must be given.
        progress: told how it goes; nobody, unless given.

    Returns:
        The manifest of the dataset, which is complete in ``recipe.output`` by then.

    Raises:
        SftprepError: one of its kinds; then nothing was published, and a dataset that was in the
            output folder before is still there.
    """
    progress = progress or Silent()
    if recipe.output is None:
        raise UsageError("no output folder. Pass --output DIR.")
    output = Output(recipe.output, overwrite=recipe.overwrite)
    output.check()
    job = plan(recipe)
    pipeline = Pipeline(job.settings)
    _tell(job, pipeline, progress)
    with output.staged() as folder:
        reader = BlockReader(job.sources, recipe.shard_bytes)
        tally = Tally(job.sources, folder, quarantine=recipe.on_error == "quarantine")
        progress.start(reader.total)
        with ShardWriter(folder, recipe.format, recipe.ignore_index) as shards:
            blocks = with_schemas(reader, recipe)
            for result in run_blocks(blocks, job.settings, pipeline, job.workers):
                tally.add(result)
                shards.add(result.shard, result.batch)
                progress.advance(reader.stored, result.size, result.read)
            tally.close()
            tally.check(recipe.reject_limit(tally.read))
            _check_rows(tally)
            facts = shards.finish()
        manifest = _manifest(recipe, job, reader, tally, facts, _tokenizer_files(folder, job))
        (folder / MANIFEST).write_bytes(manifest.dump())
        output.publish()
    return manifest


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


def _tell(job: Plan, pipeline: Pipeline, progress: Progress) -> None:
    """What to know before the work begins."""
    limit = job.settings.tokenizer.model_max_length
    if limit is not None and job.settings.max_length > limit:
        progress.note(
            f"--max-length {job.settings.max_length:,} is more than the tokenizer says its model "
            f"can read ({limit:,})."
        )
    if pipeline.encoder.why_not_fast:
        progress.note(f"using HF tokenizers, which is slower: {pipeline.encoder.why_not_fast}.")


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


def _tokenizer_files(folder: Path, job: Plan) -> dict[str, str]:
    """Save the tokenizer beside the shards; return the files' SHA-256."""
    hashes = {}
    for name, data in job.settings.tokenizer.files.items():
        path = folder / "tokenizer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
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
    options = job.recipe_facts(recipe)
    tokenizer = job.tokenizer_facts() | {"files": tokenizer_files}
    used = job.settings.template
    template = {"name": used.name, "sha256": used.sha256}
    libraries = library_versions()
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
    return Manifest(
        format_version=FORMAT_VERSION,
        recipe=options,
        inputs=inputs,
        tokenizer=tokenizer,
        template=template,
        counts=tally.totals(),
        shards=shards,
        libraries=libraries,
        fingerprint=fingerprint(
            {
                "format_version": FORMAT_VERSION,
                "recipe": options,
                "inputs": [facts.sha256 for facts in reader.facts],
                "tokenizer": tokenizer["sha256"],
                "template": template["sha256"],
                "libraries": libraries,
            }
        ),
    )
