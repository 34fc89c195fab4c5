"""A block, the unit of work: a few MiB of whole records, with their position in the input.

A block knows its file, the place of its first record, and its shard. Every message about a record
can therefore name its file and place: the line in a file of JSON, the row in a table.
"""

from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from typing import NamedTuple

from sftprep.errors import RecordError


class Source(NamedTuple):
    """One input file or stream."""

    path: str  # as the user gave it, or as it was found in a folder; "-" is standard input
    name: str  # in the manifest: the file name, with parent folders only if it is not unique
    member: str = ""  # of an archive: the name of the file in it; then ``path`` is ARCHIVE::MEMBER

    @property
    def file(self) -> str:
        """The path of the file on disk; of a member, that of its archive."""
        return self.path.removesuffix(f"::{self.member}") if self.member else self.path


class Element(NamedTuple):
    """The position of one element of a JSON array."""

    start: int  # byte position in the block's data
    end: int
    line: int  # in the file, from 1
    column: int = 1  # in characters, from 1


class Rows(NamedTuple):
    """How the data of a block holds the rows of a table."""

    form: str  # how ``data`` is parsed: a key of ``reading.parsing.FORMS``
    records: int  # how many rows ``data`` holds
    header: tuple[str, ...] = ()  # of CSV: the names of the columns
    delimiter: str = ""  # of CSV: what separates the cells of a row


class Block(NamedTuple):
    """A few MiB of one source; whole records only."""

    source: int  # index into the list of sources
    shard: int  # the number of the shard, from 0
    line: int  # of the first record, from 1; in a table, the number of its row
    offset: int  # of the first byte of ``data``, in the uncompressed source; 0 in a table
    data: bytes
    elements: tuple[Element, ...] | None = None  # of a JSON array; None for JSON Lines
    schema: str = ""  # set once the source's schema is known
    too_long: RecordError | None = None  # set if ``data`` is the start of a too long record
    text_sha256: str = ""  # of the uncompressed source from its start to the end of this block
    rows: Rows | None = None  # set if the source is a table, such as a Parquet file

    @property
    def records(self) -> int:
        """The number of records, including blank lines."""
        return len(self.lines()) if self.rows is None else self.rows.records

    def lines(self) -> list[bytes]:
        """Return the bytes of each record, without line ends; blank lines are included.

        Call this only for JSON: the records of a table have no bytes of their own.
        """
        if self.elements is not None:
            return [self.data[e.start : e.end] for e in self.elements]
        # Much faster than ``split``, which looks at every byte by itself.
        return [line.rstrip(b"\n") for line in BytesIO(self.data)]

    def place(self, index: int) -> tuple[int, int | None]:
        """Return the line and the byte offset at which record ``index`` begins.

        In a table this is the number of the row, and None.
        """
        if self.rows is not None:
            return self.line + index, None
        if self.elements is not None:
            element = self.elements[index]
            return element.line, self.offset + element.start
        return self.line + index, self.offset + _line_starts(self.data)[index]

    def located(self, index: int, error: RecordError) -> tuple[int, RecordError]:
        """Return the line of an error in record ``index``, and the error with that line's column.

        Args:
            index: the record's number in the block.
            error: what is wrong with it; its row and column count from the start of the record.

        Returns:
            In a table, the number of the row, and the error.
        """
        if self.rows is not None:
            return self.line + index, error
        line = self.place(index)[0] + error.row
        if self.elements is None or error.column is None or error.row:
            return line, error
        column = error.column + self.elements[index].column - 1
        return line, RecordError(error.reason, error.problem, error.cure, column)


def place_in(path: str, line: int, offset: int | None = 0) -> str:
    """Return a place in words.

    Args:
        path: the path or the name of the file.
        line: the line, or the number of the row, as ``Block.place`` returns it.
        offset: the byte offset; None if ``line`` is the number of a row.

    >>> place_in("a.jsonl", 7, 100), place_in("a.parquet", 7, None)
    ('a.jsonl:7', 'a.parquet: row 7')
    """
    return f"{path}: row {line}" if offset is None else f"{path}:{line}"


@lru_cache(maxsize=1)  # a block's records are looked up one after the other
def _line_starts(data: bytes) -> list[int]:
    """Return the position at which each line begins."""
    return [0, *accumulate(len(line) + 1 for line in data.split(b"\n"))]
