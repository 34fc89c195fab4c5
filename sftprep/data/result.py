"""What became of a block: its rows, and every record that gave none, with the reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from sftprep.data.batch import Batch
from sftprep.errors import RecordError


class LostRecord(NamedTuple):
    """A record that gave no row."""

    source: int
    line: int
    offset: int
    reason: str
    error: RecordError | None  # None where a good record was dropped by policy
    raw: bytes
    tokens: int | None = None  # the record's length before any cut, where it came so far


@dataclass
class BlockResult:
    """What became of a block's records."""

    source: int
    shard: int
    schema: str
    size: int  # bytes of the block
    batch: Batch | None = None  # None where no row is left; ``record`` counts the block's lines
    read: int = 0
    blank: int = 0
    rejected: list[LostRecord] = field(default_factory=list)
    dropped: list[LostRecord] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    controls: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)  # what instruction records call theirs
