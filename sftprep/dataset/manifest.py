"""What was read, done and written: ``manifest.json``, the last file of a dataset.

In     the counts of all blocks, the sources, the shards and what decided their bytes.
Out    a JSON object with sorted, stable content; reading it back gives an equal ``Manifest``.
Keeps  the identity read = written + dropped + rejected, per file and in all, checked here.
Never  holds anything that changes from run to run: no time, host, path, or number of workers.

A folder without a manifest is no dataset.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from sftprep.dataset.identity import FORMAT_VERSION, Identity, fingerprint, identity
from sftprep.errors import DataError, InternalError, NoInputError
from sftprep.text import shown

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``."""

    format_version: int
    recipe: dict[str, Any]  # the resolved options that decide the result
    inputs: list[dict[str, Any]]  # name, bytes, sha256, schema, records by outcome
    tokenizer: dict[str, Any]
    template: dict[str, Any]  # name, sha256, source
    counts: dict[str, Any]
    shards: list[dict[str, Any]]  # name, rows, tokens, trained_tokens, bytes, sha256
    ledgers: dict[str, dict[str, Any]]  # name -> entries, bytes, sha256, of those that are there
    libraries: dict[str, str]  # name -> version, of those that decide bytes
    fingerprint: str  # SHA-256 over everything that decides the bytes

    def dump(self) -> bytes:
        """The file's bytes: all of this, and its digest."""
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps({**asdict(self), "digest": manifest_digest(self)}, option=option)

    def identity(self) -> Identity:
        """What decided the dataset's bytes; the inputs are by content."""
        return identity(
            recipe=self.recipe,
            tokenizer=self.tokenizer["sha256"],
            template=self.template["sha256"],
            libraries=self.libraries,
            inputs=[entry["sha256"] for entry in self.inputs],
            format_version=self.format_version,
        )


@dataclass(frozen=True)
class Prepared:
    """What a run came to."""

    manifest: Manifest
    status: str  # written; resumed: after an interruption; unchanged: it was there already

    def dump(self) -> bytes:
        """One JSON object: the status and the manifest's content."""
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        content = orjson.loads(self.manifest.dump())
        return orjson.dumps({"status": self.status, **content}, option=option)


def manifest_digest(manifest: Manifest) -> str:
    """SHA-256 of a manifest's content: it tells an edited or damaged one."""
    return fingerprint(asdict(manifest))


def check_identity(name: str, counts: Mapping[str, Any]) -> None:
    """Every record is accounted for, or there is a bug.

    Args:
        name: whose counts these are, for the message.
        counts: ``read``, ``written``, and ``dropped`` and ``rejected`` by reason; with one example
            for each answer also ``extra_examples``, those beyond one a record.
    """
    dropped, rejected = sum(counts["dropped"].values()), sum(counts["rejected"].values())
    examples = counts["read"] + counts.get("extra_examples", 0)
    if examples != counts["written"] + dropped + rejected:
        raise InternalError(
            f"{name}: {examples} records read, but {counts['written']} written + {dropped} "
            f"dropped + {rejected} rejected. This is a bug in sftprep; nothing was published."
        )


def load_manifest(folder: Path) -> Manifest:
    """Read a dataset's manifest.

    Raises:
        NoInputError: the folder holds no dataset.
        DataError: the manifest is damaged or of another format version.
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
        raise DataError(f"{path}: has other keys than a manifest. Build the dataset again.")
    manifest = Manifest(**value)
    try:
        found = manifest_digest(manifest)
    except (TypeError, RecursionError):  # deeper than anything that was ever written
        found = ""
    if digest != found:
        raise DataError(
            f"{path}: has been changed since it was written: its digest is another. Build the "
            "dataset again."
        )
    return manifest
