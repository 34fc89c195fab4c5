"""Rebuild the rows of a dataset from its inputs and compare them, record by record.

In     a dataset in which no other problem was found, and the inputs that it should have been built
       from.
Out    problems: an input that differs from the one of the build; the first row that differs, with
       the record that gives it (of an arranged dataset, or the first entry of an index); the first
       difference between the lists of lost records; counts that differ.
Keeps  to what the dataset itself holds: its recipe, its template and its tokenizer are used. HF
       tokenizers encodes the texts, whichever backend encoded them when the dataset was built.
       Memory is bounded by the blocks in flight and one chunk of a shard; the rows of an arranged
       dataset wait in a temporary folder, with four bytes a token.
Raises everything that reading the inputs can raise; InternalError: a worker died. UsageError: the
       dataset was made with a package that is not installed.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import yaml

from sftprep.arrange.near import rensa
from sftprep.arrange.options import Dedup
from sftprep.arrangement import arrangement_of
from sftprep.data.block import Block, Source, place_in
from sftprep.data.ragged import Offsets
from sftprep.data.result import BlockResult
from sftprep.dataset.accounting import Accounting
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.outcome import arranged_counts, arranged_inputs, dropped_entries, outcomes
from sftprep.dataset.reuse import sha256_of_source
from sftprep.engine.local.engine import run_blocks
from sftprep.errors import TemplateError, TokenizerError, UsageError
from sftprep.pipeline import with_schemas
from sftprep.plan import is_chat_template, library_versions, settings_of
from sftprep.progress import Progress
from sftprep.reading.blocks import BlockReader
from sftprep.reading.sources import find_sources
from sftprep.recipe import Recipe
from sftprep.settings import Settings
from sftprep.templates.loading import parse_template
from sftprep.templates.template import ChatTemplate, Template
from sftprep.text import ascii_safe, number
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.proof import prove_content_encoding
from sftprep.verify.arranged import RebuiltRows, compare_arranged, plan_again
from sftprep.verify.arrangement import material_of
from sftprep.verify.folder import DatasetFolder
from sftprep.verify.ledgers import compare_ledger
from sftprep.verify.manifest import LEDGERS, stored_recipe
from sftprep.verify.report import Problem, Report
from sftprep.verify.stored_rows import RowDifference, StoredRows


def rebuild_and_compare(
    folder: DatasetFolder,
    manifest: Manifest,
    inputs: Sequence[str],
    workers: int,
    progress: Progress,
) -> list[Problem]:
    """Rebuild the rows of a dataset and compare them with those that are stored.

    Args:
        folder: the folder of the dataset; its files all match the manifest.
        manifest: the manifest of the dataset.
        inputs: files, globs, folders, or ``-``, as for ``prepare``.
        workers: how many processes to use at most.
        progress: receives reports on the comparison, in addition to those on the shards before.
    """
    report = Report(str(folder.path))
    sources = find_sources(inputs)
    if len(sources) != len(manifest.inputs):
        names = ", ".join(entry["name"] for entry in manifest.inputs)
        report.add(
            MANIFEST,
            f"names {number(len(manifest.inputs), 'input')} ({names}); "
            f"given {number(len(sources), 'input')}",
        )
        return report.problems
    for index, source in enumerate(sources):
        if Path(source.file).is_file():
            _check_input(manifest, index, source, sha256_of_source(source), report)
    if not report.ok:
        return report.problems
    if manifest.recipe.get("dedup") == Dedup.NEAR:
        rensa()  # that it is not installed is no problem of the dataset
    try:
        recipe, settings = _stored_settings(folder.path, manifest)
        _check_tokenizer(settings, manifest, report)
        _note_versions(manifest, progress)
        comparison = _Comparison(folder, manifest, sources, report)
        comparison.run(recipe, settings, workers, progress)
    except TokenizerError as error:
        report.add("tokenizer", f"cannot be used: {_first_line(error)}")
    except (UsageError, TemplateError) as error:
        report.add(MANIFEST, f"the dataset cannot be rebuilt: {_first_line(error)}")
    return report.problems


class _Comparison:
    """Reads all inputs once, and the rows of the dataset in step with them."""

    def __init__(
        self,
        folder: DatasetFolder,
        manifest: Manifest,
        sources: Sequence[Source],
        report: Report,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        # The ledgers and counts of the dataset use the names that the inputs had at the build.
        self._sources = [
            source._replace(name=entry["name"])
            for source, entry in zip(sources, manifest.inputs, strict=True)
        ]
        self._report = report
        self._in_flight: deque[Block] = deque()  # blocks whose results are still to come

    def run(self, recipe: Recipe, settings: Settings, workers: int, progress: Progress) -> None:
        """Rebuild and compare all rows, up to the first difference."""
        reader = BlockReader(
            self._sources, recipe.shard_bytes, limits=recipe.limits, hints=recipe.hints
        )
        blocks = self._remembered(with_schemas(reader, recipe.schema, recipe.field_names))
        with TemporaryDirectory(prefix="sftprep-") as folder:
            scratch = Path(folder)
            accounting = Accounting(self._sources, scratch, quarantine=True)
            results = self._accounted(
                run_blocks(blocks, settings, workers), accounting, reader, progress
            )
            if self._manifest.arrangement:
                complete = True
                self._compare_arranged(recipe, results, scratch, reader, accounting)
            else:
                complete = self._compare(results, blocks, reader, accounting)
            for name in LEDGERS:
                compare_ledger(
                    self._folder,
                    name,
                    scratch / name,
                    self._report,
                    listed=name in self._manifest.ledgers,
                    complete=complete,
                )

    def _accounted(
        self,
        results: Iterator[BlockResult],
        accounting: Accounting,
        reader: BlockReader,
        progress: Progress,
    ) -> Iterator[BlockResult]:
        """Yield the results, each after its records were counted."""
        shard_bytes = sum(shard["bytes"] for shard in self._manifest.shards)
        for result in results:
            accounting.add(result)
            progress.advance(shard_bytes + reader.stored_bytes, result.size, result.read)
            yield result

    def _compare(
        self,
        results: Iterator[BlockResult],
        blocks: Iterator[Block],
        reader: BlockReader,
        accounting: Accounting,
    ) -> bool:
        """Compare rows that are in the order of the inputs; return False if one differs."""
        stored = StoredRows(self._folder, self._manifest)
        for result in results:
            block, batch = self._in_flight.popleft(), result.batch
            found = None if batch is None else stored.compare(result.shard, batch)
            if batch is not None and found is not None:
                self._add_difference(found, block, batch.record)
                self._finish_input(block.source, blocks, reader)
                accounting.close()
                return False
        accounting.close()
        self._check_inputs(reader)
        rest = stored.rest()
        if rest is not None:
            self._report.add(rest.file, rest.problem, rest.row)
        self._check_all_counts(self._rebuilt_inputs(reader, accounting), accounting.totals())
        return True

    def _compare_arranged(
        self,
        recipe: Recipe,
        results: Iterator[BlockResult],
        scratch: Path,
        reader: BlockReader,
        accounting: Accounting,
    ) -> None:
        """Keep all rows, arrange them again, and compare."""
        manifest = self._manifest
        kept = scratch / "rows"
        kept.mkdir()
        with RebuiltRows(kept) as rebuilt:
            for result in results:
                self._in_flight.popleft()
                if result.batch is not None:
                    rebuilt.add(result.batch)
            if not len(rebuilt):
                accounting.close()
                self._report.add(MANIFEST, "the dataset has rows; the inputs give none")
                return
            rows = rebuilt.finish()
        self._check_inputs(reader)
        names = [entry["name"] for entry in manifest.inputs]
        plan = plan_again(rows, arrangement_of(recipe, material_of(manifest)))
        written, difference = compare_arranged(self._folder, manifest, rows, plan)
        accounting.list_dropped(dropped_entries(plan, rows, names))
        accounting.close()
        if difference is not None:
            self._report.add(difference.file, difference.problem, difference.row)
            return
        found = outcomes(plan, rows.column("source"), len(names))
        self._check_all_counts(
            arranged_inputs(self._rebuilt_inputs(reader, accounting), found),
            arranged_counts(accounting.totals(), found, written),
        )
        self._check_counts("arrangement", manifest.arrangement, _comparable(manifest, plan.facts))

    def _remembered(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield the blocks; keep each until its result arrives, to find the place of a record."""
        for block in blocks:
            self._in_flight.append(block)
            yield block

    def _add_difference(self, found: RowDifference, block: Block, records: Offsets) -> None:
        """Report a row that differs, with the record that gives it.

        Args:
            found: the difference.
            block: the block that was compared.
            records: for each row of its batch, the number of the record in the block.
        """
        record = ""
        if found.batch_row is not None:
            place = block.place(int(records[found.batch_row]))
            record = f" (record {place_in(self._sources[block.source].name, *place)})"
        self._report.add(found.file, found.problem + record, found.row)

    def _finish_input(self, source: int, blocks: Iterator[Block], reader: BlockReader) -> None:
        """Read the rest of an input whose rows differ, and check its hash.

        The hash of a stream is known only at its end, and a wrong input is the most likely reason
        for a row that differs.
        """
        for block in blocks:
            if block.source > source:
                break
        sha256 = reader.digests[source].sha256
        _check_input(self._manifest, source, self._sources[source], sha256, self._report)

    def _check_inputs(self, reader: BlockReader) -> None:
        """Check the hashes of the inputs, once all of them were read."""
        for index, (source, facts) in enumerate(zip(self._sources, reader.digests, strict=True)):
            _check_input(self._manifest, index, source, facts.sha256, self._report)

    def _rebuilt_inputs(self, reader: BlockReader, accounting: Accounting) -> list[dict[str, Any]]:
        """Return what the manifest should say about each input, without its name and hash."""
        return [
            {"bytes": facts.bytes, "schema": counts.schema, **counts.as_dict()}
            for facts, counts in zip(reader.digests, accounting.by_source, strict=True)
        ]

    def _check_all_counts(
        self, inputs: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]
    ) -> None:
        """Compare the counts of the manifest with those that the inputs give now."""
        for index, (entry, rebuilt) in enumerate(zip(self._manifest.inputs, inputs, strict=True)):
            listed = {key: value for key, value in entry.items() if key in rebuilt}
            self._check_counts(f"inputs[{index}]", listed, rebuilt)
        self._check_counts("counts", self._manifest.counts, counts)

    def _check_counts(
        self, place: str, found: Mapping[str, Any], expected: Mapping[str, Any]
    ) -> None:
        for key in sorted(found.keys() | expected.keys()):
            if found.get(key) != expected.get(key):
                self._report.add(
                    MANIFEST,
                    f"{place}.{ascii_safe(key)} is {_as_json(found.get(key))}; the inputs give "
                    f"{_as_json(expected.get(key))}",
                )


def _comparable(manifest: Manifest, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of a plan as far as the manifest knows them.

    A dataset that was exported does not know the normalized texts of its prompts.
    """
    leaks = "prompts_in_two_splits"
    stored = manifest.arrangement.get(leaks)
    if isinstance(stored, dict) and stored.get("normalized") is None:
        return {**facts, leaks: {**facts[leaks], "normalized": None}}
    return dict(facts)


def _stored_settings(folder: Path, manifest: Manifest) -> tuple[Recipe, Settings]:
    """Return the recipe and the settings of the build, from what the dataset holds.

    Raises:
        TokenizerError: the stored tokenizer cannot be loaded, or the installed libraries load it
            differently than those of the build.
        UsageError: the stored recipe or template cannot be used.
    """
    recipe = stored_recipe(manifest)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    if tokenizer.sha256 != manifest.tokenizer["sha256"]:
        then, now = manifest.libraries, library_versions()
        versions = "; ".join(
            f"{name} {then.get(name, 'unknown')} then, {now[name]} now"
            for name in ("transformers", "tokenizers")
        )
        raise TokenizerError(
            f"loading it gives SHA-256 {tokenizer.sha256}; the manifest says "
            f"{manifest.tokenizer['sha256']} ({versions})"
        )
    template = _stored_template(recipe, manifest)
    encoding = prove_content_encoding(tokenizer, recipe.allow_control, recipe.backend)
    settings = settings_of(recipe, tokenizer, template, encoding)
    return recipe, replace(settings, checks_all_texts=True)


def _stored_template(recipe: Recipe, manifest: Manifest) -> Template | ChatTemplate:
    """Return the template whose text is stored in the manifest."""
    name, source = manifest.template["name"], manifest.template["source"]
    try:
        value = yaml.safe_load(source)
    except Exception:  # PyYAML may raise anything; then the text is not a YAML template
        value = None
    # The name alone does not decide: a YAML file tokenizer.yaml gives a template called tokenizer.
    # No chat template is a YAML mapping with these keys.
    is_yaml = isinstance(value, dict) and {"user", "assistant"} <= value.keys()
    if is_yaml or not is_chat_template(name):
        return parse_template(value, name=name, where="template.source", data=source.encode())
    return ChatTemplate(
        name=name,
        source=source,
        sha256=manifest.template["sha256"],
        arguments=recipe.template_arguments,
        today=None if recipe.date is None else date.fromisoformat(recipe.date),
    )


def _check_tokenizer(settings: Settings, manifest: Manifest, report: Report) -> None:
    """Compare the stored tokenizer with what the manifest tells trainers about it."""
    tokenizer, found = settings.tokenizer, manifest.tokenizer
    expected = {
        "vocabulary_size": tokenizer.size,
        "model_max_length": tokenizer.model_max_length,
        "added_tokens": {token: tokenizer.ids.get(token) for token in found["added_tokens"]},
        "special_tokens": {
            role: {"token": token, "id": tokenizer.special_id(role)}
            for role, token in tokenizer.special.items()
        },
        "adds_bos": tokenizer.adds_bos,
        "stop_tokens": list(settings.stops),
    }
    for key, value in expected.items():
        if found[key] != value:
            report.add(
                MANIFEST,
                f"tokenizer.{key} is {_as_json(found[key])}; the saved tokenizer has "
                f"{_as_json(value)}",
            )


def _check_input(
    manifest: Manifest, index: int, source: Source, sha256: str, report: Report
) -> None:
    """Compare the SHA-256 of an input with the manifest."""
    expected = [entry["sha256"] for entry in manifest.inputs]
    if sha256 == expected[index]:
        return
    wanted = f"input {index + 1}, {manifest.inputs[index]['name']}"
    if sha256 in expected:
        found = expected.index(sha256) + 1
        report.add(source.path, f"is input {found} of the manifest; expected {wanted}")
    else:
        report.add(
            source.path,
            f"SHA-256 is {sha256}; the manifest says {expected[index]} for {wanted}",
        )


def _note_versions(manifest: Manifest, progress: Progress) -> None:
    """Tell the user which library versions changed since the build, because rows may differ."""
    then, now = manifest.libraries, library_versions()
    others = [
        f"{name} {then.get(name, 'unknown')} (now {version})"
        for name, version in now.items()
        if then.get(name) != version
    ]
    if others:
        progress.note(f"the dataset was built with {', '.join(others)}.")


def _as_json(value: Any) -> str:
    """Return a value as JSON that is safe to print, shortened to 200 characters."""
    text = orjson.dumps(value).decode()
    return ascii_safe(text if len(text) <= 200 else text[:199] + "…")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".")
