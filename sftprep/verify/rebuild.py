"""Whether the same inputs give the same rows again, record by record.

In     a dataset that is sound by itself, and the inputs it should have been made from.
Out    problems: an input that is another, the first row that differs with the record that gives
       it, records that were lost then and not now, counts that differ.
Keeps  to the dataset alone for what was done: recipe, template and tokenizer are those that are
       stored with it. Texts are encoded by HF tokenizers, whatever encoded them then.
       Memory is bounded by the blocks in flight and a part of one shard.
Raises what reading the inputs can raise; InternalError: a worker died.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import yaml

from sftprep.data.block import Block, Source
from sftprep.data.ragged import Offsets
from sftprep.dataset.accounting import Accounting
from sftprep.dataset.manifest import MANIFEST, Manifest
from sftprep.engine.local.engine import run_blocks
from sftprep.errors import StorageError, TemplateError, TokenizerError, UsageError
from sftprep.pipeline import Settings, with_schemas
from sftprep.plan import is_chat_template, library_versions, settings_of
from sftprep.progress import Progress
from sftprep.reading.blocks import BlockReader
from sftprep.reading.sources import find_sources
from sftprep.recipe import Recipe
from sftprep.templates.loading import parse_template
from sftprep.templates.template import ChatTemplate, Template
from sftprep.text import ascii_safe, number
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.proof import prove_content_encoding
from sftprep.tokenization.tokenizer import Tokenizer
from sftprep.verify.folder import Folder
from sftprep.verify.ledgers import compare_ledger
from sftprep.verify.manifest import LEDGERS, stored_recipe
from sftprep.verify.report import Problem, Report
from sftprep.verify.stored_rows import Difference, StoredRows


def compare(
    files: Folder, manifest: Manifest, inputs: Sequence[str], workers: int, progress: Progress
) -> list[Problem]:
    """Make the rows again and compare them with those of the dataset.

    Args:
        files: the dataset's, all of them as the manifest says.
        manifest: the dataset's.
        inputs: files, globs, folders, or ``-``, as for ``prepare``.
        workers: processes at the most.
        progress: told how it goes; it has been started, and told of the shards.
    """
    report = Report(str(files.path))
    sources = find_sources(inputs)
    if len(sources) != len(manifest.inputs):
        names = ", ".join(entry["name"] for entry in manifest.inputs)
        given = number(len(sources), "input")
        report.add(
            MANIFEST, f"names {number(len(manifest.inputs), 'input')} ({names}); given {given}"
        )
        return report.problems
    for index, source in enumerate(sources):
        if Path(source.path).is_file():
            _check_input(manifest, index, source, _sha256(source.path), report)
    if not report.ok:
        return report.problems
    try:
        recipe, settings = _again(files.path, manifest)
        _check_tokenizer(settings.tokenizer, manifest, report)
        _tell_versions(manifest, progress)
        _Comparison(files, manifest, sources, report).run(recipe, settings, workers, progress)
    except TokenizerError as error:
        report.add("tokenizer", f"cannot be used: {_first(error)}")
    except (UsageError, TemplateError) as error:
        report.add(MANIFEST, f"the dataset cannot be made again: {_first(error)}")
    return report.problems


class _Comparison:
    """One way through the inputs, beside the dataset."""

    def __init__(
        self, files: Folder, manifest: Manifest, sources: Sequence[Source], report: Report
    ) -> None:
        self._files = files
        self._manifest = manifest
        # Ledgers and counts name the inputs as they were called then.
        self._sources = [
            Source(source.path, entry["name"])
            for source, entry in zip(sources, manifest.inputs, strict=True)
        ]
        self._report = report
        self._in_flight: deque[Block] = deque()

    def run(self, recipe: Recipe, settings: Settings, workers: int, progress: Progress) -> None:
        """Make all rows again, up to the first difference."""
        reader = BlockReader(self._sources, recipe.shard_bytes, limits=recipe.limits)
        blocks = with_schemas(reader, recipe.schema, recipe.field_names)
        before = sum(shard["bytes"] for shard in self._manifest.shards)
        stored = StoredRows(self._files, self._manifest)
        whole = True
        with TemporaryDirectory(prefix="sftprep-") as scratch:
            accounting = Accounting(self._sources, Path(scratch), quarantine=True)
            for result in run_blocks(self._fed(blocks), settings, workers):
                block, batch = self._in_flight.popleft(), result.batch
                accounting.add(result)
                progress.advance(before + reader.stored_bytes, result.size, result.read)
                found = None if batch is None else stored.compare(result.shard, batch)
                if batch is not None and found is not None:
                    self._tell(found, block, batch.record)
                    self._finish_input(block.source, blocks, reader)
                    whole = False
                    break
            accounting.close()
            if whole:
                self._check_end(stored, reader, accounting)
            for name in LEDGERS:
                listed = name in self._manifest.ledgers
                compare_ledger(
                    self._files, name, Path(scratch), self._report, listed=listed, whole=whole
                )

    def _fed(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks, each kept until its result is there: it knows its records' places."""
        for block in blocks:
            self._in_flight.append(block)
            yield block

    def _finish_input(self, source: int, blocks: Iterator[Block], reader: BlockReader) -> None:
        """Read a stream to its end: if it is another input, that is what must be said."""
        for block in blocks:
            if block.source > source:
                break
        _check_input(
            self._manifest,
            source,
            self._sources[source],
            reader.digests[source].sha256,
            self._report,
        )

    def _tell(self, found: Difference, block: Block, records: Offsets) -> None:
        who = ""
        if found.at is not None:
            line, _ = block.place(int(records[found.at]))
            who = f", as {self._sources[block.source].name}:{line} gives"
        self._report.add(found.file, found.problem + who, found.row)

    def _check_end(self, stored: StoredRows, reader: BlockReader, accounting: Accounting) -> None:
        """What can be said once all inputs were read."""
        for index, (source, facts) in enumerate(zip(self._sources, reader.digests, strict=True)):
            _check_input(self._manifest, index, source, facts.sha256, self._report)
        rest = stored.rest()
        if rest is not None:
            self._report.add(rest.file, rest.problem, rest.row)
        for index, (entry, counts) in enumerate(
            zip(self._manifest.inputs, accounting.by_source, strict=True)
        ):
            size = reader.digests[index].bytes
            again = {"bytes": size, "schema": counts.schema, **counts.as_dict()}
            place = f"inputs[{index}]"
            self._check_counts(place, {k: v for k, v in entry.items() if k in again}, again)
        self._check_counts("counts", self._manifest.counts, accounting.totals())

    def _check_counts(
        self, place: str, found: Mapping[str, Any], expected: Mapping[str, Any]
    ) -> None:
        for key in sorted(found.keys() | expected.keys()):
            if found.get(key) != expected.get(key):
                self._report.add(
                    MANIFEST,
                    f"{place}.{ascii_safe(key)} is {_value(found.get(key))}; the inputs give "
                    f"{_value(expected.get(key))}",
                )


def _again(folder: Path, manifest: Manifest) -> tuple[Recipe, Settings]:
    """What was done then, to be done again: all of it from the dataset."""
    recipe = stored_recipe(manifest)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    if tokenizer.sha256 != manifest.tokenizer["sha256"]:
        then, now = manifest.libraries, library_versions()
        versions = " and ".join(
            f"{name} {then.get(name, 'unknown')} then, {now[name]} now"
            for name in ("transformers", "tokenizers")
        )
        raise TokenizerError(
            f"it resolves to SHA-256 {tokenizer.sha256}; the manifest says "
            f"{manifest.tokenizer['sha256']} ({versions})"
        )
    encoding = prove_content_encoding(tokenizer, recipe.allow_control, "hf")
    settings = settings_of(recipe, tokenizer, _template(recipe, manifest), encoding)
    return recipe, settings


def _check_tokenizer(tokenizer: Tokenizer, manifest: Manifest, report: Report) -> None:
    """What the manifest tells trainers of the tokenizer."""
    found = manifest.tokenizer
    expected = {
        "vocabulary_size": tokenizer.size,
        "model_max_length": tokenizer.model_max_length,
        "added_tokens": {token: tokenizer.ids.get(token) for token in found["added_tokens"]},
        "special_tokens": {
            role: {"token": token, "id": tokenizer.special_id(role)}
            for role, token in tokenizer.special.items()
        },
    }
    for key, value in expected.items():
        if found[key] != value:
            report.add(
                MANIFEST,
                f"tokenizer.{key} is {_value(found[key])}; the saved tokenizer has {_value(value)}",
            )


def _template(recipe: Recipe, manifest: Manifest) -> Template | ChatTemplate:
    """The template as it was: from its stored text, wherever it came from."""
    name, source = manifest.template["name"], manifest.template["source"]
    try:
        value = yaml.safe_load(source)
    except Exception:  # PyYAML raises what its parts raise; then it is no such file
        value = None
    # A YAML file may be called tokenizer.yaml; no chat template is a mapping with these keys.
    plain = isinstance(value, dict) and {"user", "assistant"} <= value.keys()
    if plain or not is_chat_template(name):
        return parse_template(value, name=name, where="its template", data=source.encode())
    return ChatTemplate(
        name=name,
        source=source,
        sha256=manifest.template["sha256"],
        arguments=recipe.template_arguments,
        today=None if recipe.date is None else date.fromisoformat(recipe.date),
    )


def _check_input(
    manifest: Manifest, index: int, source: Source, found: str, report: Report
) -> None:
    expected = [entry["sha256"] for entry in manifest.inputs]
    if found == expected[index]:
        return
    name = manifest.inputs[index]["name"]
    words = f"SHA-256 is {found}; the manifest says {expected[index]} for input {index + 1}, {name}"
    if found in expected:
        words = (
            f"is input {expected.index(found) + 1} of the manifest; expected input {index + 1}, "
            f"{name}"
        )
    report.add(source.path, words)


def _sha256(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(
            f"{ascii_safe(path)}: cannot be read: {error.strerror}. Check the file and its rights."
        ) from error


def _tell_versions(manifest: Manifest, progress: Progress) -> None:
    then, now = manifest.libraries, library_versions()
    others = [
        f"{name} {then.get(name, 'unknown')} (now {version})"
        for name, version in now.items()
        if then.get(name) != version
    ]
    if others:
        progress.note(f"the dataset was made with {', '.join(others)}.")


def _value(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return ascii_safe(text if len(text) <= 200 else text[:199] + "…")


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".")
