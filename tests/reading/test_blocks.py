"""Inputs become blocks of whole records: places, shards, sizes, hashes and long records."""

import gzip
import hashlib
import io
import json
import lzma
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from read_records import Placed, read, refused

from sftprep.data.block import Source
from sftprep.reading.blocks import BlockReader, SourceDigest
from sftprep.reading.limits import Limits
from sftprep.reading.sources import find_sources
from sftprep.reading.streams import PlainStream

Write = Callable[[str, str | bytes], Path]

LINES = b"".join(b'{"prompt": "%d", "completion": "x"}\n' % n for n in range(500))
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gz": gzip.compress, "xz": lzma.compress}


# --- lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a\nb\n", [(1, 0, b"a"), (2, 2, b"b")]),
        (b"a\nb", [(1, 0, b"a"), (2, 2, b"b")]),
        (b"a\r\nb\r\n", [(1, 0, b"a\r"), (2, 3, b"b\r")]),
        (b"a\rb\n", [(1, 0, b"a\rb")]),
        (b"\n\na\n\n", [(1, 0, b""), (2, 1, b""), (3, 2, b"a"), (4, 4, b"")]),
        (b"  \na\n", [(1, 0, b"  "), (2, 3, b"a")]),
        (b"\xef\xbb\xbfa\nb\n", [(1, 3, b"a"), (2, 5, b"b")]),
        (b"\xef\xbb\xbf", []),
        ("a\u2028b\x0bc\x0cd\x85e\n".encode(), [(1, 0, "a\u2028b\x0bc\x0cd\x85e".encode())]),
        ("价\nb\n".encode(), [(1, 0, "价".encode()), (2, 4, b"b")]),
    ],
    ids=[
        "empty", "plain", "no-final-newline", "crlf", "lone-cr", "blank-lines", "spaces", "bom",
        "bom-alone", "only-newline-ends-a-line", "offsets-are-bytes",
    ],
)  # fmt: skip
@pytest.mark.parametrize("block_bytes", [1, 2, 1 << 20])
def test_lines(
    write: Write, content: bytes, expected: list[tuple[int, int, bytes]], block_bytes: int
) -> None:
    """Only a newline ends a record, and each record has the right line and byte offset."""
    path = write("a.jsonl", content)
    assert read(path, block_bytes=block_bytes) == [Placed(0, *e) for e in expected]


def test_offsets_point_at_the_record(write: Write) -> None:
    """The bytes at a record's offset in the file are the record."""
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n{"b": "\xe4\xbb\xb7"}\n{"c": 3}'
    path = write("a.jsonl", content)
    records = read(path, block_bytes=4)
    assert [r.data for r in records] == [content[r.offset :][: len(r.data)] for r in records]


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"\xff\xfe", "UTF-16 (little endian)"), (b"\xfe\xff", "UTF-16 (big endian)")],
)
def test_utf16_is_named(write: Write, start: bytes, name: str) -> None:
    """A file in UTF-16 is refused once, by the name of its encoding, not line by line."""
    path = write("a.jsonl", start + "{}".encode("utf-16-le"))
    assert refused(path) == f"{path}: the file is {name}. Convert it to UTF-8."


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16-le", "UTF-16 (little endian)"),
        ("utf-16-be", "UTF-16 (big endian)"),
        ("utf-32-le", "UTF-32 (little endian)"),
        ("utf-32-be", "UTF-32 (big endian)"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_wide_encodings(write: Write, encoding: str, name: str, mark: str) -> None:
    """A file in UTF-16 or UTF-32 is refused by name, with or without a byte order mark."""
    path = write("a.jsonl", (mark + '{"a": 1}\n').encode(encoding))
    assert refused(path) == f"{path}: the file is {name}. Convert it to UTF-8."


# --- shards and blocks ----------------------------------------------------------------------------


def test_shards_end_at_the_first_line_end_at_or_after_their_size(write: Write) -> None:
    """A shard of 4 bytes takes whole lines until it has at least 4 bytes."""
    path = write("a.jsonl", b"1\n2\n3\n456789\nab\ncd\n")
    shards = [(r.shard, r.data) for r in read(path, shard_size=4)]
    assert shards == [
        (0, b"1"), (0, b"2"), (1, b"3"), (1, b"456789"), (2, b"ab"), (2, b"cd"),
    ]  # fmt: skip


def test_shards_of_an_array(write: Write) -> None:
    """An element of an array counts like a line: its bytes and one more."""
    path = write("a.json", "[10, 20,\n\n 30,40 ,5, 6, 7]")
    shards = [(r.shard, r.data) for r in read(path, shard_size=6)]
    assert shards == [
        (0, b"10"), (0, b"20"), (1, b"30"), (1, b"40"), (2, b"5"), (2, b"6"), (2, b"7"),
    ]  # fmt: skip


def test_shards_go_on_over_files(write: Write) -> None:
    """A shard is a slice of the whole input: a new file does not start a new shard."""
    first, second = write("a.jsonl", b"1\n2\n3\n"), write("b.jsonl", b"4\n5\n")
    assert [r.shard for r in read(first, second, shard_size=4)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("shard_size", [1, 7, 100, 1000, 1 << 30])
@pytest.mark.parametrize("kind", ["lines", "array"])
def test_shards_do_not_depend_on_block_size(write: Write, shard_size: int, kind: str) -> None:
    """Any block size gives the same records in the same shards, with the same places."""
    values = [{"n": n, "text": "x" * (n * 37 % 101), "価": ["]", '"', {}]} for n in range(60)]
    dumped = [json.dumps(value, ensure_ascii=False) for value in values]
    text = "\n".join(dumped) if kind == "lines" else "[" + ",\n  ".join(dumped) + "]"
    path = write("a.json", text)
    expected = read(path, shard_size=shard_size, block_bytes=1 << 20)
    assert values == [json.loads(r.data) for r in expected]
    for block_bytes in (1, 3, 64, 500):
        assert expected == read(path, shard_size=shard_size, block_bytes=block_bytes)


def test_shards_do_not_depend_on_compression(write: Write) -> None:
    """A shard's size is measured in uncompressed bytes."""
    plain = read(write("a.jsonl", LINES), shard_size=1000)
    packed = read(write("a.jsonl.gz", gzip.compress(LINES)), shard_size=1000)
    assert plain == packed


def test_blocks_are_bounded(write: Write) -> None:
    """A block ends at the first line end at or after the block size."""
    reader = BlockReader(find_sources([str(write("a.jsonl", LINES))]), 1 << 30, 100)
    sizes = [len(block.data) for block in reader]
    longest = max(map(len, LINES.splitlines(keepends=True)))
    assert len(LINES) == sum(sizes)
    assert all(100 <= size < 100 + longest for size in sizes[:-1])


def test_a_line_longer_than_a_read_is_whole(write: Write) -> None:
    """A record of several MiB is read as one record."""
    long = b'"' + b"x" * (3 << 20) + b'"'
    path = write("a.jsonl", b"1\n" + long + b"\n2\n")
    assert [r.data for r in read(path, block_bytes=1000)] == [b"1", long, b"2"]


# --- records that are too long --------------------------------------------------------------------

SHORT = [b'{"n": %d}' % n for n in range(3)]


def long(size: int) -> bytes:
    """Build an object of this many bytes, with strings that could mislead a scanner."""
    head = b'{"text": "[\\"]},{\\\\'
    return head + b"x" * (size - len(head) - 2) + b'"}'


def too_long(size: int, limit: int) -> str:
    """Return the problem of a record that is too long."""
    return (
        f"the record has {size:,} bytes, over the limit of {limit:,}; only its first "
        f"{min(limit, 4096):,} are kept"
    )


@pytest.mark.parametrize("kind", ["lines", "array"])
@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("size", [101, 5000, 20_000])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_a_record_that_is_too_long(write: Write, kind: str, at: int, size: int, chunk: int) -> None:
    """One long record is one bad record, wherever it is and however many bytes are read at once."""
    if chunk == 1 and size > 101:
        chunk = 13
    records = [*SHORT[:at], long(size), *SHORT[at:]]
    text = b"\n".join(records) if kind == "lines" else b"[" + b",".join(records) + b"]"
    found = read(write("a.json", text), longest=100, block_bytes=30, read_bytes=chunk)
    assert [r.data for r in found] == [*SHORT[:at], long(size)[:100], *SHORT[at:]]
    assert [r.problem for r in found] == [
        too_long(size, 100) if len(r) > 100 else "" for r in records
    ]
    assert [r.offset for r in found] == [text.index(record) for record in records]
    assert [r.line for r in found] == ([1, 2, 3, 4] if kind == "lines" else [1, 1, 1, 1])


@pytest.mark.parametrize("kind", ["lines", "array"])
@pytest.mark.parametrize("shard_size", [1, 50, 130, 4000])
def test_long_records_do_not_move_shards(write: Write, kind: str, shard_size: int) -> None:
    """The limit decides what becomes of a record, not which shards its neighbours are in."""
    records = [long(40 + n * 37 % 300) for n in range(60)]
    text = b"\n".join(records) if kind == "lines" else b"[\n" + b",\n".join(records) + b"]"
    path = write("a.json", text)
    expected = [(r.shard, r.line, r.offset) for r in read(path, shard_size=shard_size)]
    for limit in (1, 100, 200, 400):
        for block_bytes in (1, 64, 1 << 20):
            found = read(path, longest=limit, shard_size=shard_size, block_bytes=block_bytes)
            assert expected == [(r.shard, r.line, r.offset) for r in found]
            kept = [r if len(r) <= limit else r[:limit] for r in records]
            assert kept == [r.data for r in found]


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [100, 101])
def test_the_limit_itself(write: Write, tail: bytes, size: int) -> None:
    """A line may have exactly as many bytes as the limit, not counting its newline."""
    found = read(write("a.jsonl", long(size) + tail), longest=100)
    carriage = tail.startswith(b"\r")
    assert [bool(r.problem) for r in found] == [size + carriage > 100]


class Endless:
    """A stream of one very long line."""

    def __init__(self, head: bytes, size: int, tail: bytes) -> None:
        self._parts = iter([head, *[b"x" * (1 << 20)] * (size >> 20), tail])

    def read(self, _size: int = -1, /) -> bytes:
        """Return the next MiB."""
        return next(self._parts, b"")


@pytest.mark.parametrize("kind", ["lines", "array"])
def test_memory_is_bounded(kind: str) -> None:
    """A line of 100 MiB takes no more memory than the longest line allowed."""
    head, tail = (b'{"a": "', b'"}\n{}') if kind == "lines" else (b'[{"a": "', b'"},\n{}]')
    reader = BlockReader([Source("-", "stdin")], 1 << 30, limits=Limits(4 << 20))
    stream = PlainStream(Endless(head, 100 << 20, tail), "-")
    tracemalloc.start()
    try:
        blocks = list(reader.blocks_of(0, stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(line) for block in blocks for line in block.lines()] == [4096, 2]
    assert peak < 20 << 20


# --- size and hash --------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", ["", "gz", "xz"])
def test_size_and_hash(write: Write, packed: str) -> None:
    """Size and hash are those of the stored file, and the total is known beforehand."""
    data = PACK[packed](LINES)
    path = write("a.jsonl", data)
    reader = BlockReader(find_sources([str(path)]), 1 << 30)
    assert len(data) == reader.total_bytes
    for _ in reader:
        pass
    assert [SourceDigest(len(data), hashlib.sha256(data).hexdigest())] == reader.digests
    assert len(data) == reader.stored_bytes


class Stdin(NamedTuple):
    """Replaces ``sys.stdin``."""

    buffer: io.BufferedIOBase


@pytest.mark.parametrize("packed", ["", "gz", "xz"])
def test_stdin(monkeypatch: pytest.MonkeyPatch, packed: str) -> None:
    """``-`` is standard input, compressed or not, and its size is not known beforehand."""
    data = PACK[packed](LINES)
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(data)))
    sources = find_sources(["-"])
    reader = BlockReader(sources, 1 << 30)
    assert [Source("-", "stdin")] == sources
    assert reader.total_bytes is None
    assert b"".join(block.data for block in reader) == LINES
    assert [SourceDigest(len(data), hashlib.sha256(data).hexdigest())] == reader.digests


def test_many_files(tmp_path: Path) -> None:
    """Only one file is open at a time, and files are told apart by the shortest names."""
    for n in range(500):
        (tmp_path / f"{n:03}").mkdir()
        (tmp_path / f"{n:03}/train.jsonl").write_bytes(b"%d\n" % n)
    sources = find_sources([str(tmp_path)])
    assert [s.name for s in sources] == [f"{n:03}/train.jsonl" for n in range(500)]
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    most = 0
    for block in BlockReader(sources, 1 << 30):
        most = max(most, len(os.listdir("/dev/fd")) - before)  # noqa: PTH208
        assert block.data == b"%d\n" % block.source
    assert most == 1
