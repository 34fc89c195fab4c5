"""Divide inputs into blocks of whole records, without parsing them.

In     sources: plain, gzip, zstd, bzip2 or xz; in any format of ``reading.table``.
Out    ``Block``s in input order: a few MiB of whole records, with their file, place and shard. A
       record that is too long gets a block of its own, which holds the start of the record and an
       error.
Keeps  a count and a hash of each source's bytes as stored, that is, before they are decompressed.
Never  ends early without an error: compressed data that is damaged or incomplete is a DataError,
       and so is a file that changes while it is read. Never holds more in memory than a block and
       the longest record allowed, or what the module of the file's format says.
Raises DataError, StorageError. UsageError: ``hints`` name something that no source has.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from sftprep.data.block import Block, Source
from sftprep.errors import UsageError
from sftprep.reading.content import START_BYTES, UTF8_MARK, format_of
from sftprep.reading.decompression import decompressed, read_error
from sftprep.reading.json_layout import layout_of
from sftprep.reading.limits import Hints, Limits
from sftprep.reading.shards import Cutting, Shards
from sftprep.reading.sources import STDIN, opened, size_of
from sftprep.reading.streams import READ_BYTES, PlainStream, Readable, StoredStream
from sftprep.reading.table import FORMATS

BLOCK_BYTES = 2 << 20
"""The size of a block, unless the caller gives another."""


@dataclass
class SourceDigest:
    """The size and hash of a source: complete once it has been read to its end."""

    bytes: int = 0  # as stored: compressed bytes if the file is compressed
    sha256: str = ""  # of these bytes


class BlockReader:
    """Iterates over the blocks of all sources.

    Args:
        sources: what to read, in this order.
        shard_size: uncompressed bytes in one shard.
        block_bytes: uncompressed bytes in one block; does not change which records are in which
            shard.
        limits: how long records may be, and how much compressed data may expand.
        hints: what the user says about the files.
        read_bytes: how many bytes are read from a file at once; does not change any block.

    Attributes:
        sources: as given.
        digests: the size and hash of each source, complete once it has been read to its end.
        stored_bytes: how many bytes have been read so far, as stored.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shard_size: int,
        block_bytes: int = BLOCK_BYTES,
        *,
        limits: Limits = Limits(),  # noqa: B008 - it is immutable
        hints: Hints = Hints(),  # noqa: B008 - it is immutable
        read_bytes: int = READ_BYTES,
    ) -> None:
        self.sources = sources
        self.digests = [SourceDigest() for _ in sources]
        self.stored_bytes = 0
        self._limits = limits
        self._hints = hints
        self._read_bytes = read_bytes
        self._shards = Shards(shard_size, block_bytes)
        self._formats: set[str] = set()  # of the sources read so far

    def __iter__(self) -> Iterator[Block]:
        for index, source in enumerate(self.sources):
            with opened(source, self._limits) as file:
                stored, before = StoredStream(file, self._read_bytes), self.stored_bytes
                try:
                    plain = decompressed(stored, source.path, self._limits, self._read_bytes)
                    stream = self._stream(source, file, stored, plain)
                    # If the data is not compressed, only ``stream`` hashes it.
                    stored.is_hashing = plain is not stored
                    try:
                        for block in self.blocks_of(index, stream):
                            self.stored_bytes = before + max(stored.bytes, stream.disk_bytes)
                            yield block._replace(text_sha256=stream.hash.hexdigest())
                        if not stream.disk_bytes:
                            stored.drain()
                        size = file.seek(0, os.SEEK_END) if stream.disk_bytes else stored.bytes
                        sha256 = stored.hash.hexdigest() if plain is not stored else ""
                        digest = SourceDigest(size, sha256 or stream.file_sha256)
                    finally:
                        stream.close()
                except OSError as error:
                    raise read_error(source.path, error, stored.bytes) from error
            self.stored_bytes = before + digest.bytes
            self.digests[index] = digest
        self._check_hints()

    def _stream(
        self, source: Source, file: IO[bytes], stored: StoredStream, plain: Readable
    ) -> PlainStream:
        """Return the uncompressed bytes of a source."""
        is_on_disk = plain is stored and source.path != STDIN and _is_regular(file)
        on_disk = file if is_on_disk else None
        return PlainStream(plain, source.path, self._read_bytes, on_disk)

    @property
    def total_bytes(self) -> int | None:
        """The size of all sources as stored; None if one of them is a stream."""
        sizes = [size_of(source) for source in self.sources]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def blocks_of(self, index: int, stream: PlainStream) -> Iterator[Block]:
        """Yield the blocks of one source.

        Args:
            index: the number of the source.
            stream: its uncompressed bytes.
        """
        name = self._format_of(stream)
        self._formats.add(name)
        cut = Cutting(index, stream.path, self._shards, self._limits, self._hints)
        yield from FORMATS[name](stream, cut)

    def _format_of(self, stream: PlainStream) -> str:
        """Return the format of a source: a key of ``FORMATS``; take a byte order mark."""
        name = format_of(stream.peek(START_BYTES), stream.path, self._hints.delimiter)
        if name not in ("json", "csv"):
            return name
        if stream.peek(len(UTF8_MARK)) == UTF8_MARK:
            stream.skip(len(UTF8_MARK))
        if name == "csv":
            return name
        if self._hints.json_path:
            return "json-wrapped"
        return layout_of(stream, self._limits.line)

    def _check_hints(self) -> None:
        """Refuse a hint that concerned no source: it may have been meant for one."""
        if self._hints.delimiter and "csv" not in self._formats:
            raise UsageError("--delimiter is given, but no input is CSV. Remove the option.")
        if self._hints.json_path and "json-wrapped" not in self._formats:
            raise UsageError("--json-path is given, but no input is JSON. Remove the option.")


def _is_regular(file: IO[bytes]) -> bool:
    """Return True for a file on disk, which can be read in any order."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, AttributeError):  # a member of an archive has no file descriptor
        return False
