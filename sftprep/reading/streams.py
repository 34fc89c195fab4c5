"""Read bytes: one stream counts and hashes them as stored, one buffers them uncompressed.

In     a binary file.
Out    ``StoredStream`` reads the bytes as stored, and counts and hashes them. ``PlainStream`` reads
       uncompressed bytes, and hands out whole lines or a given number of bytes.
Keeps  the time linear in the size of the file, and the memory bounded by the longest line that is
       allowed.
"""

import hashlib
import io
import re
from typing import Protocol

READ_BYTES = 1 << 20
"""How many bytes are read at once, unless the caller gives another number."""
MAX_LEADING_SPACE = 1 << 20
"""How many bytes of white space may come before the ``[`` of a JSON array."""
NOT_SPACE = re.compile(rb"[^ \t\r\n]")


class Readable(Protocol):
    """A binary file or stream, with the only method that is needed here."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most ``size`` of them; b"" at the end."""
        ...


class StoredStream(io.RawIOBase):
    """Reads a file's bytes as stored, which may be compressed, and counts and hashes them.

    Args:
        file: the file to read.
        read_bytes: how many bytes ``read`` returns at most if its caller gives no number.

    Attributes:
        bytes: how many bytes were read.
        hash: SHA-256 of the bytes read while ``is_hashing`` was True.
        is_hashing: callers set it to False if another object hashes the same bytes.
    """

    def __init__(self, file: Readable, read_bytes: int = READ_BYTES) -> None:
        super().__init__()
        self.file = file
        self.bytes = 0
        self.hash = hashlib.sha256()
        self.is_hashing = True
        self._read_bytes = read_bytes
        self._peeked = b""

    def readable(self) -> bool:
        """Return True; pyarrow checks this before it reads."""
        return True

    def peek(self, size: int) -> bytes:
        """Return the first bytes without consuming them; fewer only at the end of the file."""
        while len(self._peeked) < size and (data := self._next(size - len(self._peeked))):
            self._peeked += data
        return self._peeked

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most ``size`` of them; b"" at the end of the file."""
        if self._peeked:
            data = self._peeked[: size if size >= 0 else None]
            self._peeked = self._peeked[len(data) :]
            return data
        return self._next(size if size >= 0 else self._read_bytes)

    def drain(self) -> None:
        """Read the bytes that the decompressor left, so that the hash covers the whole file."""
        while self._next(self._read_bytes):
            pass

    def _next(self, size: int) -> bytes:
        data = self.file.read(size)
        self.bytes += len(data)
        if self.is_hashing:
            self.hash.update(data)
        return data


class PlainStream:
    """Reads uncompressed bytes through a buffer.

    Args:
        file: the file or stream of uncompressed bytes.
        path: the file's path, for messages.
        read_bytes: how many bytes are read at once.

    Attributes:
        path: the file's path, for messages.
        offset: the position of the next byte to be taken.
        buffer: the bytes read but not yet taken. Callers must not change it.
        hash: SHA-256 of all bytes taken.
    """

    def __init__(self, file: Readable, path: str, read_bytes: int = READ_BYTES) -> None:
        self.path = path
        self.offset = 0
        self.buffer = bytearray()
        self.hash = hashlib.sha256()
        self._file = file
        self._read_bytes = read_bytes
        self._ended = False

    def more(self) -> bool:
        """Read more bytes into the buffer; return False at the end."""
        chunk = b"" if self._ended else self._file.read(self._read_bytes)
        self._ended = not chunk
        self.buffer += chunk
        return not self._ended

    def peek(self, size: int) -> bytes:
        """Return the next bytes without taking them; fewer only at the end."""
        while len(self.buffer) < size and self.more():
            pass
        return bytes(self.buffer[:size])

    def skip(self, size: int) -> None:
        """Take bytes that are in the buffer without returning them."""
        with memoryview(self.buffer) as view:
            self.hash.update(view[:size])
        del self.buffer[:size]
        self.offset += size

    def take(self, size: int) -> bytes:
        """Take bytes that are in the buffer."""
        with memoryview(self.buffer) as view:
            taken = bytes(view[:size])
        self.skip(size)
        return taken

    def first_byte(self) -> bytes:
        """Return the first byte that is not white space, without taking anything.

        Returns:
            The byte; b"" at the end, or if ``MAX_LEADING_SPACE`` bytes of white space come
            first.
        """
        position = 0
        while position < MAX_LEADING_SPACE:
            if found := NOT_SPACE.search(self.buffer, position, MAX_LEADING_SPACE):
                return found[0]
            position = len(self.buffer)
            if not self.more():
                break
        return b""

    def lines(self, target: int, longest: int) -> bytes:
        """Take whole lines: up to the first line end at or after ``target`` bytes, or the rest.

        Args:
            target: take at least this many bytes, unless the stream ends earlier.
            longest: the most bytes that a line may have. A longer line is not taken.

        Returns:
            The lines; b"" at the end, or if the next line is longer than ``longest``.
        """
        searched = 0
        begin = 0  # start of the line whose end is not found yet
        while not (end := self.buffer.find(b"\n", max(searched, target - 1)) + 1):
            begin = self.buffer.rfind(b"\n", searched) + 1 or begin
            searched = len(self.buffer)
            if searched - begin > longest:
                end = begin
                break
            if not self.more():
                end = searched
                break
        return self.take(end if end <= longest else self._before_long_line(end, longest))

    def _before_long_line(self, end: int, longest: int) -> int:
        """Return where the first line longer than ``longest`` begins; ``end`` if there is none.

        Args:
            end: the position in the buffer up to which lines are looked at.
            longest: the most bytes that a line may have.
        """
        begin = 0
        while begin < end:
            stop = self.buffer.find(b"\n", begin, end)
            stop = end if stop < 0 else stop
            if stop - begin > longest:
                return begin
            begin = stop + 1
        return end

    def long_line(self, keep: int) -> tuple[bytes, int]:
        """Take a line of any length without holding it in memory.

        Args:
            keep: how many bytes from its start to return.

        Returns:
            The line's first bytes, and its length without the line end.
        """
        begin, kept = self.offset, self.peek(keep)
        while (end := self.buffer.find(b"\n")) < 0:
            self.skip(len(self.buffer))
            if not self.more():
                return kept, self.offset - begin
        length = self.offset + end - begin
        self.skip(end + 1)
        return kept[:length], length
