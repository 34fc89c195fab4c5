"""Resolve a tokenizer and its content encoding, from the disk cache if an earlier run stored them.

In     the arguments of ``load_tokenizer`` and ``prove_content_encoding``.
Out    their results. Computing them takes seconds, since transformers is imported; recalling them
       takes hundredths of a second.
Keeps  the results the same with and without the cache: the key of an entry holds the SHA-256 of
       every file that transformers may read, the options, and the versions of all libraries that
       are involved.
Never  stores a tokenizer from a hub, unless its revision is a commit: a branch may move.
"""

import importlib.metadata
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path

import orjson

from sftprep.data.control_tokens import AddedToken
from sftprep.system.files import sha256_of_path
from sftprep.tokenization.boundary.known_breaks import KnownBreaks
from sftprep.tokenization.disk_cache import Parts, recall, store
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.proof import ContentEncoding, Variant, prove_content_encoding
from sftprep.tokenization.token_bytes import TokenBytes
from sftprep.tokenization.tokenizer import Tokenizer

TOKENIZER_FILES = re.compile(r"\.(json|jinja|txt|model|tiktoken|bpe|vocab|spm)$")
"""Matches the files of a folder that can belong to a tokenizer: no weights and no code."""
LIBRARIES = ("sftprep", "transformers", "tokenizers")
ENTRY_VERSION = 12
"""The version of entries. Raise it when their fields, their format or what they hold changes."""


def resolve_tokenizer(
    source: str,
    *,
    revision: str | None = None,
    add_tokens: Sequence[str] = (),
    load: Callable[..., Tokenizer] = load_tokenizer,
) -> Tokenizer:
    """Return the tokenizer that ``load_tokenizer`` gives, from the cache if possible.

    Args:
        source: as for ``load_tokenizer``.
        revision: as for ``load_tokenizer``.
        add_tokens: as for ``load_tokenizer``.
        load: loads a tokenizer that is not in the cache.

    Raises:
        TokenizerError: the tokenizer cannot be loaded.
    """
    files = _fingerprint(source, revision)
    if files is None:
        return load(source, revision=revision, add_tokens=add_tokens)
    key = {
        "entry_version": ENTRY_VERSION,
        "name": Path(source).resolve().name if Path(source).exists() else source,
        "files": files,
        "revision": revision,
        "add_tokens": list(add_tokens),
        "libraries": versions(*LIBRARIES),
    }
    if parts := recall("tokenizer", key):
        return _tokenizer_of(parts)
    tokenizer = load(source, revision=revision, add_tokens=add_tokens)
    store("tokenizer", key, _parts_of_tokenizer(tokenizer))
    return tokenizer


def resolve_content_encoding(
    tokenizer: Tokenizer,
    allowed: Sequence[str],
    backend: str,
    *,
    prove: Callable[..., ContentEncoding] = prove_content_encoding,
) -> ContentEncoding:
    """Return what ``prove_content_encoding`` gives, from the cache if possible.

    Args:
        tokenizer: the resolved tokenizer.
        allowed: control tokens that the text of a record may become.
        backend: ``auto``, ``gigatoken`` or ``hf``.
        prove: computes a content encoding that is not in the cache.

    Raises:
        TokenizerError: the tokenizer cannot be used, or not with this backend.
    """
    key = {
        "entry_version": ENTRY_VERSION,
        "tokenizer": tokenizer.sha256,
        "allowed": sorted(allowed),
        "backend": backend,
        "libraries": versions(*LIBRARIES, "gigatoken"),
    }
    if parts := recall("encoding", key):
        return _encoding_of(parts)
    encoding = prove(tokenizer, allowed, backend)
    store("encoding", key, _parts_of_encoding(encoding))
    return encoding


def versions(*libraries: str) -> dict[str, str]:
    """Return the versions of installed libraries, by name."""
    return {name: _version(name) for name in libraries}


@cache
def _version(library: str) -> str:
    return importlib.metadata.version(library)


def _fingerprint(source: str, revision: str | None) -> dict[str, str] | str | None:
    """Return what identifies a tokenizer's files; None for a branch on a hub."""
    path = Path(source)
    if path.is_file():
        return {"": sha256_of_path(path)}
    if path.is_dir():
        files = sorted(p for p in (*path.glob("*"), *path.glob("*/*")) if p.is_file())
        return {
            ascii(str(p.relative_to(path))): sha256_of_path(p)
            for p in files
            if TOKENIZER_FILES.search(p.name)
        }
    if not (revision and re.fullmatch(r"[0-9a-f]{40}", revision)):
        return None
    # Offline, a file that is not in the local copy of the repository is taken for missing.
    return f"{source} offline" if os.environ.get("HF_HUB_OFFLINE") else source


def _parts_of_tokenizer(tokenizer: Tokenizer) -> Parts:
    plain = {f.name: getattr(tokenizer, f.name) for f in fields(Tokenizer)}
    files, text = plain.pop("files"), plain.pop("json")
    plain["added"] = [list(token) for token in tokenizer.added]
    return {
        "plain": orjson.dumps(plain),
        "json": text.encode(),
        **{f"file {name}": data for name, data in files.items()},
    }


def _tokenizer_of(parts: Parts) -> Tokenizer:
    plain = orjson.loads(parts.pop("plain"))
    return Tokenizer(
        json=parts.pop("json").decode(),
        files={name.removeprefix("file "): data for name, data in parts.items()},
        **plain
        | {
            "added": tuple(AddedToken(*token) for token in plain["added"]),
            "newly_added": tuple(plain["newly_added"]),
            "generation_stops": tuple(plain["generation_stops"]),
        },
    )


VARIANTS = ("starting", "continuing")


def _parts_of_encoding(encoding: ContentEncoding) -> Parts:
    plain = asdict(encoding)
    texts = {name: plain[name].pop("json").encode() for name in VARIANTS if plain[name]}
    lengths = plain["token_bytes"].pop("lengths")
    return {"plain": orjson.dumps(plain), "token bytes": lengths, **texts}


def _encoding_of(parts: Parts) -> ContentEncoding:
    plain = orjson.loads(parts["plain"])
    variants = {
        name: Variant(json=parts[name].decode(), **plain[name]) if plain[name] else None
        for name in VARIANTS
    }
    token_bytes = plain["token_bytes"]
    lengths, forms = bytes(parts["token bytes"]), tuple(token_bytes["forms"])
    return ContentEncoding(
        **plain
        | variants
        | {
            "forbidden": tuple(plain["forbidden"]),
            "breaks": KnownBreaks(**plain["breaks"]),
            "token_bytes": TokenBytes(**token_bytes | {"lengths": lengths, "forms": forms}),
        }
    )
