"""The manifest of a dataset: ``manifest.json``, which is written last.

In     the counts of all records, the sources, the shards, and everything that decided their bytes.
Out    a JSON object; reading it back gives an equal ``Manifest``.
Never  holds anything that changes from run to run, such as a time, a host, a path or the number of
       workers.
Raises NoInputError: the folder holds no dataset.
       DataError: the manifest is damaged, or has another format version.

A folder without a manifest is not a dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict

import orjson

from sftprep.arrange.conservation import text, total
from sftprep.dataset.causes import Cause
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.identity import FORMAT_VERSION, Identity, fingerprint, identity
from sftprep.dataset.new_file import FileInfo
from sftprep.errors import DataError, NoInputError
from sftprep.text import shown


class NamedFile(FileInfo):
    """The description of a shard's index in the manifest, or of another file of the shard."""

    name: str


class Parts(TypedDict, total=False):
    """The description of a shard's other files, if its format has several."""

    parts: list[NamedFile]


class ShardInfo(FileInfo, Parts):
    """The description of a shard in the manifest, without its name and its split."""

    rows: int
    documents: int  # as many as rows, unless rows are packs of several documents
    tokens: int
    trained_tokens: int
    digest: str  # of its documents, see ``arrange.conservation``
    index: NamedFile


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``."""

    format_version: int
    recipe: dict[str, Any]  # the resolved options that decide the bytes
    inputs: list[dict[str, Any]]  # of each: name, bytes, sha256, schema, and counts of records
    tokenizer: dict[str, Any]
    template: dict[str, Any]  # name, sha256, source
    counts: dict[str, Any]
    input_shards: list[int]
    """How many rows each slice of the input of the size of a shard gives, without empty slices.
    Empty if it is not known, because export has changed the size."""
    shards: list[dict[str, Any]]  # the name, the split and the ``ShardInfo`` of each
    digest_of_rows: str  # the sum of the digests of all shards
    ledgers: dict[str, dict[str, Any]]  # name -> ``LedgerInfo`` of each ledger that has entries
    files: dict[str, str]  # name -> SHA-256 of the card and of the files that describe the shards
    arrangement: dict[str, Any]  # the facts of ``arrange.plan``; empty if nothing was arranged
    libraries: dict[str, str]  # name -> version of each library that decides bytes
    fingerprint: str  # SHA-256 of the identity

    def with_shards(self, shards: list[dict[str, Any]]) -> "Manifest":
        """Return the manifest with these shards, and the sum of their digests."""
        digests = (int(shard["digest"], 16) for shard in shards)
        return replace(self, shards=shards, digest_of_rows=text(total(*digests)))

    def dump(self) -> bytes:
        """Return the bytes of the file: this manifest and its digest."""
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps({**asdict(self), "digest": manifest_digest(self)}, option=option)

    def identity(self) -> Identity:
        """Return the identity of this dataset, with the SHA-256 of each input."""
        return identity(
            recipe=self.recipe,
            tokenizer=self.tokenizer["sha256"],
            **token_roles(self.tokenizer),
            template=self.template["sha256"],
            libraries=self.libraries,
            inputs=[entry["sha256"] for entry in self.inputs],
            format_version=self.format_version,
        )


@dataclass(frozen=True)
class Prepared:
    """The result of a run.

    ``status`` is ``written``; ``resumed``, if the run continued an interrupted run; or
    ``unchanged``, if the output folder already held the same dataset. ``causes`` says why records
    were refused; with ``unchanged`` it is empty.
    """

    manifest: Manifest
    status: str
    causes: tuple[Cause, ...] = ()

    def dump(self) -> bytes:
        """Return one JSON object: the status, followed by the content of the manifest."""
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        content = orjson.loads(self.manifest.dump())
        return orjson.dumps({"status": self.status, **content}, option=option)


def shard_parts(infos: Sequence[FileInfo], names: Sequence[str]) -> Parts:
    """Return the entry of a shard's other files; empty if it has only one file.

    Args:
        infos: what is known of all files of the shard.
        names: their names.
    """
    parts: list[NamedFile] = [
        {"name": name, "bytes": info["bytes"], "sha256": info["sha256"]}
        for info, name in zip(infos[1:], names[1:], strict=True)
    ]
    return {"parts": parts} if parts else {}


def files_of(shard: Mapping[str, Any]) -> list[Any]:
    """Return what the manifest says of each file of a shard, without its index."""
    return [shard, *shard.get("parts", ())]


def size_of(shard: Mapping[str, Any]) -> int:
    """Return how many bytes the files of a shard have, without its index."""
    return sum(file["bytes"] for file in files_of(shard))


def manifest_digest(manifest: Manifest) -> str:
    """Compute the SHA-256 of a manifest's content, which reveals later edits and damage."""
    return fingerprint(asdict(manifest))


def token_roles(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the identity that say which token has which role.

    They come from other files than ``tokenizer.json``.

    Args:
        tokenizer: the manifest's entry for the tokenizer.
    """
    special = {"adds_bos": tokenizer["adds_bos"], **tokenizer["special_tokens"]}
    return {"special_tokens": special, "stop_tokens": tokenizer["stop_tokens"]}


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest of a dataset.

    Args:
        folder: the dataset's folder.

    Raises:
        NoInputError: the folder holds no dataset.
        DataError: the manifest is damaged, or has another format version.
    """
    path = folder / MANIFEST
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise NoInputError(
            f"{folder}: holds no dataset: there is no {MANIFEST}. Check the path, or run prepare."
        ) from error
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: is damaged: {error}. Build the dataset again.") from error
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: has format version {shown(version)}; this sftprep reads {FORMAT_VERSION}. "
            "Use the version that wrote it, or build the dataset again."
        )
    digest = value.pop("digest", None)
    if set(value) != {f.name for f in fields(Manifest)}:
        raise DataError(
            f"{path}: does not have exactly the keys of a manifest. Build the dataset again."
        )
    manifest = Manifest(**value)
    try:
        found = manifest_digest(manifest)
    except (TypeError, RecursionError):  # the values are nested deeper than sftprep writes them
        found = ""
    if digest != found:
        raise DataError(
            f"{path}: has been changed since it was written: its digest does not match. Build the "
            "dataset again."
        )
    return manifest
