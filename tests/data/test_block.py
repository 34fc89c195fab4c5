"""A block and the places of its records."""

import pytest

from sftprep.data.block import Block, Element
from sftprep.errors import RecordError

LINES = Block(source=0, shard=0, line=7, offset=100, data="价\n\nb\r\nc".encode())
ARRAY = Block(
    source=0, shard=0, line=7, offset=100, data=b"{1}  {2\n}",
    elements=(Element(0, 3, 7, 4), Element(5, 9, 8, 1)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a\n", [b"a"]),
        (b"a", [b"a"]),
        (b"a\n\n", [b"a", b""]),
        (b"a\r\nb\n", [b"a\r", b"b"]),
        ("a\u2028b\n".encode(), ["a\u2028b".encode()]),
    ],
)
def test_lines(data: bytes, expected: list[bytes]) -> None:
    """Only a newline ends a line, and blank lines are lines."""
    assert Block(0, 0, 1, 0, data).lines() == expected


def test_elements_of_an_array() -> None:
    """The records of an array are the bytes at their elements' places."""
    assert ARRAY.lines() == [b"{1}", b"{2\n}"]


def test_places_of_lines() -> None:
    """Lines are counted from the block's first line, offsets in bytes from its first byte."""
    assert [LINES.place(i) for i in range(4)] == [(7, 100), (8, 104), (9, 105), (10, 108)]


def test_places_of_elements() -> None:
    """An element has the line of the file on which it begins."""
    assert [ARRAY.place(i) for i in range(2)] == [(7, 100), (8, 105)]


@pytest.mark.parametrize(
    ("block", "index", "row", "column", "expected"),
    [
        (LINES, 2, 0, 5, (9, 5)),
        (LINES, 2, 0, None, (9, None)),
        (ARRAY, 0, 0, 2, (7, 5)),  # the element begins in column 4
        (ARRAY, 0, 0, None, (7, None)),
        (ARRAY, 1, 1, 2, (9, 2)),  # on a later line of the element, columns are the line's own
    ],
)
def test_located(
    block: Block, index: int, row: int, column: int | None, expected: tuple[int, int | None]
) -> None:
    """An error's row and column in the record become the line and column in the file."""
    error = RecordError("reason", "problem", "cure", column, row)
    line, located = block.located(index, error)
    assert (line, located.column) == expected
    assert (located.reason, located.problem, located.cure) == ("reason", "problem", "cure")
