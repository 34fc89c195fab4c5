"""CSV and TSV: cells stay as they are written; quotes that are wrong end the run with their row."""

import csv
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from file_forms import read_all
from hypothesis import given
from hypothesis import strategies as st

from sftprep.data.block import Rows, Source
from sftprep.errors import DataError, RecordError, UsageError
from sftprep.reading import delimited
from sftprep.reading.blocks import BlockReader
from sftprep.reading.limits import Hints, Limits
from sftprep.reading.streams import PlainStream

Write = Callable[[str, str | bytes], Path]

HEAD = "prompt,completion\n"
QUOTE = (
    "a quote is neither at the start nor at the end of its cell; perhaps a quote before it is "
    "missing. Put the cell in quotes and double the quotes inside it."
)
OPEN = "a cell begins with a quote and is not closed up to the end of the file. Close it."
RETURN = (
    "a line ends with CR alone. Write the file with LF or CRLF, and put cells that hold CR in "
    "quotes."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "007, x \n", [{"prompt": "007", "completion": " x "}]),
        (HEAD + ",\n", [{"prompt": "", "completion": ""}]),
        (HEAD + 'NaN,""\n', [{"prompt": "NaN", "completion": ""}]),
        (HEAD + '"a\r\nb","c ""d"""', [{"prompt": "a\r\nb", "completion": 'c "d"'}]),
        (HEAD + "a\0b,c\r\n", [{"prompt": "a\0b", "completion": "c"}]),
        (HEAD + "a,b\n\nc,d\n", [
            {"prompt": "a", "completion": "b"}, None, {"prompt": "c", "completion": "d"}
        ]),
        ('"pro\nmpt"\n"x"\n', [{"pro\nmpt": "x"}]),
        ('text\n""\nabc\n', [{"text": ""}, {"text": "abc"}]),
        ("\n\ntext\na\n", [{"text": "a"}]),
        (",prompt\n0,a\n", [{"": "0", "prompt": "a"}]),
        (HEAD, []),
        ("prompt,completion", []),
        ("", []),
    ],
    ids=[
        "as-written", "empty", "quoted-empty", "line-ends-in-quotes", "nul", "blank-line",
        "line-end-in-header", "one-column", "blank-lines-first", "column-without-name",
        "header-alone", "header-without-line-end", "empty-file",
    ],
)  # fmt: skip
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_cells(write: Write, text: str, expected: list[object], block_bytes: int) -> None:
    """Every cell is a text, and no text is taken for a number or for a missing value."""
    assert read_all(write("a.csv", text), block_bytes=block_bytes).records == expected


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (HEAD + 'a,b\nc,"d\ne,f\ng,"h"\n', "row 2", QUOTE),
        (HEAD + 'a,b\nc,"d\ne,f\n', "row 2", OPEN),
        (HEAD + 'a,b\n5" disk,c\n', "row 2", QUOTE),
        (HEAD + '"a"b,c\n', "row 1", QUOTE),
        (HEAD + 'a, "b"\n', "row 1", QUOTE),
        (HEAD + '"a \\"b\\" c",d\n', "row 1", QUOTE),
        (HEAD + '"x\ny",a\n"x\ny",b"\n', "row 2", QUOTE),
        ('"prompt,completion\na,b\n', "the header", OPEN),
        ('prompt,com"pletion\na,b\n', "the header", QUOTE),
        ("prompt,completion\ra,b\r", "the header", RETURN),
        (HEAD + "a,b\nc,d\re,f\n", "row 1 or later", RETURN),
    ],
)
@pytest.mark.parametrize("limit", [1 << 20, 25])
def test_wrong_quotes_and_line_ends(
    write: Write, text: str, place: str, problem: str, limit: int
) -> None:
    """Where a row ends is not clear then, so the file is refused, with the row."""
    path = write("a.csv", text)
    with pytest.raises(DataError) as caught:
        read_all(path, limits=Limits(limit))
    assert str(caught.value) == f"{path}: {place}: {problem}"


def test_rows_of_another_length(write: Write) -> None:
    """A row with too few or too many cells is a bad record; it is kept with its text."""
    found = read_all(write("a.csv", HEAD + 'a\n"b,",c\nd,e,"f"\n'))
    assert [str(r) if isinstance(r, RecordError) else r for r in found.records] == [
        "the row has 1 cell; the header has 2 columns",
        {"prompt": "b,", "completion": "c"},
        "the row has 3 cells; the header has 2 columns",
    ]
    assert (found.raw[0], found.raw[2]) == (b"a\n", b"d,e,f\n")
    assert found.places == [(1, None), (2, None), (3, None)]


def test_cells_that_are_not_utf8(write: Write) -> None:
    """Only the rows that are not UTF-8 are bad."""
    data = HEAD.encode() + b"a,caf\xe9 noir\nb,\xe4\xbb\xb7\n"
    found = read_all(write("a.csv", data))
    error = found.records[0]
    assert isinstance(error, RecordError)
    assert (error.reason, error.problem, error.cure) == (
        "invalid_utf8",
        "column 'completion' is not valid UTF-8",
        "Convert the file to UTF-8 (it looks like Windows-1252)",
    )
    assert found.raw[0] == b"a,caf\xe9 noir\n"
    assert found.records[1] == {"prompt": "b", "completion": "价"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a,b,a\n1,2,3\n", "the header names the column 'a' twice. Correct it."),
        (
            b"prompt;completion\na;b\n",
            "the header has one column, 'prompt;completion'. If another character separates the "
            "columns, pass --delimiter ';'.",
        ),
        (
            b"prompt\tcompletion\na\tb\n",
            "the header has one column, 'prompt\\tcompletion'. If another character separates the "
            "columns, pass --delimiter tab.",
        ),
        (
            b"caf\xe9 noir,b\n",
            "the header is not valid UTF-8. Convert the file to UTF-8 (it looks like "
            "Windows-1252).",
        ),
        (
            ",".join(map(str, range(10_001))).encode(),
            "has 10,001 columns, and at most 10,000 are read. Write the file again with the "
            "columns that are needed.",
        ),
        (b'[{"a": 1}]', "holds JSON, although its name says CSV. Correct its name."),
    ],
)
def test_headers_that_are_refused(write: Write, data: bytes, problem: str) -> None:
    """A header whose names cannot be fields is an error of the file."""
    path = write("a.csv", data)
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_the_delimiter(write: Write) -> None:
    """The option decides; without it, the name of the file does."""
    path = write("a.txt", "a;b\n1,0;2\n")
    assert read_all(path, hints=Hints(";")).records == [{"a": "1,0", "b": "2"}]
    path = write("a.tsv", "a\tb\n1,0\t2\n")
    assert read_all(path).records == [{"a": "1,0", "b": "2"}]
    path = write("b.tsv", "a,b\n1\t0,2\n")
    assert read_all(path, hints=Hints(",")).records == [{"a": "1\t0", "b": "2"}]


def test_a_delimiter_without_csv(write: Write) -> None:
    """A delimiter that concerned no file may have been meant for one."""
    path = write("a.jsonl", '{"a": 1}\n')
    with pytest.raises(UsageError) as caught:
        read_all(path, hints=Hints(";"))
    assert str(caught.value) == "--delimiter is given, but no input is CSV. Remove the option."


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("cell", ["x" * 5000, '"' + 'a\n""b"",' * 800 + '"'], ids=["", "quoted"])
def test_a_row_that_is_too_long(write: Write, at: int, cell: str) -> None:
    """One long row is one bad record, wherever it is."""
    short = [f"{n},x" for n in range(3)]
    rows = [*short[:at], f"long,{cell}", *short[at:]]
    for block_bytes in (1, 1 << 20):
        path = write("a.csv", HEAD + "\n".join(rows))
        found = read_all(path, limits=Limits(1000), block_bytes=block_bytes)
        error = found.records.pop(at)
        assert found.records == [{"prompt": str(n), "completion": "x"} for n in range(3)]
        assert isinstance(error, RecordError)
        assert error.problem == (
            f"the record has {len(rows[at]):,} bytes, over the limit of 1,000; only its first "
            "1,000 are kept"
        )
        assert found.raw[at] == rows[at].encode()[:1000]


class Endless:
    """A stream of one very long row."""

    def __init__(self, head: bytes, size: int, tail: bytes) -> None:
        self._parts = iter([head, *[b'x""\n' * (1 << 18)] * (size >> 20), tail])

    def read(self, _size: int = -1, /) -> bytes:
        """Return the next MiB."""
        return next(self._parts, b"")


@pytest.mark.faults  # takes 7 seconds
def test_memory_is_bounded() -> None:
    """A cell of 50 MiB takes no more memory than the longest row allowed."""
    reader = BlockReader([Source("a.csv", "a.csv")], 1 << 30, limits=Limits(4 << 20))
    stream = PlainStream(Endless(b'a,b\n1,"', 50 << 20, b'"\n3,4\n'), "a.csv")
    tracemalloc.start()
    try:
        blocks = list(reader.blocks_of(0, stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [block.too_long is not None for block in blocks] == [True, False]
    assert peak < 24 << 20


CELLS = st.text(alphabet='a",\n\ré N', max_size=6)
TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.integers(1, 60))
def test_what_python_writes_is_read(rows: list[list[str]], end: str, block_bytes: int) -> None:
    """Rows that ``csv`` writes are read again, also if they are read in parts."""
    header = [f"c{index}" for index in range(len(rows[0]))]
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    stream = PlainStream(io.BytesIO(text.getvalue().encode()), "a.csv", read_bytes=7)
    reader = BlockReader([Source("a.csv", "a.csv")], 1 << 30, block_bytes)
    found = []
    for block in reader.blocks_of(0, stream):
        assert block.rows is not None
        fast = delimited.decode(block.data, block.rows).records
        assert fast == delimited.decode_slowly(block.data, block.rows).records
        found += fast
    assert found == [dict(zip(header, row, strict=True)) for row in rows]


def test_the_fast_parser_leaves_doubtful_blocks() -> None:
    """A block with a blank line or a row of another length is parsed by Python."""
    rows = Rows("csv", 3, ("a", "b"), ",")
    assert delimited.decode(b"1,2\n\n3,4\n", rows).records == [
        {"a": "1", "b": "2"}, None, {"a": "3", "b": "4"},
    ]  # fmt: skip
