"""A cache on disk for results that take long to compute, in the user's cache folder.

In     a kind, the key (everything the result depends on, as plain data), and the result's parts:
       bytes by name.
Out    the same parts for the same key in a later run; None if no intact entry exists.
Keeps  each part as it was written: its SHA-256 is checked when it is read. An entry appears
       complete or not at all, so concurrent runs do not disturb each other.
Never  fails: if the folder cannot be written or the disk is full, the next run computes the result
       again. Never changes the output: a run writes the same bytes with and without it.

The folder is ``$SFTPREP_CACHE``, or else ``sftprep`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. There
is no cache if ``$SFTPREP_CACHE`` is empty. The folder may be deleted at any time.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

Key = Mapping[str, Any]
Parts = dict[str, bytes]
INDEX = "index.json"


def cache_folder() -> Path | None:
    """Return the folder of all entries; None if the user wants no cache or has no home folder."""
    chosen = os.environ.get("SFTPREP_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # from Path.home: the user has no home folder
        return (Path(base) if base else Path.home() / ".cache") / "sftprep"
    return None


def recall(kind: str, key: Key) -> Parts | None:
    """Return the parts that were stored for this key; None if no intact entry exists."""
    entry = _entry(kind, key)
    if entry is None:
        return None
    try:
        index = orjson.loads((entry / INDEX).read_bytes())
        if index != _index(key, index["sha256"]):
            return None
        parts = {n: (entry / f"part-{i}").read_bytes() for i, n in enumerate(index["sha256"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    intact = all(_sha256(data) == index["sha256"][name] for name, data in parts.items())
    return parts if intact else None


def store(kind: str, key: Key, parts: Parts) -> None:
    """Store parts for this key, if that is possible."""
    entry = _entry(kind, key)
    if entry is None:
        return
    with contextlib.suppress(OSError):
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=entry.parent))
        try:
            for number, data in enumerate(parts.values()):
                (new / f"part-{number}").write_bytes(data)
            sums = {name: _sha256(data) for name, data in parts.items()}
            (new / INDEX).write_bytes(orjson.dumps(_index(key, sums)))
            if entry.exists():  # it is damaged, or another run has stored it meanwhile
                shutil.rmtree(entry, ignore_errors=True)
            new.rename(entry)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _index(key: Key, sums: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry's index. Its digest reveals damage to the index itself."""
    digest = _sha256(orjson.dumps([key, sums], option=orjson.OPT_SORT_KEYS))
    return {"sha256": dict(sums), "digest": digest}


def _entry(kind: str, key: Key) -> Path | None:
    folder = cache_folder()
    name = _sha256(orjson.dumps(key, option=orjson.OPT_SORT_KEYS))
    return None if folder is None else folder / f"{kind}-{name}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
