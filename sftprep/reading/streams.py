"""Read bytes: one stream counts and hashes them as stored, one buffers them uncompressed.

In     a binary file.
Out    ``StoredStream`` reads the bytes as stored, and counts and hashes them. ``PlainStream`` reads
       uncompressed bytes, and hands out whole lines or a given number of bytes; or, for a format
       that cannot be read from start to end, a file with all of them.
Keeps  the time linear in the size of the file, and the memory bounded by the longest line that is
       allowed.
"""

import hashlib
import io
import os
import re
import tempfile
import threading
from typing import IO, Protocol

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
        on_disk: the same bytes as a file that can be read in any order; None if there is none.

    Attributes:
        path: the file's path, for messages.
        offset: the position of the next byte to be taken.
        buffer: the bytes read but not yet taken. Callers must not change it.
        hash: SHA-256 of all bytes taken; after ``whole_file``, of all data given to ``note``.
    """

    def __init__(
        self,
        file: Readable,
        path: str,
        read_bytes: int = READ_BYTES,
        on_disk: IO[bytes] | None = None,
    ) -> None:
        self.path = path
        self.offset = 0
        self.buffer = bytearray()
        self.hash = hashlib.sha256()
        self._file = file
        self._read_bytes = read_bytes
        self._ended = False
        self._on_disk = on_disk
        self._copy: IO[bytes] | None = None
        self._hashing: FileHash | None = None
        self._file_sha256 = ""

    @property
    def file_sha256(self) -> str:
        """The SHA-256 of all bytes. Call this at the end only."""
        if self._hashing is not None:
            self._file_sha256 = self._hashing.result()
        return self._file_sha256 or self.hash.hexdigest()

    @property
    def disk_bytes(self) -> int:
        """How far the file on disk has been read, about; 0 unless ``whole_file`` returned it."""
        return max(1, self._on_disk.tell()) if self._on_disk and self._hashing else 0

    def whole_file(self) -> IO[bytes]:
        """Return a file with all bytes, which can be read in any order.

        Call this before anything is taken. From then on the stream hands out nothing. If the bytes
        are not on disk, they are copied to a temporary file, which has no name.
        """
        if self._on_disk is not None:
            self._hashing = FileHash(self._on_disk)
            file = self._on_disk
        else:
            file = self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``close``
            while self.buffer or self.more():
                file.write(self.take(len(self.buffer)))
            self._file_sha256 = self.hash.hexdigest()
            self.hash = hashlib.sha256()
        self.buffer.clear()
        self._ended = True
        file.seek(0)
        return file

    def note(self, data: bytes) -> None:
        """Add data read from ``whole_file`` to ``hash``; ignore data that the stream handed out."""
        if self._copy is not None or self._hashing is not None:
            self.hash.update(data)

    def close(self) -> None:
        """Release what ``whole_file`` has taken. The file that was given stays open."""
        if self._hashing is not None:
            self._hashing.stop()
        if self._copy is not None:
            self._copy.close()

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

    def take_next(self, size: int) -> memoryview:
        """Take the next bytes, any number of them, without holding them twice.

        Returns:
            ``size`` bytes, or fewer at the end.
        """
        data, filled = bytearray(size), 0
        while filled < size and (self.buffer or self.more()):
            part = min(size - filled, len(self.buffer))
            with memoryview(self.buffer) as view:
                data[filled : filled + part] = view[:part]
            self.skip(part)
            filled += part
        return memoryview(data)[:filled]

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


class FileHash:
    """Computes the SHA-256 of a file in a thread, while the file is read in another order.

    Args:
        file: the file; its position is not changed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = file.fileno()
        self._hash = hashlib.sha256()
        self._error: OSError | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> str:
        """Wait for the end of the file, and return the hash.

        Raises:
            OSError: the file cannot be read.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    def stop(self) -> None:
        """Stop reading. The file may be closed afterwards."""
        self._is_stopped = True
        self._thread.join()

    def _run(self) -> None:
        position = 0
        try:
            while not self._is_stopped and (
                data := os.pread(self._descriptor, READ_BYTES, position)
            ):
                self._hash.update(data)
                position += len(data)
        except OSError as error:
            self._error = error
