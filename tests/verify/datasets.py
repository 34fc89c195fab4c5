"""Datasets to be damaged, and the ways to damage them.

The tokenizer knows bytes only: the id of a byte is its value, and ``</s>`` is 256. The dataset that
most tests damage has the four rows of ``RECORDS`` in two shards. The fixture ``dataset`` (see
``conftest.py``) puts it into the current folder.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from toys import write_jsonl
from typer.testing import CliRunner, Result

from sftprep.arrange.conservation import digest, text, total
from sftprep.cli.app import app
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.identity import fingerprint
from sftprep.dataset.manifest import Manifest
from sftprep.verify.check import verify

RECORDS = [
    {"prompt": "ab", "completion": "cd"},
    {"prompt": "ef", "completion": "gh"},
    {"prompt": "ij", "completion": "kl"},
    {"prompt": "mn", "completion": "op"},
]
FIRST, SECOND = "data/train-00000-of-00002", "data/train-00001-of-00002"
"""The two shards, without the ending of their format."""

LOSSY_RECORDS = [
    RECORDS[0],
    {"prompt": "a long one", "completion": "that is dropped"},
    {"prompt": "ab"},
    RECORDS[1],
    {"prompt": "mn", "completion": ""},
]
"""Records of which one is dropped and two are rejected, with ``LOSSY_OPTIONS``."""
LOSSY_OPTIONS = {"max_length": 9, "on_error": "quarantine", "shard_size": "1MB"}

NO_HASH = "0" * 64
"""A well-formed SHA-256 that nothing has."""

Table = dict[str, list[Any]]
"""The columns of a shard: name -> one list of integers per row."""
ManifestValue = dict[str, Any]
"""The parsed JSON of a manifest."""


class MakeDataset(Protocol):
    """Puts a dataset into the folder ``out``, beside its input ``data.jsonl``."""

    def __call__(self, records: list[Any] | None = None, **options: Any) -> Path:
        """Return the folder ``out``.

        Args:
            records: the input; ``RECORDS`` by default.
            options: of the recipe.
        """
        ...


def problems(folder: Path, **options: Any) -> list[str]:
    """Verify a dataset with one worker; return its problems as printed."""
    return list(map(str, verify(str(folder), workers=1, **options).problems))


def run(*arguments: str) -> Result:
    """Run ``sftprep verify`` in this process."""
    return CliRunner().invoke(app, ["verify", *arguments])


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_of(folder: Path) -> ManifestValue:
    """Return the manifest of a dataset as plain values."""
    return dict(json.loads((folder / MANIFEST).read_bytes()))


def edit_manifest(folder: Path, change: Callable[[ManifestValue], object]) -> None:
    """Change a manifest and correct its digest and fingerprint, as a forger would."""
    value = orjson.loads((folder / MANIFEST).read_bytes())
    del value["digest"]
    before = value["fingerprint"]
    change(value)
    manifest = Manifest(**value)
    if value["fingerprint"] == before:
        with contextlib.suppress(TypeError, KeyError, AttributeError):  # the change may be junk
            manifest = Manifest(**{**value, "fingerprint": fingerprint(manifest.identity())})
    (folder / MANIFEST).write_bytes(manifest.dump())


def setting(*keys: str | int, to: Any) -> Callable[[ManifestValue], None]:
    """Return a change for ``edit_manifest`` that sets the value at a path of keys."""

    def change(value: ManifestValue) -> None:
        inner: Any = value
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to

    return change


def shard_path(folder: Path, shard: str) -> Path:
    """Return the path of a shard, whatever its format is."""
    return next(folder.glob(f"{shard}.*"))


def rows_of(folder: Path, shard: str) -> Table:
    """Return the columns of a shard as lists."""
    path = shard_path(folder, shard)
    if path.suffix == ".parquet":
        return dict(pq.read_table(path).to_pydict())
    if path.suffix == ".arrow":
        with pa.OSFile(str(path)) as file:
            return dict(pa.ipc.open_file(file).read_all().to_pydict())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {name: [row[name] for row in rows] for name in rows[0]}


CHANGEABLE = ("parquet", "arrow", "jsonl")
"""The formats whose rows ``change_rows`` can change."""

TYPES = {"input_ids": pa.int32(), "attention_mask": pa.int8(), "labels": pa.int32()}


def write_rows(path: Path, table: Table, types: dict[str, Any] = TYPES) -> None:
    """Write columns as a shard, in the format of the path's ending."""
    if path.suffix == ".jsonl":
        rows = zip(*table.values(), strict=True)
        write_jsonl(path, [dict(zip(table, row, strict=True)) for row in rows])
        return
    columns = [pa.array(table[name], pa.list_(types[name])) for name in table]
    made = pa.table(columns, names=list(table))
    if path.suffix == ".parquet":
        pq.write_table(made, path)
    else:
        with path.open("wb") as file, pa.ipc.new_file(file, made.schema) as writer:
            writer.write_table(made)


def change_rows(
    folder: Path, change: Callable[[Table], object], shard: str = FIRST, *, forge: bool = True
) -> None:
    """Change the rows of a shard.

    Args:
        folder: the dataset's.
        change: changes the columns in place.
        shard: its name, without the ending.
        forge: whether to make the index and the manifest agree with the changed shard.
    """
    path = shard_path(folder, shard)
    table = rows_of(folder, shard)
    change(table)
    write_rows(path, table)
    if forge:
        digest = _forge_index(index_path(folder, shard), table)
        edit_manifest(folder, lambda value: _describe_shard(value, path, table, digest))


def index_path(folder: Path, shard: str) -> Path:
    """Return the path of the index of a shard, which is named without its ending."""
    return folder / f"{shard.replace('data/', 'index/')}.parquet"


def _forge_index(path: Path, table: Table) -> str:
    """Make an index list the rows of a changed shard; return the digest of its documents."""
    found = pq.read_table(path)
    entries, old = [], found.to_pylist()
    for number, labels in enumerate(table["labels"]):
        trained = [label != -100 for label in labels]
        runs = [(flag, len(list(run))) for flag, run in groupby(trained)]
        writer = {"message": 0, "role": "user", "part": "content"}
        entries.append(
            old[min(number, len(old) - 1)]
            | {
                "row": number,
                "tokens": len(labels),
                "trained_tokens": sum(trained[1:]),
                "segments": [{**writer, "tokens": n, "trained": flag} for flag, n in runs],
            }
        )
    pq.write_table(pa.Table.from_pylist(entries, found.schema), path)
    columns = ("record_key", "tokens", "trained_tokens")
    return text(digest(*(np.array([e[c] for e in entries], np.uint64) for c in columns)))


def change_index(
    folder: Path, change: Callable[[list[dict[str, Any]]], object], shard: str = FIRST
) -> None:
    """Change the index of a shard, with a manifest that agrees as far as its hash."""
    path = index_path(folder, shard)
    found = pq.read_table(path)
    rows = found.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, found.schema), path)
    describe_index(folder, path)


def describe_index(folder: Path, path: Path) -> None:
    """Put the size and the hash of a changed index into the manifest."""

    def describe(value: ManifestValue) -> None:
        name = f"index/{path.name}"
        entry = next(s["index"] for s in value["shards"] if s["index"]["name"] == name)
        entry |= {"bytes": path.stat().st_size, "sha256": sha256(path)}

    edit_manifest(folder, describe)


def _describe_shard(value: ManifestValue, path: Path, table: Table, of_rows: str) -> None:
    """Make a manifest say what is true of a changed shard, also in its total counts."""
    entry = next(shard for shard in value["shards"] if shard["name"] == f"data/{path.name}")
    entry |= {"bytes": path.stat().st_size, "sha256": sha256(path), "digest": of_rows}
    index = path.parents[1] / entry["index"]["name"]
    entry["index"] |= {"bytes": index.stat().st_size, "sha256": sha256(index)}
    entry["rows"] = entry["documents"] = len(table["labels"])
    entry["tokens"] = sum(map(len, table["input_ids"]))
    entry["trained_tokens"] = sum(x != -100 for row in table["labels"] for x in row)
    for name in ("tokens", "trained_tokens"):
        value["counts"][name] = sum(shard[name] for shard in value["shards"])
    if not value["arrangement"]:
        value["input_shards"] = [shard["rows"] for shard in value["shards"]]
    value["digest_of_rows"] = text(total(*(int(s["digest"], 16) for s in value["shards"])))


def put(column: str, row: int, token: int, value: int) -> Callable[[Table], object]:
    """Return a change for ``change_rows`` that sets one value."""
    return lambda table: table[column][row].__setitem__(token, value)


def replace_first_shard(folder: Path, name: str, data: bytes) -> list[str]:
    """Replace the bytes of the first shard, with a manifest that agrees; return the problems."""
    (folder / name).write_bytes(data)

    def change(value: ManifestValue) -> None:
        value["shards"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    edit_manifest(folder, change)
    return problems(folder)
