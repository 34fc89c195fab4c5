"""Parquet and Arrow: places, types that JSON lacks, damage, and bounds on memory."""

import datetime
import decimal
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_forms import arrow_file, arrow_stream, parquet, read_all
from hypothesis import given
from hypothesis import strategies as st
from toys import recipe

from sftprep import DataError, load_manifest, prepare
from sftprep.data.foreign import ForeignValue
from sftprep.errors import RecordError
from sftprep.reading import arrow_ipc
from sftprep.reading import parquet as parquet_module
from sftprep.reading.arrow_rows import batch_sizes, decode, encode, plain_batch, slices
from sftprep.reading.limits import Limits

Write = Callable[[str, str | bytes], Path]

ROWS = [{"prompt": f"p{n}", "completion": "c" * 20} for n in range(50)]


def written(table: pa.Table, **options: Any) -> bytes:
    """Return a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def refused(path: Path, **options: Any) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(DataError) as caught:
        read_all(path, **options)
    return str(caught.value)


# --- types ----------------------------------------------------------------------------------------


def test_values_that_json_lacks(write: Write) -> None:
    """They are kept apart from all that a record may use; a null is as if it were not there."""
    day, time = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30)
    rows = [
        {
            "day": day, "time": time, "price": decimal.Decimal("1.50"), "raw": b"abc",
            "ratio": float("nan"), "list": [{"at": time, "n": 1}], "text": "a",
            "clock": time.time(), "span": time - time,
        },
        {"text": "b", "ratio": 0.5},
    ]  # fmt: skip
    stamp = ForeignValue("a timestamp", "2024-02-29 12:30:00")
    assert read_all(write("a.parquet", parquet(rows))).records == [
        {
            "day": ForeignValue("a date", "2024-02-29"), "time": stamp,
            "price": ForeignValue("a decimal", "1.50"),
            "raw": ForeignValue("binary data", "3 bytes"),
            "ratio": ForeignValue("a number", "nan"), "list": [{"at": stamp, "n": 1}], "text": "a",
            "clock": ForeignValue("a time", "12:30:00"),
            "span": ForeignValue("a duration", "0:00:00"),
        },
        {"text": "b", "ratio": 0.5},
    ]  # fmt: skip


def test_a_used_value_that_json_lacks_is_a_bad_record(write: Write, tmp_path: Path) -> None:
    """It is named with its type and its row; in a field that nothing reads it does no harm."""
    day = datetime.date(2024, 2, 29)
    rows = [{"prompt": "a", "completion": "b", "made": day}] * 2
    bad = [{"prompt": day, "completion": "b", "made": day}]
    prepare(recipe(write("good.parquet", parquet(rows)), tmp_path / "good"))
    assert load_manifest(tmp_path / "good").counts["written"] == 2
    path = write("bad.parquet", parquet(bad))
    with pytest.raises(DataError) as caught:
        prepare(recipe(path, tmp_path / "bad"))
    assert str(caught.value).split("\n")[1] == (
        f"{path}: row 1: prompt is a date (2024-02-29); expected a string. Fix the record, or pass "
        "--on-error quarantine."
    )


def test_a_value_that_json_lacks_never_reaches_a_template(write: Write, tmp_path: Path) -> None:
    """What a chat template would get as it is, such as tools, is searched too."""
    tool = {"type": "function", "function": {"name": "f", "since": datetime.date(2024, 2, 29)}}
    row = {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "tools": [tool],
    }
    template = write("t.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}{{ tools[0] }}")
    path = write("a.parquet", parquet([row]))
    with pytest.raises(DataError) as caught:
        prepare(recipe(path, tmp_path / "out", template=str(template)))
    assert str(caught.value).split("\n")[1] == (
        f"{path}: row 1: tools[0].function.since is a date (2024-02-29); JSON has no such type. "
        "Write it as text, or pass --on-error quarantine."
    )


def test_columns_of_rare_types() -> None:
    """Dictionaries, views, maps, runs and lists of fixed size give plain values."""
    batch = pa.RecordBatch.from_pydict(
        {
            "dictionary": pa.array(["a", "b", "a", None]).dictionary_encode(),
            "view": pa.array(["x", "y", None, "zz"], pa.string_view()),
            "map": pa.array([[("a", 1), ("b", None)], None, [], [("q", 2)]], pa.map_("str", "i8")),
            "pair": pa.array([[1, 2], None, [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
            "list_view": pa.array([[1], [2, 3], None, []], pa.list_view(pa.int64())),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], "i4"), pa.array(["p", "q"])),
            "large": pa.array(["a", None, "", "b"], pa.large_string()),
            "half": pa.array([0.5, None, 1.0, 2.0], pa.float16()),
        }
    )
    expected = [
        {"dictionary": "a", "view": "x", "map": {"a": 1}, "pair": [1, 2], "list_view": [1],
         "runs": "p", "large": "a", "half": 0.5},
        {"dictionary": "b", "view": "y", "list_view": [2, 3], "runs": "p"},
        {"dictionary": "a", "map": {}, "pair": [3, 4], "runs": "q", "large": "", "half": 1.0},
        {"view": "zz", "map": {"q": 2}, "pair": [5, 6], "list_view": [], "runs": "q", "large": "b",
         "half": 2.0},
    ]  # fmt: skip
    for start in range(4):
        for count in range(1, 5 - start):
            rows = plain_batch(batch).slice(start, count)
            assert decode(encode(rows)).records == expected[start : start + count]
            assert len(batch_sizes(rows)) == count


def test_maps_that_are_no_objects() -> None:
    """A map with a key twice, or with keys that are no texts, makes a bad record."""
    twice = pa.array([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_("str", "i8"))
    numbers = pa.array([[(1, "a")], []], pa.map_("i8", "str"))
    for array, at, problem in (
        (twice, 1, "column 'm': the key 'a' occurs twice in one map"),
        (numbers, 0, "column 'm': a map has the key 1; expected a string"),
    ):
        found = decode(encode(pa.RecordBatch.from_pydict({"m": array, "t": ["x", "y"]})))
        error = found.records[at]
        assert isinstance(error, RecordError)
        assert error.problem == problem
        assert isinstance(found.records[1 - at], dict)
        assert b'"t":' in found.bad[at]


def test_offsets_that_lead_out_of_a_batch(write: Write) -> None:
    """Damaged offsets are found before a value is read from a place outside."""
    offsets = struct.pack("<4i", 0, 9, 2, 3)
    text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(offsets), pa.py_buffer(b"abc")]
    )
    sink = io.BytesIO()
    batch = pa.RecordBatch.from_arrays([text], names=["t"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    path = write("a.arrow", sink.getvalue())
    assert refused(path).startswith(
        f"{path}: the file is damaged or incomplete at or after row 1 ("
    )


def test_text_that_is_not_utf8() -> None:
    """Only the row whose text is not UTF-8 is bad."""
    offsets = struct.pack("<4i", 0, 1, 2, 3)
    text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(offsets), pa.py_buffer(b"a\xffc")]
    )
    found = decode(encode(pa.RecordBatch.from_arrays([text], names=["t"])))
    assert (found.records[0], found.records[2]) == ({"t": "a"}, {"t": "c"})
    error = found.records[1]
    assert isinstance(error, RecordError)
    assert (error.reason, error.problem) == (
        "invalid_utf8", "column 't' is not valid UTF-8: invalid start byte",
    )  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


def without_nulls(value: object) -> object:
    """Leave out the keys of objects whose value is null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [*map(without_nulls, value)] if isinstance(value, list) else value


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_decoding_agrees_with_arrow(values: list[object]) -> None:
    """The records are what Arrow's own conversion gives, without the keys that are null."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return  # values of mixed types have no Arrow type
    batch = pa.RecordBatch.from_arrays([array], names=["x"])
    expected = [without_nulls({"x": value}) for value in array.to_pylist()]
    for start in range(len(values)):
        part = batch.slice(start)
        assert decode(encode(part)).records == expected[start:]
        assert [decode(one).records[0] for one in slices(encode(part))] == expected[start:]
        assert batch_sizes(part).tolist() == batch_sizes(batch).tolist()[start:]


# --- rows that are too long, and columns ----------------------------------------------------------


@pytest.mark.parametrize("content", [parquet, arrow_stream, arrow_file])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_row_that_is_too_long(write: Write, content: Callable[[Any], bytes], at: int) -> None:
    """A long row is one bad record, of which the start is kept, wherever it is."""
    rows = [{"n": n, "text": "ok", "more": "x"} for n in range(3)]
    rows.insert(at, {"n": 9, "text": "é" * 4000, "more": "y" * 4000})
    for block_bytes in (1, 1 << 20):
        path = write("a", content(rows))
        found = read_all(path, limits=Limits(2000), block_bytes=block_bytes)
        error = found.records.pop(at)
        assert found.records == [row for row in rows if row["n"] != 9]
        assert isinstance(error, RecordError)
        assert error.problem == (
            "the record has 12,009 bytes, over the limit of 2,000; only its first 2,000 are kept"
        )
        assert found.places[at] == (at + 1, None)
        assert found.raw[at].decode() == '{"text":"' + "é" * 1000 + '"}'


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (pa.table({"a": [1]}).select([]), "has no columns"),
        (
            pa.table({"a": [1], "b": [2]}).rename_columns(["a", "a"]),
            "has two columns with the name 'a'",
        ),
        (
            pa.table({f"c{n}": [1] for n in range(10_001)}),
            "has 10,001 columns, and at most 10,000 are read",
        ),
    ],
)
def test_columns_that_cannot_be_fields(write: Write, table: pa.Table, problem: str) -> None:
    """A table whose rows cannot be records is refused at once."""
    path = write("a.parquet", written(table))
    cure = "Write the file again with the columns that are needed."
    assert refused(path) == f"{path}: {problem}. {cure}"


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.999])
def test_truncated_parquet(write: Write, part: float) -> None:
    """A Parquet file without its end is refused in one line, whatever its name."""
    data = parquet(ROWS)
    for name in ("a.parquet", "a.jsonl"):
        path = write(name, data[: int(part * len(data))])
        assert refused(path) == (
            f"{path}: the Parquet file is incomplete: it does not end with PAR1. Fetch the file "
            "again."
        )


def test_damaged_parquet(write: Write) -> None:
    """A changed byte in a page with a checksum is found, and the row before it is known."""
    options = {"write_page_checksum": True, "row_group_size": 10, "use_dictionary": False}
    data = bytearray(parquet(ROWS, **options))
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(3).column(1)
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 255
    path = write("a.parquet", bytes(data))
    start = f"{path}: the file is damaged or incomplete at or after row 31 ("
    assert refused(path).startswith(start)
    assert refused(path).endswith("). Fetch the file again.")


@pytest.mark.parametrize(
    ("footer", "problem"),
    [
        (struct.pack("<I", 1 << 30) + b"PAR1", "row 1: the Parquet file is damaged: its table of "
            "contents is larger than the file. Fetch it again."),
        (struct.pack("<I", 9) + b"PARE", "the Parquet file is encrypted. Decrypt it first."),
    ],
)  # fmt: skip
def test_the_end_of_parquet(write: Write, footer: bytes, problem: str) -> None:
    """What the last bytes say is checked before anything else."""
    path = write("a.parquet", b"PAR1" + bytes(100) + footer)
    assert refused(path) == f"{path}: {problem}"


@pytest.mark.parametrize("step", [29, pytest.param(3, marks=pytest.mark.conformance)])
@pytest.mark.parametrize("content", [arrow_stream, arrow_file])
def test_every_truncation_of_arrow_is_found(
    write: Write, content: Callable[[Any], bytes], step: int
) -> None:
    """Arrow data that ends early is never taken for complete, wherever it ends."""
    data = content(ROWS[:12])
    for size in range(9, len(data), step):
        path = write("a.arrow", data[:size])
        assert "incomplete at or after row" in refused(path)


def test_data_after_an_arrow_stream(write: Write) -> None:
    """Two streams in one file are refused: a reader of Arrow would see only the first."""
    path = write("a.arrow", arrow_stream(ROWS) * 2)
    assert refused(path) == (
        f"{path}: data follows the end of the Arrow stream, after row 50. Write one stream into "
        "each file."
    )


# --- memory ---------------------------------------------------------------------------------------


def test_a_page_that_is_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is refused by the size that its header gives, before it is read."""
    monkeypatch.setattr(parquet_module, "MOST_PAGE_BYTES", 100_000)
    rows = pa.table({"n": range(40), "text": [f"{n}" * 500 for n in range(39)] + ["x" * 200_000]})
    options = {"row_group_size": 20, "use_dictionary": False, "compression": "zstd"}
    path = write("a.parquet", written(rows, **options))
    size = 19 * 1004 + 200_004 + 6  # the lengths of texts have 4 bytes
    assert refused(path, limits=Limits(1000)) == (
        f"{path}: row 21 or later: column 'text' has a page of {size:,} bytes, and at most 100,000 "
        "are read. If its values may be that long, raise --max-line-bytes to half of that; or "
        "write the file again with smaller pages."
    )
    assert len(read_all(path, limits=Limits(1 << 20)).records) == 40


def test_a_dictionary_that_repeats_a_long_value(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows are decoded at once if a few bits may stand for a long value."""
    monkeypatch.setattr(parquet_module, "MOST_REPEATED_BYTES", 1_000_000)
    sizes = []
    real = pq.ParquetFile.iter_batches

    def watched(self: Any, batch_size: int, **options: Any) -> Any:
        sizes.append(batch_size)
        return real(self, batch_size, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    path = write("a.parquet", written(pa.table({"text": ["x" * 100_000] * 500})))
    assert path.stat().st_size < 100_000
    assert [r for r in read_all(path).records if r != {"text": "x" * 100_000}] == []
    assert sizes == [9]


def test_an_arrow_batch_that_is_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record batch is refused by its size before it is read."""
    monkeypatch.setattr(arrow_ipc, "MOST_BATCH_BYTES", 1000)
    sink = io.BytesIO()
    table = pa.table({"text": ["a", "b" * 2000]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    path = write("a.arrow", sink.getvalue())
    size = 8 + 2000  # offsets and text
    assert refused(path, limits=Limits(100)) == (
        f"{path}: row 2: the next record batch has {size:,} bytes, and at most 1,000 are read. "
        "Write the file again with smaller record batches, or raise --max-line-bytes."
    )
    assert len(read_all(path, limits=Limits(5000)).records) == 2


def test_a_footer_that_is_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of very many columns is refused before its table of contents is read."""
    monkeypatch.setattr(parquet_module, "MOST_FOOTER_BYTES", 1000)
    path = write("a.parquet", written(pa.table({f"c{n}": [1] for n in range(100)})))
    (size,) = struct.unpack("<I", path.read_bytes()[-8:-4])
    assert refused(path) == (
        f"{path}: the table of contents of the Parquet file has {size:,} bytes, and at most 1,000 "
        "are read. Write the file again with fewer columns or larger row groups."
    )


def test_very_many_columns(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of columns is known from the start of the table of contents."""
    monkeypatch.setattr(parquet_module, "MOST_FIELDS", 99)
    path = write("a.parquet", written(pa.table({f"c{n}": [1] for n in range(100)})))
    assert refused(path) == (
        f"{path}: has columns with 100 fields in all, and at most 99 are read. Write the file "
        "again with the columns that are needed."
    )
    few = [pa.table({f"c{n}": [1] for n in range(count)}) for count in (1, 14, 15, 99)]
    for table in few:
        assert len(read_all(write("a.parquet", written(table))).records) == 1
