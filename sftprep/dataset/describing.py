"""The files that describe the shards of a dataset to readers of its format, such as ``index.json``.

In     the manifest, with the shards of all splits.
Out    the files by their path in the dataset, whole; a format may have none.
Keeps  them the same for the same manifest, so that they can be made again and compared.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

from sftprep.dataset.durable import write_durably
from sftprep.dataset.manifest import Manifest
from sftprep.formats.places import Described
from sftprep.formats.table import FORMATS
from sftprep.targets.table import form_of


def describing_files(manifest: Manifest) -> dict[str, bytes]:
    """Return the files that describe the shards."""
    splits: dict[str, list[Described]] = {}
    for shard in manifest.shards:
        described = Described(shard["name"], shard["rows"], shard["bytes"], shard["sha256"])
        splits.setdefault(shard["split"], []).append(described)
    places = FORMATS[manifest.recipe["format"]].PLACES
    return places.describe(splits, form_of(manifest.recipe).kinds)


def write_describing_files(folder: Path, manifest: Manifest) -> Manifest:
    """Write the files that describe the shards.

    Args:
        folder: the dataset's folder, which holds the shards.
        manifest: the manifest, complete except for the card and these files.

    Returns:
        The manifest with the SHA-256 of each, and of no other file yet.
    """
    found = describing_files(manifest)
    for name, data in found.items():
        write_durably(folder / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    return replace(manifest, files=hashes)
