"""Divide the input into shards while blocks are cut from it.

A shard is a slice of the input of about ``shard_size`` uncompressed bytes, which ends at the first
record end at or after that size. Therefore the shard of a record depends only on the input and on
``shard_size``, and not on the size of blocks, the number of workers or the compression.
"""

from typing import NamedTuple

from sftprep.errors import RecordError
from sftprep.reading.limits import Hints, Limits

KEPT_BYTES = 4 << 10
"""How many bytes at the start of a record are kept if the record is too long."""


class Shards:
    """Counts bytes of input into shards.

    Args:
        shard_size: uncompressed bytes in one shard.
        block_bytes: uncompressed bytes in one block.
    """

    def __init__(self, shard_size: int, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self._shard_size = shard_size
        self._shard = 0
        self._used = 0  # bytes in the current shard

    def target(self) -> int:
        """Return how many bytes the next block should have. It must not cross into a new shard."""
        return min(self.block_bytes, self._shard_size - self._used)

    def count(self, size: int) -> int:
        """Count the bytes of a block into the current shard, and return the shard's number."""
        shard = self._shard
        self._used += size
        if self._used >= self._shard_size:
            self._shard += 1
            self._used = 0
        return shard


class Cutting(NamedTuple):
    """What the reader of a file format needs to cut the blocks of one source."""

    source: int  # index into the list of sources
    path: str  # of the source, for messages
    shards: Shards
    limits: Limits
    hints: Hints

    @property
    def kept(self) -> int:
        """How many bytes at the start of a too long record are kept."""
        return min(KEPT_BYTES, self.limits.line)

    def too_long(self, length: int) -> RecordError:
        """Return the error for a record of ``length`` bytes, which is over the limit."""
        return RecordError(
            "line_too_long",
            f"the record has {length:,} bytes, over the limit of {self.limits.line:,}; only its "
            f"first {self.kept:,} are kept",
            "Raise --max-line-bytes, or split the record",
        )
