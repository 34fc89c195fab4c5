"""A tokenizer and its encoding, from the cache where they were resolved before.

In     what ``load_tokenizer`` and ``prove`` take.
Out    what they give: resolving costs seconds (transformers is loaded), recalling hundredths.
Keeps  the same result with and without the cache: an entry depends on the content of every file
       that transformers may read, on the options, and on the versions of all that takes part.
Never  keeps a tokenizer from a hub, unless a commit is named: a branch may move.
"""

import hashlib
import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from sftprep.data.control_tokens import AddedToken
from sftprep.tokenization.disk_cache import keep, recall
from sftprep.tokenization.proof import Encoding, Variant, prove
from sftprep.tokenization.tokenizer import Tokenizer, load_tokenizer

PARTS = re.compile(r"\.(json|jinja|txt|model|tiktoken|bpe|vocab|spm)$")
"""Files that a tokenizer is made of: not weights, not code."""
LIBRARIES = ("sftprep", "transformers", "tokenizers")
LAYOUT = 8
"""Of the entries: changed with what is kept, or how."""


def resolve_tokenizer(
    source: str, *, revision: str | None = None, add_tokens: Sequence[str] = ()
) -> Tokenizer:
    """``load_tokenizer``, or what it gave the last time."""
    contents = _contents(source, revision)
    if contents is None:
        return load_tokenizer(source, revision=revision, add_tokens=add_tokens)
    facts = {
        "layout": LAYOUT,
        "name": Path(source).resolve().name if Path(source).exists() else source,
        "contents": contents,
        "revision": revision,
        "add_tokens": list(add_tokens),
        "libraries": versions(*LIBRARIES),
    }
    if kept := recall("tokenizer", facts):
        return _tokenizer(kept)
    tokenizer = load_tokenizer(source, revision=revision, add_tokens=add_tokens)
    keep("tokenizer", facts, _kept(tokenizer))
    return tokenizer


def resolve_encoding(tokenizer: Tokenizer, allowed: Sequence[str], backend: str) -> Encoding:
    """``prove``, or what it gave the last time."""
    facts = {
        "layout": LAYOUT,
        "tokenizer": tokenizer.sha256,
        "allowed": sorted(allowed),
        "backend": backend,
        "libraries": versions(*LIBRARIES, "gigatoken"),
    }
    if kept := recall("encoding", facts):
        return _encoding(kept)
    encoding = prove(tokenizer, allowed, backend)
    keep("encoding", facts, _kept_encoding(encoding))
    return encoding


def versions(*libraries: str) -> dict[str, str]:
    """The versions of installed libraries."""
    return {name: _version(name) for name in libraries}


@cache
def _version(library: str) -> str:
    return importlib.metadata.version(library)


def _contents(source: str, revision: str | None) -> Any:
    """What tells a tokenizer's files apart; None where nothing does for sure."""
    path = Path(source)
    if path.is_file():
        return {"": _sha256(path)}
    if path.is_dir():
        files = sorted(p for p in (*path.glob("*"), *path.glob("*/*")) if p.is_file())
        return {ascii(str(p.relative_to(path))): _sha256(p) for p in files if PARTS.search(p.name)}
    return source if revision and re.fullmatch(r"[0-9a-f]{40}", revision) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(tokenizer: Tokenizer) -> dict[str, bytes]:
    plain = {f.name: getattr(tokenizer, f.name) for f in fields(Tokenizer)}
    files, text = plain.pop("files"), plain.pop("json")
    plain["added"] = [list(token) for token in tokenizer.added]
    return {
        "plain": orjson.dumps(plain),
        "json": text.encode(),
        **{f"file {name}": data for name, data in files.items()},
    }


def _tokenizer(kept: dict[str, bytes]) -> Tokenizer:
    plain = orjson.loads(kept.pop("plain"))
    return Tokenizer(
        json=kept.pop("json").decode(),
        files={name.removeprefix("file "): data for name, data in kept.items()},
        **plain
        | {
            "added": tuple(AddedToken(*token) for token in plain["added"]),
            "newly_added": tuple(plain["newly_added"]),
        },
    )


def _kept_encoding(encoding: Encoding) -> dict[str, bytes]:
    plain = asdict(encoding)
    texts = {
        name: plain[name].pop("json").encode() for name in ("first", "continuing") if plain[name]
    }
    return {"plain": orjson.dumps(plain), **texts}


def _encoding(kept: dict[str, bytes]) -> Encoding:
    plain = orjson.loads(kept["plain"])
    variants = {
        name: Variant(json=kept[name].decode(), **plain[name])
        for name in ("first", "continuing")
        if plain[name]
    }
    return Encoding(
        **plain | {"continuing": None, "forbidden": tuple(plain["forbidden"])} | variants
    )
