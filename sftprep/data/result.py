"""The result of a block: its rows, and each record that gave no row, with the reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from sftprep.data.batch import Batch
from sftprep.errors import RecordError


class LostRecord(NamedTuple):
    """A record that gave no row."""

    source: int  # index into the list of sources
    line: int
    offset: int  # in the uncompressed source, in bytes
    reason: str
    error: RecordError | None  # None for a good record that was dropped by policy
    raw: bytes
    tokens: int | None = None  # its length before truncation; None if it was not tokenized


@dataclass
class BlockResult:
    """The rows of a block and an account of its records."""

    source: int  # index into the list of sources
    shard: int
    schema: str
    size: int  # bytes of the block
    batch: Batch | None = None  # None without rows; ``batch.record`` counts the block's lines
    read: int = 0  # records, blank lines not counted
    blank: int = 0  # blank lines
    rejected: list[LostRecord] = field(default_factory=list)
    dropped: list[LostRecord] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # by the manifest's names of counts
    controls: Counter[str] = field(default_factory=Counter)  # control tokens written in content
    outputs: Counter[str] = field(default_factory=Counter)  # the outputs' field names (instruction)
