"""sampling: each record has the same chance, in each format, and keeps its place."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftprep.data.block import Source
from sftprep.reading.blocks import BlockReader
from sftprep.reading.parsing import good_records, parse_block
from sftprep.statistics.sampling import Sampled, choose

RECORDS = [{"n": number, "text": "x" * (number % 7) + "\n"} for number in range(500)]


def write(folder: Path, form: str) -> Path:
    """Write the records in a format."""
    path = folder / f"in.{form}"
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    if form == "jsonl":
        path.write_text(lines)
    elif form == "json":
        path.write_text(json.dumps(RECORDS, indent=2))
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        pq.write_table(pa.Table.from_pylist(RECORDS), path, row_group_size=60)
    return path


def sampled(path: Path, wanted: int, seed: int, block_bytes: int = 2000) -> Sampled:
    """Choose records of a file."""
    return choose(BlockReader([Source(str(path), path.name)], 1 << 20, block_bytes), wanted, seed)


def numbers(found: Sampled) -> list[int]:
    """Return the numbers of the records that were chosen."""
    return [record["n"] for block in found.blocks for record in good_records(block)]


@pytest.mark.parametrize("form", ["jsonl", "json", "jsonl.gz", "parquet"])
def test_records_of_each_format(form: str, tmp_path: Path) -> None:
    """The same records are chosen in each format, in order, and none twice."""
    found = sampled(write(tmp_path, form), 40, seed=3)
    assert (found.chosen, found.records) == (40, 500)
    chosen = numbers(found)
    assert chosen == sorted(set(chosen))
    assert chosen == numbers(sampled(write(tmp_path, "jsonl"), 40, seed=3))


@pytest.mark.parametrize("block_bytes", [100, 5000, 1 << 20])
def test_blocks_do_not_matter(block_bytes: int, tmp_path: Path) -> None:
    """The choice is the same however the file is divided."""
    path = write(tmp_path, "jsonl")
    assert numbers(sampled(path, 50, 0, block_bytes)) == numbers(sampled(path, 50, 0))


def test_each_record_has_the_same_chance(tmp_path: Path) -> None:
    """Over many seeds, each tenth of the file is chosen about as often as the others."""
    path = write(tmp_path, "jsonl")
    counts = Counter(n // 50 for seed in range(60) for n in numbers(sampled(path, 50, seed)))
    assert sum(counts.values()) == 3000
    assert all(240 < count < 360 for count in counts.values())


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_places_are_kept(form: str, tmp_path: Path) -> None:
    """A message about a chosen record names its line."""
    path = write(tmp_path, form)
    lines = path.read_text().split("\n")
    for block in sampled(path, 30, seed=1).blocks:
        records = parse_block(block).records
        for index, record in enumerate(records):
            assert isinstance(record, dict)
            line = block.place(index)[0]
            rest = "\n".join(lines[line - 1 : line + 4])
            assert f'"n": {record["n"]}' in rest


def test_no_more_than_there_are(tmp_path: Path) -> None:
    """All records are chosen if there are no more; some blocks are kept whole as well."""
    found = sampled(write(tmp_path, "jsonl"), 10_000, seed=0)
    assert numbers(found) == list(range(500))
    [first, *others] = found.neighbours
    assert first.line == 1
    assert all(block.line > first.line for block in others)
