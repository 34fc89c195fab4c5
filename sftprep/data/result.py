"""The result of a block: its rows, and each record that has no row, with the reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from sftprep.data.batch import Batch
from sftprep.data.limits import LimitCounts
from sftprep.errors import RecordError


class LostRecord(NamedTuple):
    """A record that has no row in the dataset, with the reason."""

    source: int  # index into the list of sources
    line: int  # from 1; in a table, the number of the row
    offset: int | None  # in the uncompressed source, in bytes; None in a table
    reason: str  # a reason code
    error: RecordError | None  # None for a valid record that was dropped
    raw: bytes  # the record as it was read
    tokens: int | None = None  # the row's length before truncation; None if not tokenized


@dataclass
class BlockResult:
    """The rows of a block and an account of its records."""

    source: int  # index into the list of sources
    shard: int
    schema: str
    size: int  # the number of bytes in the block
    batch: Batch | None = None  # None if no record has a row; ``batch.record`` has line indices
    read: int = 0  # the number of records, without blank lines
    blank: int = 0  # the number of blank lines
    rejected: list[LostRecord] = field(default_factory=list)
    dropped: list[LostRecord] = field(default_factory=list)
    seconds: float = 0.0  # processor time that the block took
    limits: LimitCounts | None = None  # None if they were not asked for
    counts: Counter[str] = field(default_factory=Counter)  # other counts of the manifest, by name
    controls: Counter[str] = field(default_factory=Counter)  # control token -> records that hold it
    # control token that is no stop -> trained answers that end with it
    other_stops: Counter[str] = field(default_factory=Counter)
    lookalikes: Counter[str] = field(default_factory=Counter)  # no token, but like one -> rows
    omitted: Counter[str] = field(default_factory=Counter)  # what rows leave out -> such rows
    ignored: Counter[str] = field(default_factory=Counter)  # field not read -> records, messages
    roles: Counter[str] = field(default_factory=Counter)  # "human as user" -> messages
    flags: Counter[str] = field(default_factory=Counter)  # loss flag -> records, messages with it
    fields: Counter[str] = field(default_factory=Counter)  # "context as input" -> records
    outputs: Counter[str] = field(default_factory=Counter)  # output field -> records that use it
