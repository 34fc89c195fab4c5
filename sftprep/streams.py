"""Bytes from storage: opened, counted and hashed, decompressed, and taken line by line.

In     a path, or ``-`` for standard input; plain, gzip, zstd, bzip2 or xz, told by the first bytes.
Out    a ``Stream`` of the uncompressed bytes; ``Counted`` says how many were read as stored, and
       their hash.
Never  a shorter success: compressed data that is cut off or damaged is a DataError.
"""

import hashlib
import io
import lzma
import sys
from typing import IO, cast

from sftprep.errors import DataError, StorageError

READ_BYTES = 1 << 20


class Stream:
    """A byte stream that can be looked into and taken in pieces of whole lines."""

    def __init__(self, raw: IO[bytes], path: str) -> None:
        self.path = path
        self.offset = 0  # of the next byte to be taken
        self._raw = raw
        self._buffer = b""
        self._ended = False

    def _fill(self) -> bool:
        """Read on; False at the end."""
        chunk = b"" if self._ended else self._raw.read(READ_BYTES)
        self._ended = not chunk
        self._buffer += chunk
        return not self._ended

    def peek(self, size: int) -> bytes:
        """The next bytes, left where they are; fewer at the end."""
        while len(self._buffer) < size and self._fill():
            pass
        return self._buffer[:size]

    def skip(self, size: int) -> None:
        """Take and forget bytes that are buffered."""
        self._buffer = self._buffer[size:]
        self.offset += size

    def first_byte(self) -> bytes:
        """The first byte that is not white space, left where it is."""
        while not (stripped := self._buffer.lstrip(b" \t\r\n")) and self._fill():
            pass
        return stripped[:1]

    def lines(self, target: int) -> bytes:
        """Take whole lines: up to the first line end at or after ``target`` bytes, or the rest."""
        searched = target - 1
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = max(searched, len(self._buffer))
            if not self._fill():
                end = len(self._buffer) - 1
                break
        taken = self._buffer[: end + 1]
        self.skip(end + 1)
        return taken

    def buffered(self) -> bytes:
        """All bytes read and not yet taken."""
        return self._buffer

    def more(self) -> bool:
        """Read on into the buffer; False at the end."""
        return self._fill()


class Counted(io.RawIOBase):
    """Count and hash what is read of a file, before decompression."""

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self.raw = raw
        self.bytes = 0
        self.hash = hashlib.sha256()
        self._pushed = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def start(self, size: int) -> bytes:
        """The first bytes, left to be read again."""
        self._pushed = self._next(size)
        return self._pushed

    def _next(self, size: int) -> bytes:
        data = self.raw.read(size)
        self.bytes += len(data)
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


def open_input(path: str) -> IO[bytes]:
    """Open a file, or standard input."""
    try:
        if path == "-":
            return sys.stdin.buffer
        return open(path, "rb")  # noqa: PTH123 - the caller closes it
    except OSError as error:
        raise read_error(path, error) from error


def read_error(path: str, error: OSError) -> StorageError | DataError:
    """What a failure to read means."""
    # Arrow reports damaged compressed data as an OSError without a number.
    if error.errno is None:
        return DataError(
            f"{path}: the compressed data is damaged or cut off ({error}). Fetch the file again."
        )
    return StorageError(f"{path}: cannot be read: {error.strerror}. Check the file and its rights.")


def decompressed(raw: Counted) -> IO[bytes]:
    """The uncompressed bytes of a stream, whatever it is compressed with."""
    magic = raw.start(6)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast(IO[bytes], _Xz(raw))  # Arrow has no xz
    names = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
    for start, name in names.items():
        if magic.startswith(start):
            import pyarrow as pa

            # closes nothing: the file belongs to the caller
            return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), name)  # type: ignore[no-any-return]
    return raw  # type: ignore[return-value]


class _Xz(io.RawIOBase):
    """Read concatenated xz streams; unlike ``lzma.open`` it refuses garbage behind the last one."""

    def __init__(self, raw: Counted) -> None:
        super().__init__()
        self._raw = raw
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)

    def read(self, size: int = -1, /) -> bytes:
        """The next uncompressed bytes."""
        try:
            while True:
                if self._decoder.eof:
                    rest = (self._decoder.unused_data or self._raw.read(READ_BYTES)).lstrip(b"\0")
                    if not rest:
                        return b""
                    self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
                else:
                    rest = self._raw.read(READ_BYTES) if self._decoder.needs_input else b""
                    if not rest and self._decoder.needs_input:
                        raise OSError("truncated xz stream")
                if data := self._decoder.decompress(rest, max_length=READ_BYTES):
                    return data
        except lzma.LZMAError as error:
            raise OSError(str(error)) from error
