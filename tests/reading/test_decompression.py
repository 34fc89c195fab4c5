"""Compressed inputs give the records of the plain file, or an error: never fewer records."""

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from read_records import read, refused

from sftprep.errors import DataError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.limits import Limits
from sftprep.reading.sources import find_sources

Write = Callable[[str, str | bytes], Path]

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
}


LINES = b"".join(b'{"prompt": "%d", "completion": "x"}\n' % n for n in range(500))


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("name", ["a.jsonl.{}", "misnamed.jsonl"])
def test_compressed(write: Write, ending: str, name: str) -> None:
    """Compressed data is recognised by its first bytes and gives the plain file's records."""
    path = write(name.format(ending), COMPRESS[ending](LINES))
    assert read(write("plain.jsonl", LINES)) == read(path)


@pytest.mark.parametrize("ending", COMPRESS)
def test_several_compressed_streams(write: Write, ending: str) -> None:
    """Concatenated compressed streams are one file, as ``cat a.gz b.gz`` makes it."""
    path = write("a.jsonl", COMPRESS[ending](b"1\n2\n") + COMPRESS[ending](b"3\n"))
    assert [r.data for r in read(path)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("cut", [1, 5, 12, 0.5, 0.9])
def test_truncated(write: Write, ending: str, cut: float) -> None:
    """Compressed data that is incomplete is an error, even after whole records."""
    whole = COMPRESS[ending](LINES)
    data = whole[:-cut] if isinstance(cut, int) else whole[: int(len(whole) * cut)]
    path = write("a.jsonl", data)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: the compressed data is damaged or incomplete (")
    assert str(caught.value).endswith(f"), at or before byte {len(data):,}. Fetch the file again.")


@pytest.mark.parametrize("ending", COMPRESS)
def test_trailing_garbage(write: Write, ending: str) -> None:
    """Other bytes after the compressed data are an error."""
    path = write("a.jsonl", COMPRESS[ending](LINES) + b"garbage!")
    with pytest.raises(DataError, match="the compressed data is damaged or incomplete"):
        read(path)


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])  # zstd need not hold a checksum
def test_damaged(write: Write, ending: str) -> None:
    """A flipped byte is found where the compressed data has a checksum."""
    data = bytearray(COMPRESS[ending](LINES))
    data[len(data) // 2] ^= 0xFF
    path = write("a.jsonl", bytes(data))
    with pytest.raises(DataError, match="the compressed data is damaged or incomplete"):
        read(path)


@pytest.mark.parametrize(
    ("name", "what"),
    [("a.jsonl.gz", "gzip"), ("a.json.ZST", "zstd"), ("a.bz2", "bz2"), ("a.ndjson.xz", "xz")],
)
@pytest.mark.parametrize("data", [b"", b"\x1f", b'{"a": 1}\n'])
def test_compressed_by_name_only(write: Write, name: str, what: str, data: bytes) -> None:
    """A file that is not compressed although its name says so is refused, also if it is empty."""
    path = write(name, data)
    assert (
        f"{path}: the name says {what}, but the data is not compressed, or its start is damaged. "
        "Fetch the file again, or correct its name."
    ) == refused(path)


def test_xz_padding(write: Write) -> None:
    """Zero bytes between xz streams are padding, in any number."""
    stream = lzma.compress(b"1\n")
    data = stream + b"\0" * (3 << 20) + lzma.compress(b"2\n") + b"\0" * 8
    assert [r.data for r in read(write("a.xz", data))] == [b"1", b"2"]


# --- data that expands or needs too much memory ---------------------------------------------------


def test_bomb(write: Write) -> None:
    """Data that expands more than the limit allows is an error."""
    data = b'{"a": "%s"}\n' % (b"x" * (4 << 20))
    path = write("a.jsonl.gz", gzip.compress(data))
    limits = Limits(free_bytes=1 << 20)
    with pytest.raises(DataError) as caught:
        list(BlockReader(find_sources([str(path)]), 1 << 30, limits=limits))
    text = str(caught.value)
    size = path.stat().st_size
    start = f"{path}: {size:,} compressed bytes expanded to more than "
    assert text.startswith(start)
    assert text.endswith(
        ", over 200 times as many: this may be a decompression bomb. "
        "If the data is right, raise --max-expansion."
    )
    assert int(text[len(start) :].split(", over", maxsplit=1)[0].replace(",", "")) < 3 << 20
    reader = BlockReader(find_sources([str(path)]), 1 << 30, limits=limits._replace(expansion=2000))
    assert b"".join(block.data for block in reader) == data


def test_small_data_may_expand(write: Write) -> None:
    """Data below 64 MiB may expand in any proportion."""
    data = b'{"a": "%s"}\n' % (b"x" * (4 << 20))
    path = write("a.jsonl.xz", lzma.compress(data))
    assert len(data) > 200 * path.stat().st_size
    assert [r.data + b"\n" for r in read(path)] == [data]


def test_zstd_window(write: Write) -> None:
    """A zstd frame that needs a window of 2 GiB is refused before it is allocated."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3]) + b"\x01\x00\x00"  # 2 ** (10 + 21)
    text = refused(write("a.jsonl.zst", frame))
    assert "needs too much memory to decompress (" in text
    assert text.endswith("). Compress it with a window of at most 128 MiB.")


def test_xz_dictionary(write: Write) -> None:
    """An xz stream that needs a dictionary of 1 GiB is refused too."""
    data = bytearray(lzma.compress(b"{}\n" * 9))
    end = 12 + 4 * (data[12] + 1)  # of the block's header, which its checksum ends
    data[data.index(b"\x21\x01", 12) + 2] = 36  # the dictionary's size
    data[end - 4 : end] = zlib.crc32(data[12 : end - 4]).to_bytes(4, "little")
    text = refused(write("a.jsonl.xz", bytes(data)))
    assert "needs too much memory to decompress (" in text


# --- reads that return a few bytes at a time ------------------------------------------------------


class Stdin(NamedTuple):
    """Replaces ``sys.stdin``."""

    buffer: io.BufferedIOBase


class Dribble(io.RawIOBase):
    """A pipe that returns a few bytes per read."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def readable(self) -> bool:
        """Return True, as ``BufferedReader`` requires."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read at most three bytes."""
        given, self._data = self._data[:3], self._data[3:]
        buffer[: len(given)] = given
        return len(given)


@pytest.mark.parametrize("packed", ["", "gz", "bz2", "zst", "xz"])
@pytest.mark.parametrize("data", [b'{"a": 1}\n\n{"b": 2}', b'[{"a": 1}, {"b": "]"}]'])
def test_short_reads(monkeypatch: pytest.MonkeyPatch, packed: str, data: bytes) -> None:
    """A pipe that returns a few bytes per read gives the same records as a file."""
    stored = COMPRESS[packed](data) if packed else data
    monkeypatch.setattr(sys, "stdin", Stdin(io.BufferedReader(Dribble(stored), 4)))
    records = [r.data.strip() for r in read("-") if r.data.strip()]
    expected = [b'{"a": 1}', b'{"b": 2}' if data.startswith(b"{") else b'{"b": "]"}']
    assert expected == records
