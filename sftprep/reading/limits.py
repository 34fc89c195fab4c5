"""Limits on what input may use, and the options that say how to read it. Imports nothing else."""

from typing import NamedTuple

MAX_EXPANSION = 200
"""The default of ``--max-expansion``: how many bytes one compressed byte may become."""
MAX_COLUMNS = 10_000
"""The most columns that a table may have: each costs memory in every block."""


class Limits(NamedTuple):
    """How much memory and disk space input may use."""

    line: int = 64 << 20  # the most bytes that a record may have
    expansion: int = MAX_EXPANSION  # the most bytes that one compressed byte may become
    free_bytes: int = 64 << 20  # uncompressed bytes up to which ``expansion`` does not apply


class Hints(NamedTuple):
    """What the user says about the files; "" where a file itself is to tell."""

    delimiter: str = ""  # what separates the cells of CSV: one character
    json_path: str = ""  # the list of records in a JSON object: keys, with dots between them
