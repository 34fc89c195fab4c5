"""The texts that are encoded for a block of records, in columns.

A *run* is a text that is encoded by itself. All text between two control tokens is one run, unless
the loss turns on or off inside it: there it is split, and the runs on both sides form a *chain*,
whose runs are one text.
"""

from typing import NamedTuple

from sftprep.data.ragged import Mask, Offsets


class Chain(NamedTuple):
    """Runs ``first`` to ``last`` of a block: one text, split where the loss changes."""

    first: int
    last: int
    trained: tuple[bool, ...]  # of each run


class Chains(NamedTuple):
    """The chains of a block, in columns."""

    first: Offsets  # int64[chains]: the first run of each
    last: Offsets  # int64[chains]: the last run of each


class TextRuns(NamedTuple):
    """The runs of all records of a block."""

    texts: list[str]
    continued: Mask  # bool[runs]: whether the run continues the text before it
    trained: Mask  # bool[runs]
    chains: Chains
