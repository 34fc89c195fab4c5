"""What the ending of a file's name says about the file."""

import re

COMPRESSED = r"\.(gz|zst|bz2|xz)"
IS_DATA = re.compile(
    rf"\.(jsonl|json|ndjson|csv|tsv)({COMPRESSED})?$|\.(parquet|arrow|feather|ipc)$", re.IGNORECASE
)
"""Matches the names of the files that a folder or an archive stands for."""
IS_DATA_IN_WORDS = (
    ".parquet, .arrow, .feather or .ipc, or .jsonl, .json, .ndjson, .csv or .tsv, these also with "
    ".gz, .zst, .bz2 or .xz"
)
IS_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2|txz|tzst|tar\.(gz|zst|bz2|xz))$", re.IGNORECASE)


def data_ending(path: str) -> str:
    """Return the ending of a path in lower case, without the one that names a compression.

    >>> data_ending("a/Train.CSV.gz"), data_ending("-")
    ('csv', '')
    """
    name = re.sub(f"{COMPRESSED}$", "", path.lower()).rpartition("/")[2]
    ending = name.rpartition(".")[2] if "." in name else ""
    return "tsv" if ending == "tab" else ending
