"""The same records give the same rows, whatever the format of their file."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from file_forms import ALL, FLAT, NESTED, json_lines, read_all
from toys import recipe, tree

from sftprep import load_manifest, prepare
from sftprep.errors import SftprepError
from sftprep.reading.blocks import SourceDigest
from sftprep.reading.parsing import parse_block, single_records

Write = Callable[[str, str | bytes], Path]

TEXTS = [
    "plain", "007", "", " spaces ", "价格\u2028和", 'a "quoted" word', "two\nlines\r\nthree",
    "a,b;c\td", "null", "true", "1e5", '"', "\\", "{}", "é", "\U0001f600", "x" * 3000,
]  # fmt: skip
RECORDS = [
    {"prompt": f"{n}: {text}", "completion": text or "-", "other": text}
    for n, text in enumerate(TEXTS * 3)
]
"""Records of texts only, some of which are hard to write as CSV."""
OPTIONS: dict[str, Any] = {"format": "jsonl", "max_length": 9999}
CHATS = [
    {
        "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "content": None, "calls": [{"name": "f", "arguments": {"a": n}}]},
            {"role": "tool", "content": "r", "id": f"c{n}"},
        ],
        "tools": [
            {"name": "f", "parameters": {"a": {"type": "integer"}}},
            {"name": "g", "parameters": {"b": {"enum": ["x", "y"]}, "c": {"type": "string"}}},
        ],
        "score": n / 4,
        "flag": bool(n % 2),
    }
    for n, text in enumerate(TEXTS)
]
"""Records with nested values, in which not all objects have the same keys."""


def without_nulls(value: object) -> object:
    """Leave out the keys of objects whose value is null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [*map(without_nulls, value)] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ALL)
def test_rows(write: Write, tmp_path: Path, name: str) -> None:
    """The ids and labels are those of JSON Lines, and so is the hash of the content of a file."""
    expected = recipe(write("x.jsonl", json_lines(RECORDS)), tmp_path / "x", **OPTIONS)
    prepare(expected)
    file, content = ALL[name]
    source = write(f"in/{file}", content(RECORDS))
    prepare(recipe(source, tmp_path / "out", **OPTIONS))
    shard = "data/train-00000-of-00001.jsonl"
    assert tree(tmp_path / "x")[shard] == tree(tmp_path / "out")[shard]
    (entry,) = load_manifest(tmp_path / "out").inputs
    assert (entry["read"], entry["written"]) == (len(RECORDS), len(RECORDS))
    if "::" not in entry["name"] and not file.endswith(("zip", "tar", "tar.gz", "tgz")):
        assert entry["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize("block_bytes", [1, 700, 1 << 20])
@pytest.mark.parametrize("name", ALL)
def test_flat_records(write: Write, name: str, block_bytes: int) -> None:
    """Each text is as it was written, whatever it looks like, in blocks of any size."""
    file, content = ALL[name]
    found = read_all(write(file, content(RECORDS)), block_bytes=block_bytes)
    assert found.records == RECORDS
    if found.blocks[0].rows is not None:
        assert found.places == [(n + 1, None) for n in range(len(RECORDS))]
        assert [json.loads(raw) for raw in found.raw] == RECORDS


@pytest.mark.parametrize("name", NESTED)
def test_nested_records(write: Write, name: str) -> None:
    """Nested values are the same; in a table, a null is as if the key were not there."""
    file, content = NESTED[name]
    found = read_all(write(file, content(CHATS)), block_bytes=2000)
    assert [without_nulls(record) for record in found.records] == without_nulls(CHATS)
    if found.blocks[0].rows is not None:
        assert found.records == without_nulls(CHATS)


@pytest.mark.conformance
@pytest.mark.parametrize("name", ALL)
def test_shards_do_not_depend_on_block_size(write: Write, name: str) -> None:
    """Any block size gives the same records in the same shards."""
    file, content = ALL[name]
    path = write(file, content(RECORDS))
    for shard_size in (1, 1000, 9000):
        expected = read_all(path, shard_size=shard_size).shards
        assert len(set(expected)) > 1
        for block_bytes in (1, 64, 500, 5000):
            found = read_all(path, shard_size=shard_size, block_bytes=block_bytes)
            assert found.shards == expected


@pytest.mark.parametrize("name", ALL)
def test_a_block_can_be_divided_into_records(write: Write, name: str) -> None:
    """The blocks of one record that the preview shows hold the records and their places."""
    file, content = ALL[name]
    found = read_all(write(file, content(RECORDS)))
    singles = [single for block in found.blocks for single in single_records(block)]
    assert [parse_block(single).records for single in singles] == [[r] for r in RECORDS]
    assert [single.place(0) for single in singles] == found.places


@pytest.mark.parametrize("name", sorted(FLAT.keys() | {"parquet", "arrow-stream", "objects"}))
def test_size_and_hash(write: Write, name: str) -> None:
    """Size and hash are those of the stored file, and the total is known beforehand."""
    file, content = ALL[name]
    path = write(file, content(RECORDS))
    data = path.read_bytes()
    reader = read_all(path).reader
    assert reader.total_bytes == reader.stored_bytes == len(data)
    assert reader.digests == [SourceDigest(len(data), hashlib.sha256(data).hexdigest())]


@pytest.mark.parametrize("name", ["zip", "tar", "tar-gz", "zip-parquet"])
def test_a_member_has_the_hash_of_its_content(write: Write, name: str) -> None:
    """The hash of a member of an archive is that of the file that would be extracted."""
    file, content = ALL[name]
    reader = read_all(write(file, content(RECORDS))).reader
    whole = {
        "zip": json_lines(RECORDS),
        "tar": json_lines(RECORDS),
        "tar-gz": json.dumps(RECORDS).encode(),
        "zip-parquet": ALL["parquet"][1](RECORDS),
    }[name]
    assert reader.digests == [SourceDigest(len(whole), hashlib.sha256(whole).hexdigest())]


@pytest.mark.faults
@pytest.mark.parametrize("name", ALL)
def test_damage_never_crashes(write: Write, name: str) -> None:
    """Changed, lost and added bytes give records or a message, never another exception."""
    file, content = ALL[name]
    data = content(RECORDS[:20])
    random = Random(name)
    for _ in range(40):
        damaged = bytearray(data)
        for _ in range(random.choice([1, 1, 3])):
            at = random.randrange(len(damaged))
            if random.random() < 0.6:
                damaged[at] ^= 1 << random.randrange(8)
            elif random.random() < 0.5:
                del damaged[at : at + random.randint(1, 30)]
            else:
                damaged[at:at] = random.randbytes(random.randint(1, 9))
        with suppress(SftprepError):
            read_all(write(file, bytes(damaged)))
