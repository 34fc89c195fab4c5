"""Compressed input that is incomplete or damaged gives an error, or all its content; never less."""

import bz2
import gzip
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash

from sftprep.errors import DataError, RecordError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.json_lines import parse_line
from sftprep.reading.sources import find_sources

pytestmark = pytest.mark.faults

FLIPS = 1000
LINES = b"".join(
    json.dumps({"prompt": f"number {n}", "completion": str(n**5 % 1_000_003)}).encode() + b"\n"
    for n in range(3000)
)


def zstd(data: bytes) -> bytes:
    """Compress with zstd and a checksum, as the program ``zstd`` does; Arrow omits the checksum."""
    frame = bytearray(pa.compress(data, "zstd", asbytes=True))
    frame[4] |= 1 << 2
    return bytes(frame) + (xxhash.xxh64(data).intdigest() & 0xFFFFFFFF).to_bytes(4, "little")


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": zstd,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def outcome(path: Path) -> str:
    """Read a file; return whether its content is whole, an error, or has bad records."""
    try:
        blocks = list(BlockReader(find_sources([str(path)]), 1 << 30))
    except DataError as error:
        text = str(error)
        assert text.startswith(f"{path}: ")
        assert text.endswith(".")
        return "error"
    if b"".join(block.data for block in blocks) == LINES:
        return "whole"
    bad = 0
    for block in blocks:
        for line in block.lines():
            try:
                parse_line(line)
            except RecordError:
                bad += 1
    assert bad, "the content is different, and no record is bad"
    return "bad records"


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("named", [True, False])
def test_cut_off(tmp_path: Path, ending: str, named: bool) -> None:
    """A file that ends at any percentage of its length is an error."""
    data = COMPRESS[ending](LINES)
    path = tmp_path / (f"a.jsonl.{ending}" if named else "a.jsonl")
    for percent in range(1, 100):
        path.write_bytes(data[: len(data) * percent // 100])
        assert outcome(path) == "error"
    path.write_bytes(data)
    assert outcome(path) == "whole"


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("named", [True, False])
def test_flipped_bits(tmp_path: Path, ending: str, named: bool) -> None:
    """With one bit flipped, a file is an error, or its content is the same."""
    data = COMPRESS[ending](LINES)
    path = tmp_path / (f"a.jsonl.{ending}" if named else "a.jsonl")
    numbers = random.Random(f"{ending} {named}")
    found = {"error": 0, "whole": 0, "bad records": 0}
    # All bits of the first and last 30 bytes, which are headers and trailers, and some others.
    places = [*range(30 * 8), *range((len(data) - 30) * 8, len(data) * 8)]
    places += [numbers.randrange(len(data) * 8) for _ in range(FLIPS)]
    for place in places:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        found[outcome(path)] += 1
    assert found["error"] > FLIPS
    assert found["whole"] < 120  # bits of a date, a name, or flags without a meaning
    assert found["bad records"] == 0 if named else found["bad records"] <= 48


@pytest.mark.parametrize("ending", COMPRESS)
def test_cut_between_streams(tmp_path: Path, ending: str) -> None:
    """A file of several streams that ends inside one of them is an error."""
    half = len(LINES) // 2
    first, second = COMPRESS[ending](LINES[:half]), COMPRESS[ending](LINES[half:])
    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(first + second)
    assert outcome(path) == "whole"
    for size in (*range(len(first) + 1, len(first) + 40), *range(len(first) - 40, len(first))):
        path.write_bytes((first + second)[:size])
        assert outcome(path) == "error", size
