"""read: files, folders, globs and standard input become blocks of whole records."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from sftprep.data.block import Block, Source
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.reading.blocks import BlockReader, SourceFacts
from sftprep.reading.sources import find_sources

Write = Callable[[str, str | bytes], Path]

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
}
LINES = b"".join(b'{"prompt": "%d", "completion": "x"}\n' % n for n in range(500))


class Placed(NamedTuple):
    """A record with all that is known of its place."""

    shard: int
    line: int
    offset: int
    data: bytes


def placed(block: Block) -> list[Placed]:
    """The records of a block, by asking the block for each one's place."""
    return [Placed(block.shard, *block.place(i), data) for i, data in enumerate(block.lines())]


def read(*paths: Path | str, shard_size: int = 1 << 30, block_bytes: int = 1 << 20) -> list[Placed]:
    """All records of some inputs."""
    reader = BlockReader(find_sources([str(p) for p in paths]), shard_size, block_bytes)
    return [record for block in reader for record in placed(block)]


def data_of(records: Iterable[Placed]) -> list[bytes]:
    """Only the records' bytes."""
    return [record.data for record in records]


# --- lines --------------------------------------------------------------------------------------


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
    """Only a newline ends a record, and each record's line and byte offset are right."""
    path = write("a.jsonl", content)
    assert [Placed(0, *e) for e in expected] == read(path, block_bytes=block_bytes)


def test_offsets_point_at_the_record(write: Write) -> None:
    """The bytes at a record's offset in the file are the record."""
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n{"b": "\xe4\xbb\xb7"}\n{"c": 3}'
    path = write("a.jsonl", content)
    records = read(path, block_bytes=4)
    assert [r.data for r in records] == [
        content[r.offset : r.offset + len(r.data)] for r in records
    ]


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"\xff\xfe", "UTF-16 (little endian)"), (b"\xfe\xff", "UTF-16 (big endian)")],
)
def test_utf16_is_named(write: Write, start: bytes, name: str) -> None:
    """A file in UTF-16 is refused as what it is, and not line by line."""
    path = write("a.jsonl", start + "{}".encode("utf-16-le"))
    with pytest.raises(DataError) as caught:
        read(path)
    assert f"{path}: the file is {name}. Convert it to UTF-8." == str(caught.value)


# --- shards -------------------------------------------------------------------------------------


def test_shards_end_at_the_first_line_end_at_or_after_their_size(write: Write) -> None:
    """A shard of 4 bytes takes whole lines until it has at least 4."""
    path = write("a.jsonl", b"1\n2\n3\n456789\nab\ncd\n")
    shards = [(r.shard, r.data) for r in read(path, shard_size=4)]
    assert shards == [
        (0, b"1"), (0, b"2"), (1, b"3"), (1, b"456789"), (2, b"ab"), (2, b"cd"),
    ]  # fmt: skip


def test_shards_of_an_array(write: Write) -> None:
    """An element of an array counts as a line would: its bytes and one more."""
    path = write("a.json", "[10, 20,\n\n 30,40 ,5, 6, 7]")
    shards = [(r.shard, r.data) for r in read(path, shard_size=6)]
    assert shards == [
        (0, b"10"), (0, b"20"), (1, b"30"), (1, b"40"), (2, b"5"), (2, b"6"), (2, b"7"),
    ]  # fmt: skip


def test_shards_go_on_over_files(write: Write) -> None:
    """A shard is a slice of the whole input: a new file does not begin a new shard."""
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
    """A shard's size counts uncompressed bytes."""
    plain = read(write("a.jsonl", LINES), shard_size=1000)
    packed = read(write("a.jsonl.gz", COMPRESS["gz"](LINES)), shard_size=1000)
    assert plain == packed


def test_blocks_are_bounded(write: Write) -> None:
    """A block ends at the first line end at or after the block size."""
    reader = BlockReader(find_sources([str(write("a.jsonl", LINES))]), 1 << 30, 100)
    sizes = [len(block.data) for block in reader]
    longest = max(map(len, LINES.splitlines(keepends=True)))
    assert len(LINES) == sum(sizes)
    assert all(100 <= size < 100 + longest for size in sizes[:-1])


def test_a_line_longer_than_a_read_is_whole(write: Write) -> None:
    """A record of several MiB comes out as one."""
    long = b'"' + b"x" * (3 << 20) + b'"'
    path = write("a.jsonl", b"1\n" + long + b"\n2\n")
    assert [b"1", long, b"2"] == data_of(read(path, block_bytes=1000))


# --- compression --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("name", ["a.jsonl.{}", "misnamed.jsonl"])
def test_compressed(write: Write, ending: str, name: str) -> None:
    """Compressed data is told by its first bytes and gives the records of the plain file."""
    path = write(name.format(ending), COMPRESS[ending](LINES))
    assert read(write("plain.jsonl", LINES)) == read(path)


@pytest.mark.parametrize("ending", COMPRESS)
def test_several_compressed_streams(write: Write, ending: str) -> None:
    """Streams written one behind the other are one file, as ``cat a.gz b.gz`` makes it."""
    path = write("a.jsonl", COMPRESS[ending](b"1\n2\n") + COMPRESS[ending](b"3\n"))
    assert data_of(read(path)) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("cut", [1, 5, 12, 0.5, 0.9])
def test_truncated(write: Write, ending: str, cut: float) -> None:
    """Compressed data that is cut off is an error, never a shorter success."""
    whole = COMPRESS[ending](LINES)
    data = whole[:-cut] if isinstance(cut, int) else whole[: int(len(whole) * cut)]
    path = write("a.jsonl", data)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: the compressed data is damaged or cut off (")
    assert str(caught.value).endswith(f"), at or before byte {len(data):,}. Fetch the file again.")


@pytest.mark.parametrize("ending", COMPRESS)
def test_trailing_garbage(write: Write, ending: str) -> None:
    """Bytes behind the compressed data that are no compressed data are an error."""
    path = write("a.jsonl", COMPRESS[ending](LINES) + b"garbage!")
    with pytest.raises(DataError, match="the compressed data is damaged or cut off"):
        read(path)


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])  # zstd need not hold a checksum
def test_damaged(write: Write, ending: str) -> None:
    """A flipped byte in compressed data that has a checksum is found."""
    data = bytearray(COMPRESS[ending](LINES))
    data[len(data) // 2] ^= 0xFF
    path = write("a.jsonl", bytes(data))
    with pytest.raises(DataError, match="the compressed data is damaged or cut off"):
        read(path)


@pytest.mark.parametrize("packed", ["", "gz", "xz"])
def test_facts(write: Write, packed: str) -> None:
    """Size and hash are those of the stored file, and the size of all is known beforehand."""
    data = COMPRESS[packed](LINES) if packed else LINES
    path = write("a.jsonl", data)
    reader = BlockReader(find_sources([str(path)]), 1 << 30)
    assert len(data) == reader.total
    for _ in reader:
        pass
    assert [SourceFacts(len(data), hashlib.sha256(data).hexdigest())] == reader.facts
    assert len(data) == reader.stored


# --- JSON arrays --------------------------------------------------------------------------------

ARRAYS = {
    "compact": '[{"a":1},{"a":2}]',
    "pretty": json.dumps([{"a": 1}, {"a": [1, 2]}], indent=2),
    "nested": '[{"a": [[1, [2]], {"b": {"c": []}}]}, {"a": {}}]',
    "brackets-in-strings": r'[{"a": "]}, {["}, {"b": "[[["}]',
    "escaped-quotes": r'[{"a": "\"]\\"}, {"b": "\\\\\""}]',
    "text": '[{"a": "价\u2028格 \\u4ef7"}]',
    "space-around": ' \n\t[\r\n {"a": 1} \n , \n {"a": 2} ] \n\n',
    "other-elements": '[1, "two", null, [3], {"a": 4}]',
    "long-string": '[{"a": "' + "x" * (2 << 20) + '"}, {"b": 1}]',
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ARRAYS.items()])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "bom"])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_array(write: Write, text: str, mark: str, block_bytes: int) -> None:
    """A JSON array gives its elements, each at its own byte offset and on its own line."""
    content = (mark + text).encode()
    records = read(write("a.json", content), block_bytes=block_bytes)
    assert json.loads(text) == [json.loads(r.data) for r in records]
    for record in records:
        assert record.data == content[record.offset : record.offset + len(record.data)]
        assert 1 + content.count(b"\n", 0, record.offset) == record.line


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[\n]\n"])
def test_empty_array(write: Write, text: str) -> None:
    """An empty array has no records."""
    assert read(write("a.json", text)) == []


@pytest.mark.parametrize(
    "text",
    ['[{"a": 1}', '[{"a": 1},', "[", '[{"a": "b', '[{"a": "b]', '[{"a": [1]', '[{"a": "b\\'],
)
def test_unclosed_array(write: Write, text: str) -> None:
    """An array that is not closed is an error, even where its records are whole."""
    path = write("a.json", text)
    with pytest.raises(DataError) as caught:
        read(path)
    assert (
        f"{path}:1: the JSON array that the file begins with is not closed. "
        "Check that the file is whole; JSON Lines must not begin with '['."
    ) == str(caught.value)


def test_unclosed_array_says_where_it_ends(write: Write) -> None:
    """The line of an unclosed array is the one the reader got to."""
    path = write("a.json", '[\n{"a": 1},\n{"a": 2},\n')
    with pytest.raises(DataError, match=rf"^{path}:[34]: the JSON array"):
        read(path)


@pytest.mark.parametrize("text", ['[{"a": 1}}', '[{"a": 1]', '[{"a": 1}},{"b": 2}]'])
def test_wrong_closing_bracket(write: Write, text: str) -> None:
    """An array closed by a brace is not whole: an error of the file, or of the record."""
    path = write("a.json", text)
    try:
        records = read(path)
    except DataError:
        return
    assert any(not _is_json(record.data) for record in records)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except json.JSONDecodeError:
        return False
    return True


@pytest.mark.parametrize("rest", ["{}", "x", "[1]", "]", "\n\nnull", " " * (2 << 20) + "x"])
def test_text_behind_an_array(write: Write, rest: str) -> None:
    """A file holds one array and nothing else."""
    path = write("a.json", '[\n{"a": 1}]' + rest)
    with pytest.raises(DataError) as caught:
        read(path)
    line = 2 + rest.count("\n")
    assert (
        f"{path}:{line}: text follows the end of the JSON array: "
        f"'{rest.strip()}'. "
        "A file holds one array, or one object a line."
    ) == str(caught.value)


# --- which files --------------------------------------------------------------------------------


def names(sources: list[Source]) -> list[str]:
    """What the sources are called."""
    return [source.name for source in sources]


def test_folder(tmp_path: Path, write: Write) -> None:
    """A folder stands for the data files below it, sorted by path, and nothing else."""
    for name in (
        "b.jsonl", "a.json", "sub/c.ndjson.gz", "sub/A.JSONL", "z.jsonl.zst", "y.jsonl.bz2",
        "x.json.xz", "notes.txt", "a.jsonl.bak", "jsonl", "m.csv",
    ):  # fmt: skip
        write(f"d/{name}", b"")
    write("d/folder.jsonl/inner.txt", b"")
    expected = [
        "a.json", "b.jsonl", "sub/A.JSONL", "sub/c.ndjson.gz", "x.json.xz", "y.jsonl.bz2",
        "z.jsonl.zst",
    ]  # fmt: skip
    folder = tmp_path / "d"
    found = find_sources([str(folder)])
    assert [str(folder / name) for name in expected] == [source.path for source in found]


def test_glob(tmp_path: Path, write: Write) -> None:
    """A pattern stands for the files it matches, sorted, whatever they are called."""
    for name in ("d/2.txt", "d/1.txt", "d/e/3.txt"):
        write(name, b"")
    (tmp_path / "d" / "dir.txt").mkdir()
    assert names(find_sources([str(tmp_path / "d" / "*.txt")])) == ["1.txt", "2.txt"]
    every = find_sources([str(tmp_path / "d" / "**" / "*.txt")])
    assert names(every) == ["1.txt", "2.txt", "3.txt"]


def test_a_file_with_magic_in_its_name(write: Write) -> None:
    """A file that exists is no pattern, whatever its name."""
    path = write("a[1].jsonl", b"1\n")
    assert data_of(read(path)) == [b"1"]


def test_order_is_the_users(write: Write) -> None:
    """Inputs are read in the order in which they were named."""
    first, second = write("b.jsonl", b"1\n"), write("a.jsonl", b"2\n")
    assert data_of(read(first, second)) == [b"1", b"2"]


def test_names_are_short_and_different(write: Write) -> None:
    """Files of one name are told apart by the folders above, and by no more of them."""
    paths = [write(f"{name}/train.jsonl", b"") for name in ("x/a", "x/b")]
    assert names(find_sources([str(p) for p in paths])) == ["a/train.jsonl", "b/train.jsonl"]


@pytest.mark.parametrize("again", ["{}", "{}/../{}", "{}/*.jsonl"])
def test_same_file_twice(tmp_path: Path, write: Write, again: str) -> None:
    """A file named twice, in whatever way, is refused: its records would count twice."""
    path = write("d/a.jsonl", b"")
    second = {
        "{}": str(path),
        "{}/../{}": str(tmp_path / "d" / ".." / "d" / "a.jsonl"),
        "{}/*.jsonl": str(tmp_path / "d" / "*.jsonl"),
    }[again]
    shown = str(path) if again == "{}/*.jsonl" else second
    with pytest.raises(UsageError) as caught:
        find_sources([str(path), second])
    assert (
        f"{shown}: is the same file as {path}, and its records would count twice. Name it once."
    ) == str(caught.value)


def test_same_file_by_link(tmp_path: Path, write: Write) -> None:
    """A symbolic link to a file that is read already is the same file."""
    path = write("a.jsonl", b"")
    (tmp_path / "b.jsonl").symlink_to(path)
    with pytest.raises(UsageError, match="is the same file as"):
        find_sources([str(path), str(tmp_path / "b.jsonl")])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jsonl", "{}: no such file or folder. Check the path; - reads standard input."),
        ("*.gone", "{}: no file matches. Check the pattern and the folder."),
        (
            "empty",
            "{}: no data file in this folder. Looked for .jsonl, .json and .ndjson, also with .gz, "
            ".zst, .bz2 or .xz.",
        ),
    ],
)
def test_no_input(tmp_path: Path, name: str, message: str) -> None:
    """An input that holds nothing to read is an error that says what was looked for."""
    (tmp_path / "empty").mkdir()
    text = str(tmp_path / name)
    with pytest.raises(NoInputError) as caught:
        find_sources([text])
    assert message.format(text) == str(caught.value)


def test_a_file_that_goes_away(write: Write) -> None:
    """A file that is gone when its turn comes is an error."""
    path = write("a.jsonl", b"1\n")
    reader = BlockReader(find_sources([str(path)]), 1 << 30)
    path.unlink()
    with pytest.raises(DataError) as caught:
        list(reader)
    assert (
        f"{path}: changed while it was read: it was deleted or moved. "
        "Run again once nothing changes it."
    ) == str(caught.value)


# --- standard input -----------------------------------------------------------------------------


class Stdin(NamedTuple):
    """What takes the place of ``sys.stdin``."""

    buffer: io.BufferedIOBase


@pytest.mark.parametrize("packed", ["", "gz", "xz"])
def test_stdin(monkeypatch: pytest.MonkeyPatch, packed: str) -> None:
    """``-`` is standard input, compressed or not, and has no size beforehand."""
    data = COMPRESS[packed](LINES) if packed else LINES
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(data)))
    sources = find_sources(["-"])
    reader = BlockReader(sources, 1 << 30)
    assert [Source("-", "stdin")] == sources
    assert reader.total is None
    assert b"".join(block.data for block in reader) == LINES
    assert [SourceFacts(len(data), hashlib.sha256(data).hexdigest())] == reader.facts


class Dribble(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def readable(self) -> bool:
        """Of course."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """At most three bytes."""
        given, self._data = self._data[:3], self._data[3:]
        buffer[: len(given)] = given
        return len(given)


@pytest.mark.parametrize("packed", ["", "gz", "bz2", "zst", "xz"])
@pytest.mark.parametrize("data", [b'{"a": 1}\n\n{"b": 2}', b'[{"a": 1}, {"b": "]"}]'])
def test_short_reads(monkeypatch: pytest.MonkeyPatch, packed: str, data: bytes) -> None:
    """A pipe that gives a few bytes at a time gives the same records as a file."""
    stored = COMPRESS[packed](data) if packed else data
    monkeypatch.setattr(sys, "stdin", Stdin(io.BufferedReader(Dribble(stored), 4)))
    records = [r.data.strip() for r in read("-") if r.data.strip()]
    expected = [b'{"a": 1}', b'{"b": 2}' if data.startswith(b"{") else b'{"b": "]"}']
    assert expected == records
