"""Turn inputs into blocks: bytes only, nothing is parsed here.

In     files, globs, folders, or ``-`` for standard input; plain, gzip, zstd, bzip2 or xz (told by
       their first bytes, not by their names); JSON Lines, or one JSON array of objects.
Out    ``Block``s in input order: some MiB of whole records, with file, line and byte offset, and the
       number of the shard they belong to.
Keeps  every byte counted and hashed, as stored; only ``\\n`` ends a line (U+2028 is text).
Never  a shorter success: compressed data that is cut off or damaged is a DataError.

A shard is a run of the input of about ``shard_size`` bytes (uncompressed), cut at the first line end
at or after that size. So which record lands in which shard depends on the input and ``shard_size``
alone: not on the size of blocks, not on workers, not on compression.
"""

import glob
import hashlib
import io
import lzma
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from sftprep.errors import DataError, NoInputError, StorageError, UsageError, shown

BLOCK_BYTES = 2 << 20
READ_BYTES = 1 << 20
ENDINGS = re.compile(r"\.(jsonl|json|ndjson)(\.(gz|zst|bz2|xz))?$", re.IGNORECASE)
BOM = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16 (little endian)", b"\xfe\xff": "UTF-16 (big endian)"}


class Source(NamedTuple):
    """One input."""

    path: str  # as the user gave it or as it was found; "-" is standard input
    name: str  # what the manifest calls it: short, and without the folders above


class Block(NamedTuple):
    """Some MiB of one source: whole records only."""

    source: int  # index into the sources
    shard: int
    line: int  # of the first record, counted from 1
    offset: int  # of the first byte of ``data``, in the uncompressed source
    data: bytes
    elements: tuple["Element", ...] | None = None  # of a JSON array; None for JSON Lines
    schema: str = ""  # set once the source's schema is known

    def lines(self) -> list[bytes]:
        """The records' bytes; blank lines included, the line end not."""
        if self.elements is not None:
            return [self.data[e.start : e.end] for e in self.elements]
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines

    def place(self, index: int) -> tuple[int, int]:
        """Line and byte offset of record ``index``."""
        if self.elements is not None:
            element = self.elements[index]
            return element.line, self.offset + element.start
        return self.line + index, self.offset + sum(len(x) + 1 for x in self.lines()[:index])


class Element(NamedTuple):
    """Where an element of a JSON array lies in its block's data."""

    start: int
    end: int
    line: int


@dataclass
class SourceFacts:
    """What was read of one source: complete once the last of its blocks has been handed out."""

    bytes: int = 0  # as stored: compressed bytes of a compressed file
    sha256: str = ""


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Resolve files, globs and folders to sources, in the order given; folders and globs sorted.

    Raises:
        NoInputError: an input does not exist, or a folder or glob holds no JSON file.
        UsageError: the same file is given twice.
    """
    paths = [path for text in inputs for path in _expand(text)]
    seen: dict[str, str] = {}
    for path in paths:
        real = path if path == "-" else str(Path(path).resolve())
        if real in seen:
            raise UsageError(
                f"{path}: is the same file as {seen[real]}, and its records would count twice. "
                "Name it once."
            )
        seen[real] = path
    return [Source(path, name) for path, name in zip(paths, _short_names(paths), strict=True)]


def _expand(text: str) -> list[str]:
    path = Path(text)
    if text == "-" or path.is_file() or path.is_fifo() or path.is_char_device():
        return [text]
    if path.is_dir():
        found = sorted(str(p) for p in path.rglob("*") if ENDINGS.search(p.name) and p.is_file())
        kinds = ".jsonl, .json and .ndjson, also with .gz, .zst, .bz2 or .xz"
        if not found:
            raise NoInputError(f"{text}: no data file in this folder. Looked for {kinds}.")
        return found
    if glob.has_magic(text):
        found = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())
        if not found:
            raise NoInputError(f"{text}: no file matches. Check the pattern and the folder.")
        return found
    raise NoInputError(f"{text}: no such file or folder. Check the path; - reads standard input.")


def _short_names(paths: list[str]) -> list[str]:
    """The shortest ends of the paths that tell them apart.

    >>> _short_names(["/x/a/train.jsonl", "/x/b/train.jsonl", "/x/b/dev.jsonl"])
    ['a/train.jsonl', 'b/train.jsonl', 'b/dev.jsonl']
    >>> _short_names(["/x/a/train.jsonl", "-"])
    ['train.jsonl', 'stdin']
    """
    parts = [("stdin",) if p == "-" else Path(p).resolve().parts for p in paths]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return ["/".join(p[-depth:]) for p in parts]


class BlockReader:
    """Iterate over the blocks of all sources; ``facts`` fills up as sources are read to their end."""

    def __init__(
        self, sources: Sequence[Source], shard_size: int, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.sources = sources
        self.facts = [SourceFacts() for _ in sources]
        self.stored = 0  # bytes taken from storage so far
        self._shard_size = shard_size
        self._block_bytes = block_bytes
        self._shard = 0
        self._used = 0  # bytes in the current shard

    def __iter__(self) -> Iterator[Block]:
        for index, source in enumerate(self.sources):
            with _open(source.path) as raw:
                counted, before = _Counted(raw), self.stored
                try:
                    for block in self._blocks(index, _Stream(_decompressed(counted), source.path)):
                        self.stored = before + counted.bytes
                        yield block
                    counted.drain()
                except OSError as error:
                    raise _read_error(source.path, error) from error
            self.facts[index] = SourceFacts(counted.bytes, counted.hash.hexdigest())

    @property
    def total(self) -> int | None:
        """The size of all sources as stored; None where one is a stream."""
        paths = [Path(source.path) for source in self.sources]
        return sum(p.stat().st_size for p in paths) if all(p.is_file() for p in paths) else None

    def _blocks(self, index: int, stream: "_Stream") -> Iterator[Block]:
        start = stream.peek(4)
        for mark, name in OTHER_ENCODINGS.items():
            if start.startswith(mark):
                raise DataError(f"{stream.path}: the file is {name}. Convert it to UTF-8.")
        if start.startswith(BOM):
            stream.skip(len(BOM))
        if stream.first_byte() == b"[":
            yield from self._array_blocks(index, stream)
        else:
            yield from self._line_blocks(index, stream)

    def _target(self) -> int:
        return min(self._block_bytes, self._shard_size - self._used)

    def _take(self, size: int) -> int:
        """Book ``size`` bytes; return the shard they belong to."""
        shard = self._shard
        self._used += size
        if self._used >= self._shard_size:
            self._shard += 1
            self._used = 0
        return shard

    def _line_blocks(self, index: int, stream: "_Stream") -> Iterator[Block]:
        line = 1
        while True:
            offset = stream.offset
            data = stream.lines(self._target())
            if not data:
                return
            yield Block(index, self._take(len(data)), line, offset, data)
            line += data.count(b"\n")

    def _array_blocks(self, index: int, stream: "_Stream") -> Iterator[Block]:
        data: list[bytes] = []
        elements: list[Element] = []
        line = offset = end = weight = 0
        for raw, at, on_line in _array_elements(stream):
            if not elements:
                line, offset, end, weight = on_line, at, 0, 0
            start = at - offset
            data.append(b" " * (start - end) + raw)  # what lies between elements does not matter
            end = start + len(raw)
            elements.append(Element(start, end, on_line))
            weight += len(raw) + 1  # as if it were a line
            if weight >= self._target():
                shard = self._take(weight)
                yield Block(index, shard, line, offset, b"".join(data), tuple(elements))
                data, elements = [], []
        if elements:
            shard = self._take(weight)
            yield Block(index, shard, line, offset, b"".join(data), tuple(elements))


class _Stream:
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
        while len(self._buffer) < size and self._fill():
            pass
        return self._buffer[:size]

    def skip(self, size: int) -> None:
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
        return self._buffer

    def more(self) -> bool:
        return self._fill()


ARRAY_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)


def _array_elements(stream: _Stream) -> Iterator[tuple[bytes, int, int]]:
    """The elements of one JSON array, each with its byte offset and line.

    Only strings, brackets and commas are looked at: an element that is no JSON comes out as it
    stands and is refused where it is parsed.

    Raises:
        DataError: the array is not closed, or something follows it.
    """
    line, depth, position = 1, 0, 0
    begin: int | None = None  # of the element, in the buffer
    while True:
        buffer = stream.buffered()
        for token in ARRAY_TOKEN.finditer(buffer, position):
            kind = buffer[token.start()]
            if kind == 0x22 and (token.end() == len(buffer)):
                break  # perhaps not the whole string yet
            position = token.end()
            if kind in b"[{":
                depth += 1
                begin = position if depth == 1 else begin
            elif kind in b"]}":
                depth -= 1
            if depth == (0 if kind in b"]}" else 1) and kind in b",]}" and begin is not None:
                raw = buffer[begin : token.start()]
                lead = len(raw) - len(raw.lstrip(b" \t\r\n"))
                at_line = line + raw.count(b"\n", 0, lead)
                line += raw.count(b"\n")
                if kind == 0x2C or raw.strip():
                    yield raw.strip(), stream.offset + begin + lead, at_line
                begin = position
                if depth == 0:
                    _check_end(stream, position, line)
                    return
        if begin is not None and begin > READ_BYTES:
            stream.skip(begin)
            position, begin = position - begin, 0
        if not stream.more():
            raise DataError(
                f"{stream.path}:{line}: the JSON array that the file begins with is not closed. "
                "Check that the file is whole; JSON Lines must not begin with '['."
            )


def _check_end(stream: _Stream, position: int, line: int) -> None:
    rest = stream.buffered()[position:]
    while not rest.strip() and stream.more():
        rest = stream.buffered()[position:]
    if rest.strip():
        found = rest.strip()[:40].decode(errors="replace")
        raise DataError(
            f"{stream.path}:{line}: text follows the end of the JSON array: {shown(found)}. "
            "A file holds one array, or one object a line."
        )


class _Counted(io.RawIOBase):
    """Count and hash what is read of a file, before decompression."""

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self.raw = raw
        self.bytes = 0
        self.hash = hashlib.sha256()
        self._pushed = b""

    def readable(self) -> bool:
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
        if self._pushed:
            data, self._pushed = self._pushed, b""
            return data
        return self._next(size if size >= 0 else READ_BYTES)

    def drain(self) -> None:
        """Read what the decompressor left, so that the hash is the whole file's."""
        while self._next(READ_BYTES):
            pass


def _open(path: str) -> IO[bytes]:
    try:
        if path == "-":
            return sys.stdin.buffer
        return open(path, "rb")  # noqa: PTH123, SIM115 - the caller closes it
    except OSError as error:
        raise _read_error(path, error) from error


def _read_error(path: str, error: OSError) -> StorageError | DataError:
    # Arrow reports damaged compressed data as an OSError without a number.
    if error.errno is None:
        return DataError(
            f"{path}: the compressed data is damaged or cut off ({error}). Fetch the file again."
        )
    return StorageError(f"{path}: cannot be read: {error.strerror}. Check the file and its rights.")


def _decompressed(raw: _Counted) -> IO[bytes]:
    magic = raw.start(6)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return _Xz(raw)  # Arrow has no xz
    names = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
    for start, name in names.items():
        if magic.startswith(start):
            import pyarrow as pa

            # closes nothing: the file belongs to the caller
            return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), name)  # type: ignore[no-any-return]
    return raw  # type: ignore[return-value]


class _Xz(io.RawIOBase):
    """Read concatenated xz streams; unlike ``lzma.open`` it refuses garbage behind the last one."""

    def __init__(self, raw: _Counted) -> None:
        super().__init__()
        self._raw = raw
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)

    def read(self, size: int = -1, /) -> bytes:
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
