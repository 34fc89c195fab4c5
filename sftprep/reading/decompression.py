"""Compressed bytes -> the bytes they stand for: gzip, zstd, bzip2 and xz.

In     a ``Counted`` stream; what it is compressed with is told by its first bytes.
Out    a stream of the uncompressed bytes, read on as it is asked for.
Never  a shorter success: data that is cut off or damaged, or is not what the file's name says, is
       an error; so is data that grows beyond all measure, or needs more memory than is sensible.
Raises DataError; OSError, to be put in words by ``read_error``.
"""

import io
import lzma
from typing import IO, cast

from sftprep.choices import MAX_EXPANSION
from sftprep.errors import DataError, StorageError
from sftprep.reading.streams import READ_BYTES, Counted

FREE_BYTES = 64 << 20  # uncompressed bytes before the expansion is looked at
MEMORY_BYTES = 192 << 20  # for xz: twice what its highest level needs; zstd has a limit of its own

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
}
ENDINGS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}


def decompressed(raw: Counted, path: str, max_expansion: int = MAX_EXPANSION) -> IO[bytes]:
    """The uncompressed bytes of a stream, whatever it is compressed with.

    Args:
        raw: the bytes as stored.
        path: the file's name, for messages; its ending must not promise what the data is not.
        max_expansion: how many bytes one stored byte may become, once there are many.
    """
    start = raw.start(6)
    name = next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")
    if not name:
        promised = next((n for ending, n in ENDINGS.items() if path.lower().endswith(ending)), "")
        if promised:
            raise DataError(
                f"{path}: the name says {promised}, and the data is not compressed, or its start "
                "is damaged. Fetch the file again, or give it its right name."
            )
        return raw  # type: ignore[return-value]
    if name == "xz":
        plain = cast(IO[bytes], _Xz(raw))  # Arrow has no xz
    else:
        import pyarrow as pa

        # closes nothing: the file belongs to the caller
        plain = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), name)
    return cast(IO[bytes], Bounded(plain, raw, path, max_expansion))


def read_error(path: str, error: OSError, stored: int) -> StorageError | DataError:
    """What a failure to read means; ``stored`` bytes had been read by then."""
    # Arrow reports damaged compressed data as an OSError without a number.
    if error.errno is not None:
        return StorageError(
            f"{path}: cannot be read: {error.strerror}. Check the file and its rights."
        )
    if "memory" in str(error).lower():
        return DataError(
            f"{path}: needs too much memory to decompress ({error}). Compress it with a window of "
            "at most 128 MiB."
        )
    return DataError(
        f"{path}: the compressed data is damaged or cut off ({error}), at or before byte "
        f"{stored:,}. Fetch the file again."
    )


class Bounded(io.RawIOBase):
    """A decompressor's bytes, as long as they are in proportion to what was stored."""

    def __init__(self, plain: IO[bytes], raw: Counted, path: str, most: int) -> None:
        super().__init__()
        self._plain = plain
        self._raw = raw
        self._path = path
        self._most = most
        self._bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next uncompressed bytes."""
        data = self._plain.read(size)
        self._bytes += len(data)
        if self._bytes > FREE_BYTES and self._bytes > self._most * self._raw.bytes:
            raise DataError(
                f"{self._path}: {self._raw.bytes:,} compressed bytes became more than "
                f"{self._bytes:,}, over {self._most} times as many: perhaps a decompression bomb. "
                "If the data is meant, raise --max-expansion."
            )
        return data


class _Xz(io.RawIOBase):
    """Read concatenated xz streams; unlike ``lzma.open`` it refuses garbage behind the last one."""

    def __init__(self, raw: Counted) -> None:
        super().__init__()
        self._raw = raw
        self._decoder = _decoder()

    def read(self, size: int = -1, /) -> bytes:
        """The next uncompressed bytes."""
        try:
            while True:
                if self._decoder.eof:
                    rest = self._decoder.unused_data.lstrip(b"\0")  # padding between streams
                    while not rest and (chunk := self._raw.read(READ_BYTES)):
                        rest = chunk.lstrip(b"\0")
                    if not rest:
                        return b""
                    self._decoder = _decoder()
                else:
                    rest = self._raw.read(READ_BYTES) if self._decoder.needs_input else b""
                    if not rest and self._decoder.needs_input:
                        raise OSError("truncated xz stream")
                if data := self._decoder.decompress(rest, max_length=READ_BYTES):
                    return data
        except lzma.LZMAError as error:
            raise OSError(str(error)) from error


def _decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES)
