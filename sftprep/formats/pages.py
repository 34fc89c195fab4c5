"""The bytes of a Parquet file whose columns are lists of integers.

In     groups of rows: the values of each column, flat, and the offsets of its rows.
Out    the parts of the file: for each group its pages, and at the end the footer. Each column of a
       group is one page (version 1, plain encoding, compressed with zstd), without dictionary and
       statistics.
Keeps  a page's bytes the same for the same values. Makes no Python object for a row or a value.
Raises OverflowError: a page would be larger than the format allows, 2 GiB.

Arrow writes such files too, but it goes through all values of a column several times to find where
the rows begin and that no value is missing, which takes longer than the compression. Here both are
known: the offsets say where rows begin, and nothing is missing.

The columns have the form in which Arrow writes lists by default, so readers see no difference::

    optional group NAME (LIST) { repeated group list { optional int32 element; } }

In this form a value has two levels. The repetition level is 0 for the first value of a row and 1
for the others. The definition level is 3, as each value is there; an empty row has one entry, which
has no value and the level 1. Levels are stored as runs of equal numbers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.columns import Columns, ListColumn, rows_in
from sftprep.data.ragged import Offsets, ragged_index
from sftprep.formats.thrift import (
    Field,
    byte,
    flag,
    i32,
    i64,
    listed,
    struct,
    text,
    varint,
)

MAGIC = b"PAR1"
LEVEL = 3
"""The level of zstd. From the next one on, compression takes much longer."""
MOST_BYTES = 2**31 - 1
"""The largest page: its size is a number of 32 bits."""
CREATED_BY = "sftprep"

# Numbers of the format, see parquet.thrift.
_INT32 = 1
_PLAIN, _RLE = 0, 3
_ZSTD = 6
_OPTIONAL, _REPEATED = 1, 2
_AS_LIST, _AS_INT8 = 3, 15
_DATA_PAGE = 0
_EMPTY, _FILLED = 1, 3  # definition levels
_BITS = {np.dtype(np.int8): 8, np.dtype(np.int32): 32}


class _Chunk(NamedTuple):
    """A column of a group in the file."""

    at: int  # where its page begins
    entries: int  # values, and one for each empty row
    plain: int  # the size of the page and its header before compression
    stored: int  # and after it


class _Group(NamedTuple):
    rows: int
    at: int
    chunks: list[_Chunk]


class Pages:
    """Makes the parts of one file, in order."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._codec = pa.Codec("zstd", LEVEL)
        self._kinds: dict[str, np.dtype[Any]] = {}
        self._groups: list[_Group] = []
        self._size = 0
        self._page = np.empty(0, np.uint8)  # memory that all pages use, one after the other

    def group(self, columns: Columns) -> Iterator[Any]:
        """Yield the bytes of a group of rows; they follow those that were made before.

        Args:
            columns: the columns of the rows: the same names and dtypes in each group.
        """
        if not self._groups:
            self._kinds = {name: column.values.dtype for name, column in columns.items()}
            yield self._counted(MAGIC)
        at, chunks = self._size, []
        for column in columns.values():
            start = self._size
            body, entries = self._body(column)
            compressed = self._codec.compress(body, asbytes=False)
            header = _header(entries, body.nbytes, compressed.size)
            yield self._counted(header)
            yield self._counted(compressed)
            chunks.append(
                _Chunk(start, entries, len(header) + body.nbytes, len(header) + compressed.size)
            )
        self._groups.append(_Group(rows_in(columns), at, chunks))

    def footer(self) -> bytes:
        """Return the end of the file."""
        rows = sum(group.rows for group in self._groups)
        groups = list(map(self._described, self._groups))
        footer = struct(
            {
                1: i32(2),
                2: listed(list(_schema(self._kinds))),
                3: i64(rows),
                4: listed(groups),
                6: text(CREATED_BY),
            }
        ).data
        return footer + len(footer).to_bytes(4, "little") + MAGIC

    def _counted(self, data: Any) -> Any:
        self._size += len(data)
        return data

    def _body(self, column: ListColumn) -> tuple[memoryview, int]:
        """Return the page of a column before compression, and the number of its entries."""
        repetition, definition, entries = _levels(column.offsets)
        head = b"".join(
            part
            for levels in (repetition, definition)
            for part in (len(levels).to_bytes(4, "little"), levels)
        )
        values = column.values
        size = len(head) + 4 * len(values)
        if size > MOST_BYTES:
            raise OverflowError(
                f"{rows_in({'': column}):,} rows with {len(values):,} values do not fit into a "
                "page of a Parquet file. Use another --format."
            )
        if len(self._page) < size + 4:
            self._page = np.empty(size + (size >> 3) + 4, np.uint8)
        # The page begins where its values lie at a multiple of their size.
        start = -len(head) % 4
        place = start + len(head)
        self._page[start:place] = np.frombuffer(head, np.uint8)
        self._page[place : place + 4 * len(values)].view("<i4")[...] = values
        return self._page[start : place + 4 * len(values)].data, entries

    def _described(self, group: _Group) -> Field:
        chunks = [
            struct({2: i64(0), 3: _described(name, chunk)})
            for name, chunk in zip(self._kinds, group.chunks, strict=True)
        ]
        return struct(
            {
                1: listed(chunks),
                2: i64(sum(chunk.plain for chunk in group.chunks)),
                3: i64(group.rows),
                5: i64(group.at),
                6: i64(sum(chunk.stored for chunk in group.chunks)),
            }
        )


def _described(name: str, chunk: _Chunk) -> Field:
    return struct(
        {
            1: i32(_INT32),
            2: listed([i32(_PLAIN), i32(_RLE)]),
            3: listed([text(name), text("list"), text("element")]),
            4: i32(_ZSTD),
            5: i64(chunk.entries),
            6: i64(chunk.plain),
            7: i64(chunk.stored),
            9: i64(chunk.at),
        }
    )


def _schema(kinds: Mapping[str, "np.dtype[Any]"]) -> Iterator[Field]:
    """Yield the elements of the schema: the root, and three for each column."""
    yield struct({4: text("schema"), 5: i32(len(kinds))})
    for name, kind in kinds.items():
        as_list = struct({3: struct({})})
        yield struct({3: i32(_OPTIONAL), 4: text(name), 5: i32(1), 6: i32(_AS_LIST), 10: as_list})
        yield struct({3: i32(_REPEATED), 4: text("list"), 5: i32(1)})
        element = {1: i32(_INT32), 3: i32(_OPTIONAL), 4: text("element")}
        if _BITS[kind] == 8:
            signed = struct({1: byte(8), 2: flag(True)})
            element |= {6: i32(_AS_INT8), 10: struct({10: signed})}
        yield struct(element)


def _header(entries: int, plain: int, stored: int) -> bytes:
    page = struct({1: i32(entries), 2: i32(_PLAIN), 3: i32(_RLE), 4: i32(_RLE)})
    return struct({1: i32(_DATA_PAGE), 2: i32(plain), 3: i32(stored), 5: page}).data


def _levels(offsets: Offsets) -> tuple[bytes, bytes, int]:
    """Return the repetition levels and the definition levels of rows, and how many there are."""
    lengths = np.diff(offsets)
    entries = np.maximum(lengths, 1)
    # Each row is a 0 and then, if it is longer than 1, a run of ones.
    counts = np.ones((len(entries), 2), np.int64)
    counts[:, 1] = entries - 1
    repetition = _runs(np.tile(np.array([0, 1], np.uint8), len(entries)), counts.reshape(-1))
    if lengths.all():
        total = int(entries.sum())
        return repetition, varint(total << 1) + bytes([_FILLED]) if total else b"", total
    levels = np.where(lengths > 0, _FILLED, _EMPTY).astype(np.uint8)
    return repetition, _runs(levels, entries), int(entries.sum())


def _runs(levels: npt.NDArray[np.uint8], counts: Offsets) -> bytes:
    """Return runs of equal levels; a run that has no level is left out.

    A run is twice its length, seven bits a byte with the lowest first, and a byte for its level.

    >>> _runs(np.array([0, 1, 0], np.uint8), np.array([1, 300, 0])).hex(" ")
    '02 00 d8 04 01'
    """
    kept = counts > 0
    levels, heads = levels[kept], counts[kept] << 1
    sizes = np.ones(len(heads), np.int64)  # bytes of the length
    for bits in range(7, 63, 7):
        if not (more := heads >= 1 << bits).any():
            break
        sizes += more
    ends = np.cumsum(sizes + 1)
    found = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    found[ends - 1] = levels
    places = ragged_index(ends - 1 - sizes, sizes)
    number = ragged_index(np.zeros_like(sizes), sizes)  # of each byte of a length
    bytes_ = (np.repeat(heads, sizes) >> (7 * number)) & 0x7F
    bytes_ |= (number < np.repeat(sizes, sizes) - 1) << 7
    found[places] = bytes_
    return found.tobytes()
