"""What was read, done and written: ``manifest.json``, the last file of a dataset.

In     the counts of all blocks, the sources, the shards and what decided their bytes.
Out    a JSON object with sorted, stable content; reading it back gives an equal ``Manifest``.
Keeps  the identity read = written + dropped + rejected, per file and in all, checked here.
Never  holds anything that changes from run to run: no time, host, path, or number of workers.

A folder without a manifest is no dataset.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from sftprep.errors import DataError, InternalError, NoInputError, shown

MANIFEST = "manifest.json"
FORMAT_VERSION = 4
"""Of the shards' bytes and of this file. A change to emitted bytes raises it."""


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


def fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 of plain facts, whatever the order of their keys."""
    return hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def decisive(manifest: Manifest) -> dict[str, Any]:
    """What decides a dataset's bytes, as a plan says it too; the inputs are by content."""
    return {
        "format_version": manifest.format_version,
        "recipe": manifest.recipe,
        "tokenizer": manifest.tokenizer["sha256"],
        "template": manifest.template["sha256"],
        "libraries": manifest.libraries,
        "inputs": [entry["sha256"] for entry in manifest.inputs],
    }


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first thing that differs between two sets of decisive facts, in words; "" if none does.

    >>> difference({"recipe": {"max_length": 10}}, {"recipe": {"max_length": 20}})
    '--max-length was 10 and is 20'
    """
    for key in ORDER:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if key in ("recipe", "libraries") and isinstance(before, dict) and isinstance(after, dict):
            name = next(k for k in [*after, *before] if before.get(k) != after.get(k))
            called = "--" + name.replace("_", "-") if key == "recipe" else f"the version of {name}"
            return f"{called} was {_told(before.get(name))} and is {_told(after.get(name))}"
        if key == "inputs" and isinstance(before, list) and isinstance(after, list):
            return _inputs_differ(before, after)
        if key == "format_version":
            return f"the format version was {_told(before)} and is {_told(after)}"
        return f"the {key} is another one"
    return ""


ORDER = ("format_version", "recipe", "tokenizer", "template", "inputs", "libraries")


def _inputs_differ(old: list[Any], new: list[Any]) -> str:
    if len(old) != len(new):
        return f"there were {len(old):,} inputs and are {len(new):,}"
    number = next(i for i, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
    return f"input {number + 1} of {len(new):,} is another one"


def _told(value: Any) -> str:
    return ", ".join(map(shown, value)) or "none" if isinstance(value, list) else shown(value)


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
