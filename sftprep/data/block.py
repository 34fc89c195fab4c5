"""A block: some MiB of whole records, with their place in the input.

The block is the unit of work. It knows its file, the line and byte offset of its first record and
the shard it belongs to, so that whatever becomes of a record can be reported with file and line.
"""

from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from sftprep.errors import RecordError


class Source(NamedTuple):
    """One input."""

    path: str  # as the user gave it or as it was found; "-" is standard input
    name: str  # what the manifest calls it: short, and without the folders above


class Element(NamedTuple):
    """Where an element of a JSON array lies: in its block's data, and in its file."""

    start: int
    end: int
    line: int
    column: int = 1


class Block(NamedTuple):
    """Some MiB of one source: whole records only."""

    source: int  # index into the sources
    shard: int
    line: int  # of the first record, counted from 1
    offset: int  # of the first byte of ``data``, in the uncompressed source
    data: bytes
    elements: tuple[Element, ...] | None = None  # of a JSON array; None for JSON Lines
    schema: str = ""  # set once the source's schema is known
    broken: RecordError | None = None  # the only record is too long, and ``data`` just its start
    until: str = ""  # SHA-256 of the source's text, uncompressed, to the end of this block

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
        return self.line + index, self.offset + _line_starts(self.data)[index]

    def located(self, index: int, error: RecordError) -> tuple[int, RecordError]:
        """The line of a fault in record ``index``, and the error with its column in that line."""
        line = self.place(index)[0] + error.row
        if self.elements is None or error.column is None or error.row:
            return line, error
        column = error.column + self.elements[index].column - 1
        return line, RecordError(error.reason, error.problem, error.cure, column)


@lru_cache(maxsize=1)
def _line_starts(data: bytes) -> list[int]:
    """Where each line begins; kept, since one block is asked for many of its lines."""
    return [0, *accumulate(len(line) + 1 for line in data.split(b"\n"))]
