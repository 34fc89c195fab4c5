"""CSV and TSV: text in which a delimiter separates cells, and a first row names the columns.

In     a ``PlainStream`` at the header; the delimiter. For workers: the text of whole rows.
Out    blocks of whole rows; ``decode`` returns the records of a block.
Keeps  every cell as it is written: ``007`` stays ``007``, and an empty cell is ``""``. A cell in
       quotes may hold delimiters, line ends and doubled quotes. Memory is bounded by the longest
       row that is allowed.
Never  guesses where a row ends. A quote that does not begin or end a cell makes the rest of the
       file unclear, so it is an error of the file, not of a row.
Raises DataError: such a quote, or one that is not closed; a line end that is a lone CR; a header
       with a name twice. A row with too few or too many cells is a ``RecordError``.
"""

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from sftprep.data.block import Block, Rows
from sftprep.data.conversation import Record
from sftprep.encoding_guess import guess_line_encoding
from sftprep.errors import DataError, RecordError
from sftprep.reading.endings import data_ending
from sftprep.reading.limits import MAX_COLUMNS
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream
from sftprep.text import number, shown

QUOTE, NEWLINE, RETURN = b'"', b"\n", b"\r"
QUOTED = re.compile(rb'(?:[^"]++|"")*+')
"""Matches what is inside quotes, up to the quote that ends the cell or may do so."""
OTHER_DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
"""Delimiters that a header with only one column suggests, and how to write each after the flag."""


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a CSV file."""
    delimiter = cut.hints.delimiter or ("\t" if data_ending(cut.path) == "tsv" else ",")
    rows = _Rows(stream, delimiter.encode(), cut)
    header = _header(rows, delimiter, cut)
    if header is None:
        return
    while True:
        row = rows.number
        data, count, length = rows.take(cut.shards.target())
        if not data:
            return
        is_long = length > cut.limits.line
        size = length + 1 if is_long else len(data)
        yield Block(
            cut.source,
            cut.shards.count(size),
            row,
            0,
            data,
            too_long=cut.too_long(length) if is_long else None,
            rows=Rows("csv", count, header, delimiter),
        )


def _header(rows: "_Rows", delimiter: str, cut: Cutting) -> tuple[str, ...] | None:
    """Take the header and return the names of the columns; None if there is no row at all."""
    data = b""
    while not data.strip():
        data, _, length = rows.take(1)
        if not data:
            return None
        if length > cut.limits.line:
            raise DataError(f"{cut.path}: {cut.too_long(length).problem}. It is the header.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        guess = guess_line_encoding(data)
        like = f" (it looks like {guess})" if guess else ""
        raise DataError(
            f"{cut.path}: the header is not valid UTF-8. Convert the file to UTF-8{like}."
        ) from error
    names = _parsed(text, delimiter)[0]
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{cut.path}: has {len(names):,} columns, and at most {MAX_COLUMNS:,} are read. Write "
            "the file again with the columns that are needed."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"{cut.path}: the header names the column {shown(twice)} twice. Correct it."
        )
    others = [flag for d, flag in OTHER_DELIMITERS.items() if d != delimiter and d in names[0]]
    if len(names) == 1 and others:
        raise DataError(
            f"{cut.path}: the header has one column, {shown(names[0])}. If another character "
            f"separates the columns, pass --delimiter {others[0]}."
        )
    rows.number = 1
    return tuple(names)


class _Rows:
    """Takes whole rows from a stream, and checks that their quotes are where they may be.

    Attributes:
        number: of the next row; the header is row 0.
    """

    def __init__(self, stream: PlainStream, delimiter: bytes, cut: Cutting) -> None:
        self.number = 0
        self._stream = stream
        self._delimiter = delimiter
        self._path = cut.path
        self._longest = cut.limits.line
        self._kept = cut.kept

    def take(self, target: int) -> tuple[bytes, int, int]:
        """Take whole rows: up to the first row end at or after ``target`` bytes, or the rest.

        Args:
            target: take at least this many bytes, unless the file ends earlier.

        Returns:
            The rows, their number, and the length of the longest one as far as it matters: if it
            is over the limit, the result is the start of this row alone.
        """
        stream = self._stream
        end, is_whole = self._row_end(target)
        if end > self._longest:
            end, is_whole = self._before_long_row(end, is_whole)
            if not end:
                return self._take_long_row()
        if not is_whole:
            self._refuse_open_quote(self.number + self._count(stream.buffer[:end]) - 1)
        data = stream.take(end)
        count = self._count(data)
        self.number += count
        return data, count, 0

    def _row_end(self, target: int) -> tuple[int, bool]:
        """Find the end of a row at or after ``target`` bytes; read more until it is found.

        Returns:
            The position in the buffer after the row, and True; the end of the file counts as a row
            end if no quote is open there. Or a position over the limit or at the end of the file
            at which a row is not complete, and False.
        """
        buffer, more = self._stream.buffer, self._stream.more
        counted = 0  # quotes before this position are counted
        is_open = False
        search = max(0, target - 1)
        while True:
            if is_open:
                position = buffer.find(QUOTE, counted)
            else:
                position = buffer.find(NEWLINE, max(search, counted))
            if position >= 0:
                if is_open:
                    is_open, counted = False, position + 1
                    continue
                is_open ^= bool(buffer.count(QUOTE, counted, position) & 1)
                counted = position
                if not is_open:
                    return position + 1, True
                continue
            known = len(buffer)
            if not is_open:
                is_open ^= bool(buffer.count(QUOTE, counted, known) & 1)
            counted = known
            if known > self._longest + max(0, target):
                return known, False
            if not more():
                return known, not is_open

    def _before_long_row(self, end: int, is_whole: bool) -> tuple[int, bool]:
        """Return where the first row over the limit begins, which ends a block before it.

        Args:
            end: the position up to which rows are looked at.
            is_whole: whether a row ends there.

        Returns:
            ``end`` and ``is_whole`` if no row is too long.
        """
        buffer, begin, is_open, position = self._stream.buffer, 0, False, 0
        while position < end:
            newline = buffer.find(NEWLINE, position, end)
            stop = end if newline < 0 else newline
            is_open ^= bool(buffer.count(QUOTE, position, stop) & 1)
            if not is_open or newline < 0:
                if stop - begin > self._longest:
                    return begin, True
                begin = stop + 1
            position = stop + 1
        if end - begin > self._longest:  # a quoted line end is the last byte
            return begin, True
        return end, is_whole

    def _take_long_row(self) -> tuple[bytes, int, int]:
        """Take a row that is over the limit, without holding it in memory."""
        stream, row = self._stream, self.number
        kept, begin = stream.peek(self._kept), stream.offset
        before = b""  # the last byte that was taken
        while True:
            quote, newline = stream.buffer.find(QUOTE), stream.buffer.find(NEWLINE)
            if newline >= 0 and not 0 <= quote < newline:
                length = stream.offset + newline - begin
                stream.skip(newline + 1)
                break
            if quote >= 0:
                if (before + stream.take(quote))[-1:] not in (b"", self._delimiter):
                    self._refuse_quote(row)
                self._skip_quoted(row)
                before = QUOTE
                continue
            before = bytes(stream.buffer[-1:]) or before
            stream.skip(len(stream.buffer))
            if not stream.more():
                length = stream.offset - begin
                break
        self.number += 1
        return kept, 1, length

    def _skip_quoted(self, row: int) -> None:
        """Take a cell in quotes, which begins here."""
        stream = self._stream
        stream.skip(1)
        while True:
            inside = QUOTED.match(stream.buffer)
            end = inside.end() if inside else 0
            if end + 1 < len(stream.buffer):
                if stream.buffer[end + 1 : end + 2] not in (self._delimiter, NEWLINE, RETURN):
                    self._refuse_quote(row)
                break
            stream.skip(end)
            if not stream.more():
                if not stream.buffer:
                    self._refuse_open_quote(row)
                end = 0
                break
        stream.skip(end + 1)

    def _count(self, data: bytes | bytearray) -> int:
        """Return the number of rows in some rows, and check their quotes and line ends.

        Args:
            data: rows; the last one may end without a line end, and with an open quote.
        """
        parts = data.split(QUOTE)
        is_open = len(parts) % 2 == 0
        outside = parts[::2]  # what is not in quotes; empty between the two of a doubled quote
        text = data
        if len(parts) > 1:
            self._check_quotes(outside, is_open=is_open)
            text = b"".join(outside)
        if RETURN in text and self._has_lone_return(text, outside):
            place = f"row {self.number} or later" if self.number else "the header"
            raise DataError(
                f"{self._path}: {place}: a line ends with CR alone. Write the file with LF or "
                "CRLF, and put cells that hold CR in quotes."
            )
        is_cut = is_open or (bool(data) and not data.endswith(NEWLINE))
        return text.count(NEWLINE) + is_cut

    def _check_quotes(self, outside: Sequence[bytes | bytearray], *, is_open: bool) -> None:
        """Check that each quote begins or ends a cell, or is doubled inside one.

        Args:
            outside: the texts that are not in quotes.
            is_open: whether a quote follows the last of them too.
        """
        first, last = (self._delimiter, NEWLINE, RETURN), (self._delimiter, NEWLINE)
        row, end = self.number, len(outside) - (not is_open)
        for index, part in enumerate(outside):
            if part and index and part[:1] not in first:
                self._refuse_quote(row)
            row += part.count(NEWLINE)
            if part and index < end and part[-1:] not in last:
                self._refuse_quote(row)

    @staticmethod
    def _has_lone_return(text: bytes | bytearray, outside: Sequence[bytes | bytearray]) -> bool:
        """Return True if a CR outside of quotes is not followed by LF."""
        if text.count(RETURN) != text.count(b"\r\n"):
            return True
        return any(part.endswith(RETURN) for part in outside[:-1])

    def _refuse_quote(self, row: int) -> NoReturn:
        raise DataError(
            f"{self._path}: {_row(row)}: a quote is neither at the start nor at the end of its "
            "cell; perhaps a quote before it is missing. Put the cell in quotes and double the "
            "quotes inside it."
        )

    def _refuse_open_quote(self, row: int) -> NoReturn:
        raise DataError(
            f"{self._path}: {_row(row)}: a cell begins with a quote and is not closed up to the "
            "end of the file. Close it."
        )


def _row(row: int) -> str:
    return f"row {row}" if row else "the header"


def _parsed(text: str, delimiter: str) -> list[list[str]]:
    """Parse rows that ``_Rows`` has checked."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    finally:
        csv.field_size_limit(limit)


class Decoded(NamedTuple):
    """The records of a block."""

    records: list[Record | RecordError | None]  # None for a blank line
    bad: dict[int, bytes]  # for each bad row, its index and its text


def decode(data: bytes, rows: Rows) -> Decoded:
    """Return the records of a block."""
    records = _decode_fast(data, rows)
    return decode_slowly(data, rows) if records is None else Decoded(records, {})


def _decode_fast(data: bytes, rows: Rows) -> list[Record | RecordError | None] | None:
    """Return the records of a block with Arrow's parser; None if any line may be bad or blank."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [str(index) for index in range(len(rows.header))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=rows.delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows.records:
        return None
    header = rows.header
    columns = [column.to_pylist() for column in table.columns]
    return [dict(zip(header, row, strict=True)) for row in zip(*columns, strict=True)]


def decode_slowly(data: bytes, rows: Rows) -> Decoded:
    """Return the records of a block with Python's parser, and say what is wrong with each."""
    try:
        text, is_valid = data.decode(), True
    except UnicodeDecodeError:
        text, is_valid = data.decode(errors="surrogateescape"), False
    found = Decoded([], {})
    for index, cells in enumerate(_parsed(text, rows.delimiter)):
        error = _problem(cells, rows.header, is_valid=is_valid)
        if error is not None:
            found.records.append(error)
            found.bad[index] = _written(cells, rows.delimiter)
        else:
            found.records.append(dict(zip(rows.header, cells, strict=True)) if cells else None)
    return found


def slices(data: bytes, rows: Rows) -> Iterator[bytes]:
    """Divide the text of rows into rows."""
    for cells in _parsed(data.decode(errors="surrogateescape"), rows.delimiter):
        yield _written(cells, rows.delimiter)


def _written(cells: Sequence[str], delimiter: str) -> bytes:
    """Return a row as text; a blank line if it has no cells."""
    row = io.StringIO()
    csv.writer(row, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return row.getvalue().encode(errors="surrogateescape")


def _problem(cells: Sequence[str], header: Sequence[str], *, is_valid: bool) -> RecordError | None:
    """Return what is wrong with a row; None if nothing is.

    Args:
        cells: its cells; none for a blank line.
        header: the names of the columns.
        is_valid: whether all cells are known to be valid UTF-8.
    """
    for index, cell in enumerate(cells if not is_valid else ()):
        try:
            cell.encode()
        except UnicodeEncodeError:
            guess = guess_line_encoding(cell.encode(errors="surrogateescape"))
            name = shown(header[index]) if index < len(header) else f"{index + 1}"
            return RecordError(
                "invalid_utf8",
                f"column {name} is not valid UTF-8",
                f"Convert the file to UTF-8{f' (it looks like {guess})' if guess else ''}",
            )
    if not cells or len(cells) == len(header):
        return None
    return RecordError(
        "wrong_columns",
        f"the row has {number(len(cells), 'cell')}; the header has {number(len(header), 'column')}",
    )
