"""Keep what is dear to find out, by what it was found from: the user's cache folder.

In     a kind, what the content depends on (plain facts), and texts or bytes by name.
Out    the same content for the same facts, in a later run; nothing where it is not there, or is
       not whole.
Keeps  an entry as it was written: each part's SHA-256 is checked when it is read. An entry appears
       whole or not at all, so that runs side by side do not disturb each other.
Never  fails: a folder that cannot be written, or a full disk, only means that the work is done
       again next time. Never decides bytes: with or without it a run gives the same.

The folder is ``$SFTPREP_CACHE`` (empty: none), else ``sftprep`` in ``$XDG_CACHE_HOME`` or
``~/.cache``. It may be deleted at any time.
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

Content = dict[str, bytes]
INDEX = "index.json"


def cache_folder() -> Path | None:
    """Where entries are kept; None where the user wants none, or has no home."""
    chosen = os.environ.get("SFTPREP_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # there is no home
        return (Path(base) if base else Path.home() / ".cache") / "sftprep"
    return None


def recall(kind: str, facts: Mapping[str, Any]) -> Content | None:
    """What was kept for these facts; None if nothing was."""
    entry = _entry(kind, facts)
    if entry is None:
        return None
    try:
        index = orjson.loads((entry / INDEX).read_bytes())
        if index != _index(facts, index["sha256"]):
            return None
        parts = {n: (entry / f"part-{i}").read_bytes() for i, n in enumerate(index["sha256"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = all(hashlib.sha256(data).hexdigest() == index["sha256"][n] for n, data in parts.items())
    return parts if whole else None


def keep(kind: str, facts: Mapping[str, Any], content: Content) -> None:
    """Keep content for these facts, if that is possible."""
    entry = _entry(kind, facts)
    if entry is None:
        return
    with contextlib.suppress(OSError):
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=entry.parent))
        try:
            for number, data in enumerate(content.values()):
                (new / f"part-{number}").write_bytes(data)
            sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
            (new / INDEX).write_bytes(orjson.dumps(_index(facts, sums)))
            if entry.exists():  # damaged, or another run was quicker
                shutil.rmtree(entry, ignore_errors=True)
            new.rename(entry)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _index(facts: Mapping[str, Any], sums: Mapping[str, str]) -> dict[str, Any]:
    """What an entry says of itself; the digest tells a damaged name from a good one."""
    digest = hashlib.sha256(orjson.dumps([facts, sums], option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {"sha256": dict(sums), "digest": digest}


def _entry(kind: str, facts: Mapping[str, Any]) -> Path | None:
    folder = cache_folder()
    key = hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return None if folder is None else folder / f"{kind}-{key}"
