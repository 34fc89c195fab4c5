"""Limits on the memory and disk space that input may use. Imports nothing else of sftprep."""

from typing import NamedTuple

MAX_EXPANSION = 200
"""The default of ``--max-expansion``: how many bytes one compressed byte may become."""


class Limits(NamedTuple):
    """How much memory and disk space input may use."""

    line: int = 64 << 20  # the most bytes that a record may have
    expansion: int = MAX_EXPANSION  # the most bytes that one compressed byte may become
    free_bytes: int = 64 << 20  # uncompressed bytes up to which ``expansion`` does not apply
