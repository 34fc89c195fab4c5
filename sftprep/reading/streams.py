"""Bytes from storage: counted and hashed as stored, and taken in pieces that may not grow.

In     a byte stream, compressed or not.
Out    ``Counted`` says how many bytes were read as stored, and their hash; a ``Stream`` gives
       the uncompressed bytes, line by line or by their number.
Keeps  time linear in the bytes read, and no more in memory than the longest line that is allowed.
"""

import hashlib
import io
import re
from typing import IO

READ_BYTES = 1 << 20
NOT_SPACE = re.compile(rb"[^ \t\r\n]")


class Stream:
    """A byte stream that can be looked into and taken in pieces of whole lines.

    Attributes:
        path: what it is called in messages.
        offset: of the next byte to be taken.
        buffer: the bytes read and not yet taken; nobody else changes it.
        hash: SHA-256 of all that was taken.
    """

    def __init__(self, raw: IO[bytes], path: str) -> None:
        self.path = path
        self.offset = 0
        self.buffer = bytearray()
        self.hash = hashlib.sha256()
        self._raw = raw
        self._ended = False

    def more(self) -> bool:
        """Read on into the buffer; False at the end."""
        chunk = b"" if self._ended else self._raw.read(READ_BYTES)
        self._ended = not chunk
        self.buffer += chunk
        return not self._ended

    def peek(self, size: int) -> bytes:
        """The next bytes, left where they are; fewer at the end."""
        while len(self.buffer) < size and self.more():
            pass
        return bytes(self.buffer[:size])

    def skip(self, size: int) -> None:
        """Take and forget bytes that are buffered."""
        with memoryview(self.buffer) as view:
            self.hash.update(view[:size])
        del self.buffer[:size]
        self.offset += size

    def take(self, size: int) -> bytes:
        """Take bytes that are buffered."""
        with memoryview(self.buffer) as view:
            taken = bytes(view[:size])
        self.skip(size)
        return taken

    def first_byte(self) -> bytes:
        """The first byte that is not white space, left where it is; "" where a lot of it comes."""
        position = 0
        while position < READ_BYTES:
            found = NOT_SPACE.search(self.buffer, position)
            if found:
                return found[0]
            position = len(self.buffer)
            if not self.more():
                break
        return b""

    def lines(self, target: int, longest: int) -> bytes:
        """Take whole lines: up to the first line end at or after ``target`` bytes, or the rest.

        A line longer than ``longest`` bytes is left where it is: so nothing is taken where such a
        line comes next, or nothing comes.
        """
        searched = 0
        begin = 0  # of the line whose end is not known
        while not (end := self.buffer.find(b"\n", max(searched, target - 1)) + 1):
            begin = self.buffer.rfind(b"\n", searched) + 1 or begin
            searched = len(self.buffer)
            if searched - begin > longest:
                end = begin
                break
            if not self.more():
                end = searched
                break
        return self.take(end if end <= longest else self._before_longer(end, longest))

    def _before_longer(self, end: int, longest: int) -> int:
        """Where in the first ``end`` bytes a line longer than ``longest`` begins; else ``end``."""
        begin = 0
        while begin < end:
            stop = self.buffer.find(b"\n", begin, end)
            stop = end if stop < 0 else stop
            if stop - begin > longest:
                return begin
            begin = stop + 1
        return end

    def long_line(self, keep: int) -> tuple[bytes, int]:
        """Take a line of any length: its first bytes, and how many it has without its end."""
        begin, kept = self.offset, self.peek(keep)
        while (end := self.buffer.find(b"\n")) < 0:
            self.skip(len(self.buffer))
            if not self.more():
                return kept, self.offset - begin
        length = self.offset + end - begin
        self.skip(end + 1)
        return kept[:length], length


class Counted(io.RawIOBase):
    """Count and hash what is read of a file, before decompression.

    Attributes:
        bytes: how many were read.
        hash: SHA-256 of them; no more than its start once ``hashes`` is False.
        hashes: whether what is read is hashed here, and not by who takes it.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self.raw = raw
        self.bytes = 0
        self.hash = hashlib.sha256()
        self.hashes = True
        self._pushed = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def start(self, size: int) -> bytes:
        """The first bytes, left to be read again; fewer only where there are no more."""
        while len(self._pushed) < size and (data := self._next(size - len(self._pushed))):
            self._pushed += data
        return self._pushed

    def _next(self, size: int) -> bytes:
        data = self.raw.read(size)
        self.bytes += len(data)
        if self.hashes:
            self.hash.update(data)
        return data

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes as stored."""
        if self._pushed:
            data, self._pushed = self._pushed, b""
            return data
        return self._next(size if size >= 0 else READ_BYTES)

    def drain(self) -> None:
        """Read what the decompressor left, so that the hash is the whole file's."""
        while self._next(READ_BYTES):
            pass
