"""Decompress gzip, zstd, bzip2 and xz.

In     a ``StoredStream``. Its first bytes, not the file's name, say how it is compressed.
Out    a stream of the uncompressed bytes, decompressed as it is read.
Never  ends early without an error. Data is refused if it is damaged or incomplete, if it is not
       compressed although the file's name says so, and if it expands too much or needs too much
       memory.
Raises DataError; OSError, which ``read_error`` turns into a DataError or a StorageError.
"""

import io
import lzma
from typing import Any

from sftprep.errors import DataError, StorageError
from sftprep.reading.limits import Limits
from sftprep.reading.streams import READ_BYTES, Readable, StoredStream

XZ_MEMORY_BYTES = 192 << 20
"""How much memory xz may use: twice what its highest level needs. zstd has a limit of its own."""

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
}
ENDINGS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}


def decompressed(
    stored: StoredStream,
    path: str,
    limits: Limits = Limits(),  # noqa: B008 - it is immutable
    read_bytes: int = READ_BYTES,
) -> Readable:
    """Return a stream of the uncompressed bytes.

    Args:
        stored: the bytes as stored, none of them read yet.
        path: the file's path, for messages. Its ending must not promise a compression that the
            data does not have.
        limits: how much the data may expand.
        read_bytes: how many bytes are decompressed at once.

    Returns:
        ``stored`` itself if the data is not compressed, so that callers can tell.
    """
    start = stored.peek(6)
    name = next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")
    if not name:
        promised = next((n for ending, n in ENDINGS.items() if path.lower().endswith(ending)), "")
        if promised:
            raise DataError(
                f"{path}: the name says {promised}, but the data is not compressed, or its start "
                "is damaged. Fetch the file again, or correct its name."
            )
        return stored
    if name == "xz":
        plain: Any = _XzStream(stored, read_bytes)  # Arrow does not read xz
    else:
        import pyarrow as pa

        # PythonFile does not close the file, which belongs to the caller.
        plain = pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), name)
    return _ExpansionGuard(plain, stored, path, limits)


def read_error(path: str, error: OSError, stored_bytes: int) -> StorageError | DataError:
    """Return an error that tells the user why reading failed.

    Args:
        path: the file's path.
        error: what was raised while reading.
        stored_bytes: how many bytes had been read by then, as stored.
    """
    # The operating system's errors have a number. Arrow reports damaged data without one.
    if error.errno is not None:
        return StorageError(
            f"{path}: cannot be read: {error.strerror}. Check the file and its permissions."
        )
    if "memory" in str(error).lower():
        return DataError(
            f"{path}: needs too much memory to decompress ({error}). Compress it with a window of "
            "at most 128 MiB."
        )
    return DataError(
        f"{path}: the compressed data is damaged or incomplete ({error}), at or before byte "
        f"{stored_bytes:,}. Fetch the file again."
    )


def check_expansion(plain: int, stored: int, path: str, limits: Limits) -> None:
    """Refuse data that expands too much.

    Args:
        plain: the uncompressed bytes so far.
        stored: the compressed bytes they came from.
        path: the file's path, for the message.
        limits: how much data may expand.
    """
    most = limits.expansion
    if plain > limits.free_bytes and plain > most * stored:
        raise DataError(
            f"{path}: {stored:,} compressed bytes expanded to more than {plain:,}, over {most} "
            "times as many: this may be a decompression bomb. If the data is right, raise "
            "--max-expansion."
        )


class _ExpansionGuard(io.RawIOBase):
    """Passes on what a decompressor returns, and raises an error if the data expands too much."""

    def __init__(self, plain: Readable, stored: StoredStream, path: str, limits: Limits) -> None:
        super().__init__()
        self._plain = plain
        self._stored = stored
        self._path = path
        self._limits = limits
        self._bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next uncompressed bytes."""
        data = self._plain.read(size)
        self._bytes += len(data)
        check_expansion(self._bytes, self._stored.bytes, self._path, self._limits)
        return data


class _XzStream(io.RawIOBase):
    """Reads concatenated xz streams; unlike ``lzma.open`` it refuses garbage after the last one."""

    def __init__(self, stored: StoredStream, read_bytes: int) -> None:
        super().__init__()
        self._stored = stored
        self._read_bytes = read_bytes
        self._decoder = _xz_decoder()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next uncompressed bytes, any number of them; b"" at the end."""
        try:
            while True:
                if self._decoder.eof:
                    data = self._decoder.unused_data.lstrip(b"\0")  # padding between streams
                    while not data and (chunk := self._stored.read(self._read_bytes)):
                        data = chunk.lstrip(b"\0")
                    if not data:
                        return b""
                    self._decoder = _xz_decoder()
                else:
                    needs_input = self._decoder.needs_input
                    data = self._stored.read(self._read_bytes) if needs_input else b""
                    if needs_input and not data:
                        raise OSError("truncated xz stream")
                if plain := self._decoder.decompress(data, max_length=self._read_bytes):
                    return plain
        except lzma.LZMAError as error:
            raise OSError(str(error)) from error


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
