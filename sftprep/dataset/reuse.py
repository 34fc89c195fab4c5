"""Reuse: find out if the output folder already holds the dataset that this run would build.

In     the output folder, the sources, and the identity of the run for given inputs.
Out    the manifest, if that dataset is undamaged and the same; then nothing is left to do. None if
       the run has to build a dataset, and may replace an existing one.
Never  parses a record: files are compared by their hashes.
Raises OutputError: the dataset was built with different settings or from different input (the
       message names what differs) or is damaged, and the run may not replace it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sftprep.data.block import Source
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.identity import Identity, difference
from sftprep.dataset.leftovers import left_in
from sftprep.dataset.manifest import Manifest, files_of, load_manifest
from sftprep.dataset.staging import OutputFolder
from sftprep.errors import DataError, OutputError
from sftprep.reading.decompression import read_error
from sftprep.reading.sources import opened
from sftprep.reading.streams import StoredStream
from sftprep.system.files import sha256_of
from sftprep.text import ascii_safe


def find_reusable(
    output: OutputFolder,
    sources: Sequence[Source],
    identity_of: Callable[[Sequence[str]], Identity],
    *,
    overwrite: bool,
    resume: bool,
) -> Manifest | None:
    """Return the manifest of the existing dataset, if it need not be built again.

    Args:
        output: the output folder.
        sources: the sources of the run.
        identity_of: returns the identity of this run for the given SHA-256 of each input.
        overwrite: True if the run may replace any dataset.
        resume: True if the run may replace a damaged dataset.

    Returns:
        None if there is no such dataset: the run has to build.

    Raises:
        OutputError: the output folder holds another dataset, or a damaged one, and the run may not
            replace it.
    """
    # A stream can be read only once: either to compare its hash, or to build the dataset.
    has_streams = any(not Path(source.file).is_file() for source in sources)
    if has_streams and overwrite:
        return None

    def difference_of(manifest: Manifest, damage: str) -> str:
        why = _other_settings(manifest, identity_of)
        return why or ("" if damage and has_streams else _other_inputs(manifest, sources))

    return _find(output, difference_of, overwrite=overwrite, resume=resume)


def find_exported(
    output: OutputFolder, identity: Identity, *, overwrite: bool, resume: bool
) -> Manifest | None:
    """Return the manifest of the existing dataset, if it need not be exported again.

    Args:
        output: the output folder.
        identity: the identity of the run, with the SHA-256 of each input.
        overwrite: True if the run may replace any dataset.
        resume: True if the run may replace a damaged dataset.

    Returns:
        None if there is no such dataset: the run has to build.

    Raises:
        OutputError: the output folder holds another dataset, or a damaged one, and the run may not
            replace it.
    """
    return _find(
        output,
        lambda manifest, _: _other_settings(manifest, lambda _: identity),
        overwrite=overwrite,
        resume=resume,
    )


def _find(
    output: OutputFolder,
    difference_of: Callable[[Manifest, str], str],
    *,
    overwrite: bool,
    resume: bool,
) -> Manifest | None:
    """Return the manifest of the existing dataset, if it is undamaged and the same.

    Args:
        output: the output folder.
        difference_of: says how the dataset with this manifest differs from that of the run, given
            also how it is damaged.
        overwrite: True if the run may replace any dataset.
        resume: True if the run may replace a damaged dataset.
    """
    if not output.is_dataset() or (overwrite and not resume):
        return None
    try:
        manifest = load_manifest(output.path)
        damage = find_damage(output.path, manifest)
    except DataError as error:
        manifest, damage = None, str(error)
    if manifest is not None and (why := difference_of(manifest, damage)):
        _refuse_unless(overwrite, output, why, "--overwrite to replace it")
        return None
    if damage:
        why = f"is damaged: {damage}"
        _refuse_unless(overwrite or resume, output, why, "--resume to build it again")
        return None
    return manifest


def _refuse_unless(may_replace: bool, output: OutputFolder, why: str, cure: str) -> None:
    """Raise an error with the reason ``why``, unless the dataset may be replaced."""
    if not may_replace:
        raise OutputError(
            f"{output.path}: the dataset in it {why.rstrip('.')}. Choose another --output, or pass "
            f"{cure}."
        )


def find_damage(folder: Path, manifest: Manifest) -> str:
    """Describe the first file of a dataset that differs from its manifest.

    Returns:
        "" if every file is undamaged and the folder holds no other file, apart from those that
        readers leave.
    """
    files = [file for shard in manifest.shards for file in (*files_of(shard), shard["index"])]
    expected = {file["name"]: file["sha256"] for file in files} | manifest.files
    expected |= manifest.tokenizer["files"]
    expected |= {name: info["sha256"] for name, info in manifest.ledgers.items()}
    present = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    for name in sorted(present - expected.keys() - {MANIFEST}):
        if not left_in(folder / name, name):
            return f"{ascii_safe(name)} is not one of its files"
    for name, sha256 in expected.items():
        try:
            handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            return f"{ascii_safe(str(name))}: {error.strerror}"
        with os.fdopen(handle, "rb") as file:
            if sha256_of(file) != sha256:
                return f"the SHA-256 of {ascii_safe(str(name))} is not the one in {MANIFEST}"
    return ""


def _other_settings(manifest: Manifest, identity_of: Callable[[Sequence[str]], Identity]) -> str:
    """Describe all settings that differ; return "" if there are none."""
    inputs = [entry["sha256"] for entry in manifest.inputs]
    different = difference(manifest.identity(), identity_of(inputs))
    return f"was built with different settings: {different}" if different else ""


def _other_inputs(manifest: Manifest, sources: Sequence[Source]) -> str:
    """Describe the first input that differs; return "" if all are equal."""
    why, old = "was built from different input: ", manifest.inputs
    if len(old) != len(sources):
        return f"{why}the number of inputs was {len(old):,} and is {len(sources):,}"
    for index, (entry, source) in enumerate(zip(old, sources, strict=True), 1):
        if entry["name"] != source.name:
            names = ascii_safe(entry["name"]), ascii_safe(source.name)
            return f"{why}input {index} was {names[0]} and is {names[1]}"
        if entry["sha256"] != sha256_of_source(source):
            return f"{why}the content of input {ascii_safe(source.name)} has changed"
    return ""


def sha256_of_source(source: Source) -> str:
    """Return the SHA-256 of a source's bytes as stored; this reads a stream to its end."""
    with opened(source) as file:
        stored = StoredStream(file)
        try:
            stored.drain()
        except OSError as error:
            raise read_error(source.path, error, stored.bytes) from error
        return stored.hash.hexdigest()
