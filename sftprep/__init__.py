"""Instruction data in, tokenized and label-masked training shards out.

>>> from sftprep import Recipe, prepare
>>> recipe = Recipe(inputs=("train.jsonl",), output="out", tokenizer="path/to/tokenizer")
>>> manifest = prepare(recipe).manifest  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from sftprep.errors import (
    DataError,
    InternalError,
    LockedError,
    NoInputError,
    OutputError,
    SftprepError,
    StorageError,
    TemplateError,
    TokenizerError,
    UsageError,
)

if TYPE_CHECKING:
    from sftprep.dataset.manifest import Manifest, Prepared, load_manifest
    from sftprep.early import prepare
    from sftprep.formats.table import read_shard
    from sftprep.recipe import Recipe

__all__ = [
    "DataError",
    "InternalError",
    "LockedError",
    "Manifest",
    "NoInputError",
    "OutputError",
    "Prepared",
    "Recipe",
    "SftprepError",
    "StorageError",
    "TemplateError",
    "TokenizerError",
    "UsageError",
    "load_manifest",
    "prepare",
    "read_shard",
]

__version__ = "0.1.0"

_HOMES = {
    "Manifest": "sftprep.dataset.manifest",
    "Prepared": "sftprep.dataset.manifest",
    "Recipe": "sftprep.recipe",
    "load_manifest": "sftprep.dataset.manifest",
    "prepare": "sftprep.early",
    "read_shard": "sftprep.formats.table",
}


def __getattr__(name: str) -> Any:
    """Import what needs numpy or more only when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sftprep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
