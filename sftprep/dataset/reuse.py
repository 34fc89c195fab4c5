"""Is the dataset in the output folder the one that this run would make?

In     the output folder, the plan, and the recipe.
Out    its manifest if it is complete and equal: there is nothing to do. None if this run is to
       build (and may replace what is there).
Never  reads a record: files are compared by their hashes.
Raises OutputError: what is there was made with other settings or from other input (the text names
       the first difference), or is damaged, and the run was not told to replace it.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sftprep.data.block import Source
from sftprep.dataset.identity import difference
from sftprep.dataset.manifest import MANIFEST, Manifest, load_manifest
from sftprep.dataset.staging import Output
from sftprep.errors import DataError, OutputError
from sftprep.plan import Plan
from sftprep.reading.decompression import read_error
from sftprep.reading.sources import opened
from sftprep.reading.streams import Counted
from sftprep.recipe import Recipe
from sftprep.text import ascii_safe


def finished(output: Output, job: Plan, recipe: Recipe) -> Manifest | None:
    """The manifest of a dataset that need not be built again, or None."""
    streams = any(not Path(source.path).is_file() for source in job.sources)
    if not output.is_dataset() or (recipe.overwrite and (streams or not recipe.resume)):
        return None  # a stream can be read once: to be compared, or to be built from
    try:
        manifest = load_manifest(output.path)
        damage = damaged(output.path, manifest)
    except DataError as error:
        manifest, damage = None, str(error)
    if manifest is not None:
        inputs = [entry["sha256"] for entry in manifest.inputs]
        different = difference(manifest.identity(), job.identity(inputs))
        if not different and not (damage and streams):
            different = _inputs_differ(manifest, job.sources)
        if different:
            why = f"was made otherwise: {different}"
            _refuse(output, recipe.overwrite, why, "--overwrite to replace it")
            return None
    if damage:
        replace = recipe.overwrite or recipe.resume
        _refuse(output, replace, f"is damaged: {damage}", "--resume to build it again")
        return None
    return manifest


def _refuse(output: Output, replace: bool, why: str, cure: str) -> None:
    """Say why, unless it may be replaced."""
    if not replace:
        raise OutputError(
            f"{output.path}: the dataset in it {why.rstrip('.')}. Choose another --output, or pass "
            f"{cure}."
        )


def damaged(folder: Path, manifest: Manifest) -> str:
    """The first file of a dataset that is not what its manifest says; "" if all are whole."""
    expected = {shard["name"]: shard["sha256"] for shard in manifest.shards}
    expected |= manifest.tokenizer["files"]
    expected |= {name: facts["sha256"] for name, facts in manifest.ledgers.items()}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    if extra := sorted(there - expected.keys() - {MANIFEST}):
        return f"{ascii_safe(extra[0])} is not one of its files"
    for name, sha256 in expected.items():
        path = folder / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            return f"{ascii_safe(str(name))}: {error.strerror}"
        with os.fdopen(handle, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return f"{ascii_safe(str(name))} has another SHA-256 than {MANIFEST} says"
    return ""


def _inputs_differ(manifest: Manifest, sources: Sequence[Source]) -> str:
    """The first input that is not what it was."""
    old: list[dict[str, Any]] = manifest.inputs
    if len(old) != len(sources):
        return f"there were {len(old):,} inputs and are {len(sources):,}"
    for entry, source in zip(old, sources, strict=True):
        if entry["name"] != source.name:
            return f"input {ascii_safe(entry['name'])} is {ascii_safe(source.name)}"
        if entry["sha256"] != _sha256(source):
            return f"input {ascii_safe(source.name)} has another content"
    return ""


def _sha256(source: Source) -> str:
    with opened(source.path) as raw:
        counted = Counted(raw)
        try:
            counted.drain()
        except OSError as error:
            raise read_error(source.path, error, counted.bytes) from error
        return counted.hash.hexdigest()
