"""sftprep: instruction data in, tokenized and loss-masked training shards out.

    prepare(recipe)         build a dataset; returns its manifest
    Recipe(...)             what to read, how to render, tokenize and mask it, where to write it
    load_manifest(folder)   what a finished dataset holds, and how it was built
    read_shard(path, name)  the rows of one shard: input_ids and labels

>>> from sftprep import Recipe, prepare
>>> recipe = Recipe(inputs=("train.jsonl",), output="out", tokenizer="path/to/tokenizer")
>>> manifest = prepare(recipe).manifest  # doctest: +SKIP

Every error that these functions raise on purpose is an ``SftprepError``. Its text says where the
problem is, what is wrong and what to do. ``sftprep help python`` shows the manual's page on this
interface.
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
    from sftprep.formats.table import read_shard
    from sftprep.recipe import Recipe
    from sftprep.run import prepare

__all__ = [  # noqa: RUF022 - the names that a reader looks for come first
    "prepare",
    "Recipe",
    "Prepared",
    "Manifest",
    "load_manifest",
    "read_shard",
    "SftprepError",
    "UsageError",
    "TemplateError",
    "TokenizerError",
    "DataError",
    "NoInputError",
    "InternalError",
    "OutputError",
    "StorageError",
    "LockedError",
]

__version__ = "0.1.0"

_LATE = {
    "Manifest": "sftprep.dataset.manifest",
    "Prepared": "sftprep.dataset.manifest",
    "Recipe": "sftprep.recipe",
    "load_manifest": "sftprep.dataset.manifest",
    "prepare": "sftprep.run",
    "read_shard": "sftprep.formats.table",
}
"""Public name -> its module, which is imported when the name is first used: some need numpy."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _LATE:
        raise AttributeError(f"module 'sftprep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    """List the public names, including those whose modules are imported on first use."""
    return [*__all__, "__version__"]
