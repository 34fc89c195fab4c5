"""Copy to another dataset what an export does not make anew: the ledgers and the tokenizer.

In     the folder of a dataset and its manifest; the entries of rows that the export leaves out.
Out    the same files in the new dataset, durable; in ``dropped.jsonl`` also these entries.
Keeps  the entries of the first half first, and those of an arrangement after them in input order.
Never  copies a file that is not as the manifest describes it.
Raises DataError: a file is damaged, or cannot be read.
"""

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from sftprep.arrange.plan import REASONS
from sftprep.dataset.durable import write_durably
from sftprep.dataset.files import DROPPED, MANIFEST, REJECTS, TOKENIZER
from sftprep.dataset.ledger import Ledger, LedgerInfo
from sftprep.dataset.manifest import Manifest
from sftprep.errors import DataError
from sftprep.system.files import sha256_of
from sftprep.text import ascii_safe

CURE = "Run sftprep verify on the dataset, and build it again"


def copy_ledgers(
    dataset: Path,
    manifest: Manifest,
    target: Path,
    dropped: Iterable[Mapping[str, Any]],
    *,
    private: bool,
) -> dict[str, dict[str, Any]]:
    """Copy both ledgers, and add the rows that are left out now.

    Args:
        dataset: the folder of the dataset.
        manifest: its manifest.
        target: the folder of the new dataset.
        dropped: the entries of rows that are in no split of the new dataset, in input order.
        private: whether only the owner may read the copies.

    Returns:
        The manifest's description of each ledger that has entries.
    """
    names = [entry["name"] for entry in manifest.inputs]
    found: dict[str, LedgerInfo | None] = {}
    for name in (REJECTS, DROPPED):
        ledger = Ledger(target / name, private=private)
        lines = _lines(dataset, manifest, name)
        try:
            if name == DROPPED:
                lines = _merged(lines, map(_line_of, dropped), _Order(names))
            for line in lines:
                ledger.add_line(line)
            found[name] = ledger.info()
            ledger.close()
        finally:
            ledger.abandon()
    return {name: {**info} for name, info in found.items() if info}


def _lines(dataset: Path, manifest: Manifest, name: str) -> Iterator[bytes]:
    """Yield the lines of a ledger, once it is known to be whole."""
    if name not in manifest.ledgers:
        return
    try:
        handle = os.open(dataset / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            if sha256_of(file) != manifest.ledgers[name]["sha256"]:
                raise _damaged(dataset / name)
            file.seek(0)
            yield from file
    except OSError as error:
        raise _unreadable(dataset / name, error) from error


class _Order:
    """Tells the order of entries of arrangements: that of their records in the input."""

    def __init__(self, names: list[str]) -> None:
        self._number = {name: index for index, name in enumerate(names)}

    def __call__(self, line: bytes) -> tuple[int, int, int]:
        entry = orjson.loads(line)
        place = entry["row"] if "row" in entry else entry["offset"]
        return self._number[entry["file"]], place, entry.get("answer", 0)


def _line_of(entry: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def _merged(old: Iterator[bytes], new: Iterator[bytes], order: _Order) -> Iterator[bytes]:
    """Yield the lines of a ledger, with more entries of an arrangement among its own."""
    for line in old:
        if orjson.loads(line)["reason"] in REASONS:
            yield from heapq.merge(_before(line, old), new, key=order)
            return
        yield line
    yield from new


def _before(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def copy_tokenizer(dataset: Path, manifest: Manifest, target: Path) -> None:
    """Copy the files of the tokenizer."""
    for name, sha256 in manifest.tokenizer["files"].items():
        path = dataset / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _unreadable(path, error) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _damaged(path)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        write_durably(target / name, data)
    (target / TOKENIZER).mkdir(exist_ok=True)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{ascii_safe(str(path))}: cannot be read: {error.strerror}. {CURE}.")


def _damaged(path: Path) -> DataError:
    return DataError(f"{ascii_safe(str(path))}: its SHA-256 is not the one in {MANIFEST}. {CURE}.")
