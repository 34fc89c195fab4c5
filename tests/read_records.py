"""Reads inputs through ``BlockReader`` in tests, record by record."""

from pathlib import Path
from typing import NamedTuple

import pytest

from sftprep.errors import DataError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.limits import Limits
from sftprep.reading.sources import find_sources


class Placed(NamedTuple):
    """A record's bytes and place; if it is too long, only the start of its bytes, and the error."""

    shard: int
    line: int
    offset: int | None
    data: bytes
    problem: str = ""


def read(
    *paths: Path | str,
    longest: int = 64 << 20,
    shard_size: int = 1 << 30,
    block_bytes: int = 1 << 20,
    read_bytes: int = 1 << 20,
) -> list[Placed]:
    """Return all records of some inputs."""
    reader = BlockReader(
        find_sources([str(path) for path in paths]),
        shard_size,
        block_bytes,
        limits=Limits(longest),
        read_bytes=read_bytes,
    )
    return [
        Placed(block.shard, *block.place(i), data, block.too_long.problem if block.too_long else "")
        for block in reader
        for i, data in enumerate(block.lines())
    ]


def refused(path: Path | str, kind: type[Exception] = DataError) -> str:
    """Return the message with which an input is refused."""
    with pytest.raises(kind) as caught:
        read(path)
    return str(caught.value)
