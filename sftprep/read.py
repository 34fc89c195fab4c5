r"""Turn inputs into blocks: bytes only, nothing is parsed here.

In     files, globs, folders, or ``-`` for standard input; plain, gzip, zstd, bzip2 or xz (told by
       their first bytes, not by their names); JSON Lines, or one JSON array of objects.
Out    ``Block``s in input order: some MiB of whole records, with file, line and byte offset, and
       the number of the shard they belong to.
Keeps  every byte counted and hashed, as stored; only ``\n`` ends a line (U+2028 is text).
Never  a shorter success: compressed data that is cut off or damaged is a DataError.

A shard is a run of the input of about ``shard_size`` bytes (uncompressed), cut at the first line
end at or after that size. So which record lands in which shard depends on the input and
``shard_size`` alone: not on the size of blocks, not on workers, not on compression.
"""

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sftprep.errors import DataError, NoInputError, UsageError, shown
from sftprep.streams import READ_BYTES, Counted, Stream, decompressed, open_input, read_error

BLOCK_BYTES = 2 << 20
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
        found = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())  # noqa: PTH207 - absolute ones too
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
    """Iterate over the blocks of all sources; ``facts`` fills up as each is read to its end."""

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
            with open_input(source.path) as raw:
                counted, before = Counted(raw), self.stored
                try:
                    for block in self._blocks(index, Stream(decompressed(counted), source.path)):
                        self.stored = before + counted.bytes
                        yield block
                    counted.drain()
                except OSError as error:
                    raise read_error(source.path, error) from error
            self.facts[index] = SourceFacts(counted.bytes, counted.hash.hexdigest())

    @property
    def total(self) -> int | None:
        """The size of all sources as stored; None where one is a stream."""
        paths = [Path(source.path) for source in self.sources]
        return sum(p.stat().st_size for p in paths) if all(p.is_file() for p in paths) else None

    def _blocks(self, index: int, stream: Stream) -> Iterator[Block]:
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

    def _line_blocks(self, index: int, stream: Stream) -> Iterator[Block]:
        line = 1
        while True:
            offset = stream.offset
            data = stream.lines(self._target())
            if not data:
                return
            yield Block(index, self._take(len(data)), line, offset, data)
            line += data.count(b"\n")

    def _array_blocks(self, index: int, stream: Stream) -> Iterator[Block]:
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


ARRAY_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)


def _array_elements(stream: Stream) -> Iterator[tuple[bytes, int, int]]:
    """The elements of one JSON array, each with its byte offset and line.

    Only strings, brackets and commas are looked at: an element that is no JSON comes out as it
    stands and is refused where it is parsed.

    Raises:
        DataError: the array is not closed, or something follows it.
    """
    line, depth, position = 1, 0, 0
    begin: int | None = None  # of the element, in the buffer
    alone = True  # no element yet: an empty array is none, not a missing one
    while True:
        buffer = stream.buffered()
        for token in ARRAY_TOKEN.finditer(buffer, position):
            kind = buffer[token.start()]
            if kind == 0x22 and (token.end() == len(buffer)):
                break  # perhaps not the whole string yet
            position = token.end()
            if kind in b"[{":
                depth += 1
                if depth == 1:
                    begin = position
                    line += buffer.count(b"\n", 0, position)
            elif kind in b"]}":
                depth -= 1
            if depth == (0 if kind in b"]}" else 1) and kind in b",]}" and begin is not None:
                raw = buffer[begin : token.start()]
                lead = len(raw) - len(raw.lstrip(b" \t\r\n"))
                at_line = line + raw.count(b"\n", 0, lead)
                line += raw.count(b"\n")
                if kind == 0x2C or raw.strip() or not alone:
                    # An element that is missing comes out as what stands in its place: no JSON.
                    yield raw.strip() or b",", stream.offset + begin + lead, at_line
                alone = False
                begin = position
                if depth == 0:
                    if kind != 0x5D:
                        raise DataError(
                            f"{stream.path}:{line}: the JSON array that the file begins with is "
                            "closed by '}'. Correct the file."
                        )
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


def _check_end(stream: Stream, position: int, line: int) -> None:
    rest = stream.buffered()[position:]
    while not rest.strip() and stream.more():
        rest = stream.buffered()[position:]
    if rest.strip():
        found = rest.strip()[:40].decode(errors="replace")
        raise DataError(
            f"{stream.path}:{line}: text follows the end of the JSON array: {shown(found)}. "
            "A file holds one array, or one object a line."
        )
