"""The index of a shard: what it holds, that its bytes depend on its rows alone, and bad files."""

import contextlib
import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some

from sftprep.data.batch import Batch
from sftprep.data.provenance import Part, RowFacts, Segments, Writer
from sftprep.dataset import index
from sftprep.dataset.index import (
    BATCH_ROWS,
    BadIndexError,
    IndexWriter,
    batches_of,
    read_index,
    schema,
    table_of,
)

USER = Writer(0, "user", Part.CONTENT)
HEADER = Writer(-1, "", Part.TEMPLATE)
ANSWER = Writer(1, "assistant", Part.CONTENT)
STOP = Writer(1, "assistant", Part.STOP)
CALL = Writer(1, "assistant", Part.TOOL_CALL)
Row = list[tuple[int, Writer, bool]]
CHAT: Row = [(2, HEADER, False), (3, USER, False), (4, ANSWER, True), (1, STOP, True)]
CALLED: Row = [(5, USER, False), (2, CALL, True)]


def batch_of(rows: Sequence[Row], **columns: Any) -> Batch:
    """Make a batch whose loss mask is that of its segments."""
    mask = [[trained for tokens, _, trained in row for _ in range(tokens)] for row in rows]
    ids = [list(range(len(row))) for row in mask]
    return replace(Batch.of(ids, mask), facts=RowFacts.of(Segments.of(rows), **columns))


def table(batch: Batch) -> pa.Table:
    """Make the index of a batch whose documents are the rows of a shard."""
    return table_of(batch, np.arange(len(batch)), np.zeros(len(batch), np.int32))


def written(*tables: pa.Table, form: Any = "parquet") -> bytes:
    """Write tables as the groups of one file."""
    file = io.BytesIO()
    writer = IndexWriter(file, form)
    for each in tables:
        writer.write(each)
    writer.close()
    return file.getvalue()


def rows_of(data: bytes) -> list[dict[str, Any]]:
    """Read a file as any program would."""
    return list(pq.read_table(pa.BufferReader(data)).to_pylist())


def segments(row: Row) -> list[dict[str, Any]]:
    """Return the segments of a row as they stand in the file."""
    return [
        {"tokens": n, "message": w.message, "role": w.role, "part": str(w.part), "trained": t}
        for n, w, t in row
    ]


# --- what it holds ------------------------------------------------------------------------------


def test_columns() -> None:
    """Each document has a row with all that is known about it."""
    batch = batch_of(
        [CHAT, CALLED],
        source=[0, 1],
        line=[7, 3],
        offset=[1234, -1],
        answer=[0, 2],
        cut_tokens=[0, 9],
        cut_trained=[0, 4],
        cut_at=[0, 5],
        exchanges_dropped=[0, 1],
        prompt_key=[1, (1 << 64) - 1],
        record_key=[2, 1 << 63],
        reasons={"shortened": [False, True], "never": [False, False], "glued": [True, True]},
    )
    found = rows_of(written(table_of(batch, np.array([4, 4]), np.array([0, 10], np.int32))))
    assert found == [
        {
            "row": 4, "position": 0, "source": 0, "line": 7, "offset": 1234, "answer": 0,
            "tokens": 10, "trained_tokens": 5, "cut_tokens": 0, "cut_trained_tokens": 0,
            "cut_at": "", "exchanges_dropped": 0, "reasons": ["glued"],
            "prompt_key": 1, "record_key": 2, "segments": segments(CHAT),
        },
        {
            "row": 4, "position": 10, "source": 1, "line": 3, "offset": None, "answer": 2,
            "tokens": 7, "trained_tokens": 2, "cut_tokens": 9, "cut_trained_tokens": 4,
            "cut_at": "start+end", "exchanges_dropped": 1, "reasons": ["glued", "shortened"],
            "prompt_key": (1 << 64) - 1, "record_key": 1 << 63, "segments": segments(CALLED),
        },
    ]  # fmt: skip


def test_places_of_cuts() -> None:
    """A cut in several places is named by all of them, in the order of the text."""
    batch = batch_of([CHAT] * 8, cut_at=list(range(8)))
    assert table(batch).column("cut_at").to_pylist() == [
        "", "start", "middle", "start+middle", "end", "start+end", "middle+end",
        "start+middle+end",
    ]  # fmt: skip


def test_a_first_token_has_no_loss() -> None:
    """A document's first token is predicted from nothing, so it does not count as trained."""
    found = rows_of(written(table(batch_of([[(3, ANSWER, True)]]))))[0]
    assert (found["tokens"], found["trained_tokens"]) == (3, 2)
    assert found["segments"] == segments([(3, ANSWER, True)])


@pytest.mark.parametrize("keys", [(), ("normalized_key", "normalized_prompt_key"), ("group_key",)])
def test_optional_keys(keys: tuple[str, ...]) -> None:
    """Keys that were not needed are no columns; those that were are read back."""
    data = written(table(batch_of([CHAT, CALLED], **{name: [5, 6] for name in keys})))
    (found,) = batches_of(io.BytesIO(data))
    assert found.schema.equals(schema(keys))
    assert [found.column(name).to_pylist() for name in keys] == [[5, 6]] * len(keys)


def test_any_reader_finds_plain_columns() -> None:
    """The file has no columns of a kind that only some programs read."""
    found = pq.read_schema(pa.BufferReader(written(table(batch_of([CHAT])))))
    kinds = {field.name: str(field.type) for field in found}
    assert kinds["reasons"] == "list<element: string not null>"
    assert kinds["segments"] == (
        "list<element: struct<tokens: int32 not null, message: int32 not null, "
        "role: string not null, part: string not null, trained: bool not null> not null>"
    )
    assert kinds["record_key"] == "uint64"
    assert [field.name for field in found if field.nullable] == ["offset"]


# --- bytes --------------------------------------------------------------------------------------

WRITERS = st.builds(
    Writer,
    st.integers(-1, 3),
    st.sampled_from(["", "user", "Ω", "assistant"]),
    st.sampled_from(Part),
)
ROWS = st.lists(
    st.lists(st.tuples(st.integers(1, 9), WRITERS, st.booleans()), min_size=1, max_size=4),
    min_size=1,
    max_size=6,
)


def with_reasons(rows: Sequence[Row]) -> Batch:
    """Make a batch with a reason for each role in a row."""
    roles = {writer.role for row in rows for _, writer, _ in row}
    reasons = {
        f"has:{role}": [any(writer.role == role for _, writer, _ in row) for row in rows]
        for role in roles
    }
    return batch_of(rows, reasons=reasons, line=list(range(len(rows))))


@settings(deadline=None, max_examples=some(25))
@given(ROWS)
def test_bytes_depend_on_the_rows_alone(rows: list[Row]) -> None:
    """The same documents give the same bytes, whatever batches they came in."""
    whole = with_reasons(rows)
    others = with_reasons([*reversed(rows), *rows])
    parts = [others.rows(len(rows) + i, len(rows) + i + 1) for i in range(len(rows))]
    joined = Batch.concatenate(parts)
    assert joined.facts is not None
    joined = replace(joined, facts=replace(joined.facts, line=np.arange(len(rows))))
    assert written(table(whole)) == written(table(joined))


@settings(deadline=None, max_examples=some(25))
@given(ROWS)
def test_arrow_gives_the_same_parquet(rows: list[Row]) -> None:
    """Rows that were read from an Arrow file, in any order, give the Parquet of these rows."""
    batch = with_reasons(rows)
    groups = [table(batch.rows(i, i + 1)) for i in range(len(batch))]
    with mock.patch.object(index, "GROUP_ROWS", 2):
        file = pa.ipc.open_file(pa.py_buffer(written(*groups, form="arrow")))
    batches = [file.get_batch(i) for i in range(file.num_record_batches)]
    assert [len(each) for each in batches] == [len(rows[i : i + 2]) for i in range(0, len(rows), 2)]
    order = list(reversed(range(len(rows))))
    taken = pa.Table.from_batches([batches[i // 2].take(pa.array([i % 2])) for i in order])
    expected = pa.concat_tables([groups[i] for i in order])
    assert written(taken) == written(expected)
    assert rows_of(written(taken)) == [rows_of(written(groups[i]))[0] for i in order]


@pytest.mark.parametrize(
    ("most", "sizes"), [(2, [2, 2, 2, 2, 1]), (3, [3, 3, 3]), (4, [4, 4, 1]), (100, [9])]
)
def test_rows_are_collected(monkeypatch: pytest.MonkeyPatch, most: int, sizes: list[int]) -> None:
    """Row groups do not depend on the tables, which may have other names, and no row is lost."""
    monkeypatch.setattr(index, "GROUP_ROWS", most)
    groups = [table(batch_of([row] * 3)) for row in (CHAT, CALLED, CHAT)]
    data = written(*groups)
    file = pq.ParquetFile(pa.BufferReader(data)).metadata
    assert [file.row_group(n).num_rows for n in range(file.num_row_groups)] == sizes
    single = [group.slice(row, 1) for group in groups for row in range(3)]
    assert written(*single) == data == written(pa.concat_tables(groups).combine_chunks())
    found = [row for batch in batches_of(io.BytesIO(data)) for row in batch.to_pylist()]
    assert found == [row for each in groups for row in each.to_pylist()]


def test_reading_is_bounded(tmp_path: Path) -> None:
    """No more than a few thousand rows are read at a time."""
    group = table(batch_of([CHAT] * 5000))
    (tmp_path / "index").write_bytes(written(group, group, group, group))
    with (tmp_path / "index").open("rb") as file:
        sizes = [len(batch) for batch in batches_of(file)]
    assert sum(sizes) == 20_000
    assert max(sizes) <= BATCH_ROWS
    whole = read_index(tmp_path / "index", ["line", "segments"])
    assert (len(whole), whole.column_names) == (20_000, ["line", "segments"])


def test_an_index_is_small() -> None:
    """Where every document is of one kind, its row takes little more than its two keys."""
    count = 8192
    rng = np.random.default_rng(1)
    lengths = rng.integers(20, 500, count).tolist()
    rows: list[Row] = [[(9, HEADER, False), (n, USER, False), (n, ANSWER, True)] for n in lengths]
    keys = rng.integers(0, 1 << 64, (2, count), np.uint64)
    offset = np.cumsum(lengths) * 5
    batch = batch_of(
        rows, prompt_key=keys[0], record_key=keys[1], line=np.arange(count), offset=offset
    )
    assert len(written(table(batch))) / count < 16 + 9


NO_PANDAS = """
import io, sys
import numpy as np
from sftprep.data.batch import Batch
from sftprep.data.provenance import Part, RowFacts, Segments, Writer
from sftprep.dataset.index import IndexWriter, batches_of, table_of
segments = Segments.of([[(2, Writer(0, "user", Part.CONTENT), True)]])
facts = RowFacts.of(segments, offset=[-1], reasons={"x": [True]})
batch = Batch.of([[1, 2]], [[True, True]])
batch = Batch(batch.input_ids, batch.loss_mask, batch.offsets, batch.record, facts=facts)
file = io.BytesIO()
writer = IndexWriter(file)
writer.write(table_of(batch, np.zeros(1, np.int64), np.zeros(1, np.int32)))
writer.close()
assert len(list(batches_of(file))) == 1
assert "pandas" not in sys.modules
"""


def test_pandas_is_not_imported() -> None:
    """Pandas, which takes long to import, is not imported where it is installed."""
    subprocess.run([sys.executable, "-c", NO_PANDAS], check=True)


# --- bad files ----------------------------------------------------------------------------------


def problem(data: bytes) -> str:
    """Return what is wrong with a file."""
    with pytest.raises(BadIndexError) as caught:
        list(batches_of(io.BytesIO(data)))
    return caught.value.problem


def changed(**columns: Any) -> bytes:
    """Write an index in which columns are replaced; None leaves a column out."""
    found = pq.read_table(pa.BufferReader(written(table(batch_of([CHAT, CALLED])))))
    for name, column in columns.items():
        at = found.column_names.index(name) if name in found.column_names else len(found.columns)
        if name in found.column_names:
            found = found.remove_column(at)
        if column is not None:
            found = found.add_column(at, name, column)
    file = io.BytesIO()
    pq.write_table(found, file)
    return file.getvalue()


def test_not_a_file_of_ours() -> None:
    """Anything else than Parquet is refused with what Arrow says."""
    assert problem(b"") == "cannot be read: Parquet file size is 0 bytes"
    assert problem(b"hello" * 9).startswith("cannot be read: Parquet magic bytes not found")
    data = written(table(batch_of([CHAT] * 100)))
    for size in range(0, len(data), 97):
        assert problem(data[:size]).startswith("cannot be read: ")


def test_other_columns() -> None:
    """The columns must be exactly those of an index, and without nulls."""
    ints = pa.array([1, 2])
    assert problem(changed(line=None)) == "has no column line; an index has one"
    assert problem(changed(x=ints)) == "has a column x; an index has none"
    assert problem(changed(line=ints)) == (
        "has the column line as int64, with nulls; expected int64"
    )
    assert problem(changed(tokens=pa.array(["a", "b"]))) == (
        "has the column tokens as string, with nulls; expected int32"
    )
    assert problem(changed(offset=pa.array([[1], [2]]))).startswith(
        "has the column offset as list<element: int64>, with nulls; expected int64"
    )


@settings(deadline=None, max_examples=some(60))
@given(st.data())
def test_flipped_bytes(data: st.DataObject) -> None:
    """A damaged file gives a problem or other values, never another exception."""
    whole = bytearray(written(table(batch_of([CHAT, CALLED] * 20))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadIndexError):
        list(batches_of(io.BytesIO(bytes(whole))))
