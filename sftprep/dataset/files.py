"""The names of a dataset's files, and which names are those of sftprep.

::

    data/train-00000-of-00004.parquet       a shard; nothing else is in this folder
    index/train-00000-of-00004.parquet      the index of this shard: a row for each of its documents
    tokenizer/                              the tokenizer, with the tokens that were added
    README.md                               the card: how the dataset was made, for people and hubs
    rejects.jsonl, dropped.jsonl            the ledgers
    manifest.json                           written last; a folder without it is no dataset

In     a split, a shard's number and the number of shards; or a path in an unknown folder.
Out    the path of a file, relative to the dataset's folder; or whether a dataset has such a path.
"""

import re
from collections.abc import Set

from sftprep.formats.table import FORMATS

DATA = "data"
INDEX = "index"
TOKENIZER = "tokenizer"
CARD = "README.md"
REJECTS = "rejects.jsonl"
DROPPED = "dropped.jsonl"
MANIFEST = "manifest.json"
INDEX_ENDING = "parquet"

SPLITS = ("train", "validation", "test")
"""The names of the splits, in the order in which the manifest lists their shards."""

_SHARD = rf"({'|'.join(SPLITS)})-\d+-of-\d+\.(?:idx\.)?\w+"
_FILES = re.compile(
    rf"{DATA}/{_SHARD}|{INDEX}/{_SHARD}"
    + "".join(f"|{re.escape(name)}" for name in (CARD, REJECTS, DROPPED, MANIFEST))
)
_OLD_SHARD = re.compile(r"train-\d+-of-\d+\.\w+")
"""Matches a shard up to format version 6: they lay beside the manifest."""
_TOKENIZER_FILES = re.compile(
    r"tokenizer/(tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|chat_template\.jinja|additional_chat_templates/[^/]+\.jinja|vocab\.json|vocab\.txt|merges\.txt"
    r"|tokenizer\.model|spiece\.model)"
)
"""Matches what a tokenizer is saved as. It decides only if the manifest cannot be read."""
FOLDERS = frozenset({DATA, INDEX, TOKENIZER})
"""The folders of every dataset."""
_TEMPLATES = f"{TOKENIZER}/additional_chat_templates"


def shard_name(split: str, index: int, count: int, format_name: str) -> str:
    """Return the path of shard ``index`` (from 0) of the ``count`` shards of a split.

    >>> shard_name("train", 1, 4, "parquet")
    'data/train-00001-of-00004.parquet'
    """
    return f"{DATA}/{split}-{index:05d}-of-{count:05d}.{FORMATS[format_name].ENDING}"


def index_name(shard: str) -> str:
    """Return the path of a shard's index.

    >>> index_name("data/train-00001-of-00004.arrow")
    'index/train-00001-of-00004.parquet'
    """
    stem = shard.removeprefix(f"{DATA}/").partition(".")[0]
    return f"{INDEX}/{stem}.{INDEX_ENDING}"


def is_ours(path: str, *, is_folder: bool, tokenizer_files: Set[str], is_old: bool) -> bool:
    """Return True if a dataset can have this path.

    Args:
        path: relative to the folder of the dataset.
        is_folder: True for a folder, False for anything else. A symbolic link with the name of a
            file or folder of the dataset counts as a damaged one: removing it leaves its target as
            it is.
        tokenizer_files: the tokenizer's files, as the manifest names them; empty if it names none.
        is_old: True for a dataset up to format version 6.
    """
    if is_folder:
        parents = {file.rpartition("/")[0] for file in tokenizer_files} or {_TEMPLATES}
        return path in FOLDERS or path in parents
    if path.startswith(f"{TOKENIZER}/"):
        if tokenizer_files:
            return path in tokenizer_files
        return _TOKENIZER_FILES.fullmatch(path) is not None
    if path in FOLDERS or _FILES.fullmatch(path):
        return True
    return is_old and _OLD_SHARD.fullmatch(path) is not None
