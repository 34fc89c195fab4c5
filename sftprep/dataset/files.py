"""The names of a dataset's files, and which names are those of sftprep.

::

    data/train-00000-of-00004.parquet       a shard; nothing else is in this folder
    index/train-00000-of-00004.parquet      the index of this shard: a row for each of its documents
    tokenizer/                              the tokenizer, with the tokens that were added
    README.md                               the card: how the dataset was made, for people and hubs
    rejects.jsonl, dropped.jsonl            the ledgers
    manifest.json                           written last; a folder without it is no dataset

Some formats have other places for their shards, several files for each, or files that describe
them: see ``formats.places``. Everything else is where it always is.

In     a split, a shard's number, the number of shards, a format; or a path in an unknown folder.
Out    the paths of files, relative to the dataset's folder; or whether a dataset has such a path.
"""

import re
from collections.abc import Iterable, Set
from functools import cache
from typing import NamedTuple

from sftprep.formats.table import FORMATS

INDEX = "index"
TOKENIZER = "tokenizer"
CARD = "README.md"
REJECTS = "rejects.jsonl"
DROPPED = "dropped.jsonl"
MANIFEST = "manifest.json"

SPLITS = ("train", "validation", "test")
"""The names of the splits, in the order in which the manifest lists their shards."""

_INDEX_FILE = f"{INDEX}/{{split}}-{{index:05d}}-of-{{count:05d}}.parquet"
_FILES = "|".join(re.escape(name) for name in (CARD, REJECTS, DROPPED, MANIFEST))
_FIELDS = {
    "{split}": rf"(?:{'|'.join(SPLITS)})",
    "{index:05d}": r"(?P<index>\d+)",
    "{index:04d}": r"(?P<index>\d+)",
    "{count:05d}": r"\d+",
}
"""The fields of patterns for paths, and what they match."""
_OLD_SHARD = re.compile(r"train-\d+-of-\d+\.\w+")
"""Matches a shard up to format version 6: they lay beside the manifest."""
_TOKENIZER_FILES = re.compile(
    r"tokenizer/(tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|chat_template\.jinja|additional_chat_templates/[^/]+\.jinja|vocab\.json|vocab\.txt|merges\.txt"
    r"|tokenizer\.model|spiece\.model)"
)
"""Matches what a tokenizer is saved as. It decides only if the manifest cannot be read."""
_TEMPLATES = f"{TOKENIZER}/additional_chat_templates"


class ShardFiles(NamedTuple):
    """The paths of a shard's files in the dataset's folder."""

    names: tuple[str, ...]  # the first one stands for the shard
    index_file: str

    @property
    def name(self) -> str:
        """The path that stands for the shard."""
        return self.names[0]


def shard_files(split: str, index: int, count: int, format_name: str) -> ShardFiles:
    """Return the paths of shard ``index`` (from 0) of the ``count`` shards of a split.

    >>> shard_files("train", 1, 4, "parquet").name
    'data/train-00001-of-00004.parquet'
    """
    return ShardFiles(
        FORMATS[format_name].PLACES.files(split, index, count),
        _INDEX_FILE.format(split=split, index=index, count=count),
    )


def shard_folders(format_name: str) -> frozenset[str]:
    """Return the folders that can hold the shards of a format, and files that describe them."""
    return FORMATS[format_name].PLACES.folders(SPLITS)


ALL_SHARD_FOLDERS = frozenset[str]().union(*map(shard_folders, FORMATS))
"""The folders that can hold shards, whatever their format."""


class FileNumber(NamedTuple):
    """Which file of which shard has a path."""

    shard: int  # from 0, in its split
    file: int | None  # the place among the names of ``ShardFiles``; None for the index


def number_of(path: str, format_name: str) -> FileNumber | None:
    """Say which shard of a split a path belongs to; None if it is no path of a shard.

    >>> number_of("data/train-00001-of-00004.parquet", "parquet")
    FileNumber(shard=1, file=0)
    """
    places = FORMATS[format_name].PLACES
    patterns = [*enumerate((places.shard, *places.parts)), (None, _INDEX_FILE)]
    for file, pattern in patterns:
        if found := re.fullmatch(_matching(pattern), path):
            return FileNumber(int(found["index"]), file)
    return None


def is_ours(
    path: str,
    *,
    is_folder: bool,
    tokenizer_files: Set[str],
    format_name: str,
    is_old: bool,
) -> bool:
    """Return True if a dataset can have this path.

    Args:
        path: relative to the folder of the dataset.
        is_folder: True for a folder, False for anything else. A symbolic link with the name of a
            file or folder of the dataset counts as a damaged one: removing it leaves its target as
            it is.
        tokenizer_files: the tokenizer's files, as the manifest names them; empty if it names none.
        format_name: the format, as the manifest names it; any other text stands for all formats.
        is_old: True for a dataset up to format version 6.
    """
    formats = (format_name,) if format_name in FORMATS else tuple(FORMATS)
    folders = {INDEX, TOKENIZER}.union(*map(shard_folders, formats))
    if is_folder:
        parents = {file.rpartition("/")[0] for file in tokenizer_files} or {_TEMPLATES}
        return path in folders or path in parents
    if path.startswith(f"{TOKENIZER}/"):
        if tokenizer_files:
            return path in tokenizer_files
        return _TOKENIZER_FILES.fullmatch(path) is not None
    if path in folders or re.fullmatch(_files_of(formats), path):
        return True
    return is_old and _OLD_SHARD.fullmatch(path) is not None


@cache
def _files_of(formats: Iterable[str]) -> str:
    """Return what matches the files of datasets of some formats, without the tokenizer's."""
    patterns = {_INDEX_FILE}
    for name in formats:
        places = FORMATS[name].PLACES
        patterns |= {places.shard, *places.parts, *places.describing}
    unnamed = [_matching(p).replace("?P<index>", "?:") for p in sorted(patterns)]
    return "|".join([_FILES, *unnamed])


@cache
def _matching(pattern: str) -> str:
    """Return what matches the paths of a pattern."""
    found = re.escape(pattern)
    for field, matched in _FIELDS.items():
        found = found.replace(re.escape(field), matched)
    return found
