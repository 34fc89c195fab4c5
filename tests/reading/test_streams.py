"""Stored and plain streams: counting, hashing, buffering, and taking lines."""

import hashlib
import io

import pytest

from sftprep.reading.streams import MAX_LEADING_SPACE, PlainStream, StoredStream


def plain(data: bytes, read_bytes: int = 3) -> PlainStream:
    """Return a stream that reads a few bytes at a time."""
    return PlainStream(io.BytesIO(data), "a.jsonl", read_bytes)


# --- stored -------------------------------------------------------------------------------------


def test_stored_bytes_are_counted_and_hashed() -> None:
    """Count and hash cover what was peeked, what was read and what was drained, each once."""
    stream = StoredStream(io.BytesIO(b"abcdefgh"), read_bytes=3)
    assert stream.peek(2) == b"ab"
    assert (stream.bytes, stream.hash.digest()) == (2, hashlib.sha256(b"ab").digest())
    assert stream.read(1) + stream.read(1) + stream.read(2) == b"abcd"
    stream.drain()
    assert (stream.bytes, stream.hash.digest()) == (8, hashlib.sha256(b"abcdefgh").digest())
    assert stream.read() == b""


def test_peek_returns_fewer_bytes_only_at_the_end() -> None:
    """A file that returns single bytes is read until there are enough."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    assert StoredStream(Slow(b"abc")).peek(2) == b"ab"
    assert StoredStream(Slow(b"abc")).peek(9) == b"abc"


def test_hashing_can_be_turned_off() -> None:
    """If another object hashes the bytes, they are only counted."""
    stream = StoredStream(io.BytesIO(b"abcd"))
    stream.is_hashing = False
    assert stream.read() == b"abcd"
    assert (stream.bytes, stream.hash.digest()) == (4, hashlib.sha256().digest())


# --- plain --------------------------------------------------------------------------------------


def test_taken_bytes_are_counted_and_hashed() -> None:
    """The offset and the hash cover the bytes taken or skipped, not those peeked."""
    stream = plain(b"abcdefgh")
    assert stream.peek(5) == b"abcde"
    assert (stream.offset, stream.hash.digest()) == (0, hashlib.sha256().digest())
    assert stream.take(2) == b"ab"
    stream.skip(1)
    assert (stream.offset, stream.hash.digest()) == (3, hashlib.sha256(b"abc").digest())
    assert stream.peek(99) == b"defgh"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"  \n", b""),
        (b"[", b"["),
        (b" \t\r\n{", b"{"),
        (b" " * (MAX_LEADING_SPACE - 1) + b"[", b"["),
        (b" " * MAX_LEADING_SPACE + b"[", b""),
    ],
)
def test_first_byte(data: bytes, expected: bytes) -> None:
    """The first byte after white space is found, unless there is too much white space."""
    stream = plain(data, read_bytes=1000)
    assert stream.first_byte() == expected
    assert stream.offset == 0


@pytest.mark.parametrize("read_bytes", [1, 2, 100])
@pytest.mark.parametrize(
    ("target", "longest", "expected"),
    [
        (1, 99, [b"a\n", b"bcd\n", b"\n", b"ef"]),
        (2, 99, [b"a\n", b"bcd\n", b"\nef"]),
        (3, 99, [b"a\nbcd\n", b"\nef"]),
        (99, 99, [b"a\nbcd\n\nef"]),
        (99, 3, [b"a\nbcd\n\nef"]),
        (99, 2, [b"a\n"]),  # the next line is too long
        (99, 0, []),
    ],
)
def test_lines(read_bytes: int, target: int, longest: int, expected: list[bytes]) -> None:
    """Whole lines are taken until there are enough bytes, and a line that is too long is left."""
    stream = plain(b"a\nbcd\n\nef", read_bytes)
    taken = []
    while lines := stream.lines(target, longest):
        taken.append(lines)
    assert taken == expected


@pytest.mark.parametrize("read_bytes", [1, 4, 100])
def test_long_line(read_bytes: int) -> None:
    """A long line is taken whole; its start and its length are returned."""
    stream = plain(b"abcdefg\nhi", read_bytes)
    assert stream.long_line(3) == (b"abc", 7)
    assert stream.peek(9) == b"hi"
    assert stream.long_line(3) == (b"hi", 2)
    assert (stream.peek(1), stream.offset) == (b"", 10)


@pytest.mark.parametrize("size", [0, 1, 5, 9, 10, 11])
def test_take_next(size: int) -> None:
    """Bytes are taken in one piece, whatever the size of a read."""
    stream = PlainStream(io.BytesIO(b"0123456789"), "-", read_bytes=3)
    assert stream.peek(2) == b"01"
    assert bytes(stream.take_next(size)) == b"0123456789"[:size]
    assert stream.offset == min(size, 10)
    assert stream.hash.digest() == hashlib.sha256(b"0123456789"[:size]).digest()
