"""The bytes of Parquet files: what Arrow reads in them, and what it would have written."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.data.columns import ListColumn
from sftprep.data.ragged import lengths_to_offsets
from sftprep.formats import pages
from sftprep.formats.pages import Pages

INT32 = st.integers(-(2**31), 2**31 - 1)
INT8 = st.integers(-128, 127)
Group = list[tuple[list[int], list[int]]]  # rows, with a list in each of two columns


def column(rows: list[list[int]], kind: Any = np.int32) -> ListColumn:
    """Return rows as a column."""
    flat = [value for row in rows for value in row]
    return ListColumn(np.array(flat, kind), lengths_to_offsets(np.array(list(map(len, rows)), int)))


def written(*groups: dict[str, ListColumn]) -> bytes:
    """Return a file with these groups."""
    made = Pages()
    return b"".join(bytes(part) for group in groups for part in made.group(group)) + made.footer()


@st.composite
def groups(draw: st.DrawFn) -> list[Group]:
    """Draw groups of rows; a row has a list in each of two columns."""
    row = st.tuples(st.lists(INT32, max_size=5), st.lists(INT8, max_size=5))
    return draw(st.lists(st.lists(row, min_size=1, max_size=8), min_size=1, max_size=4))


@given(groups())
def test_arrow_reads_what_was_written(
    given_groups: list[Group],
) -> None:
    """All values, lengths and types come back, in as many row groups."""
    data = written(
        *(
            {"a": column([a for a, _ in rows]), "b": column([b for _, b in rows], np.int8)}
            for rows in given_groups
        )
    )
    file = pq.ParquetFile(io.BytesIO(data))
    assert file.num_row_groups == len(given_groups)
    table = file.read()
    table.validate(full=True)
    assert [field.type.value_type for field in table.schema] == [pa.int32(), pa.int8()]
    rows = [row for group in given_groups for row in group]
    assert table.to_pydict() == {"a": [a for a, _ in rows], "b": [b for _, b in rows]}


@pytest.mark.parametrize("length", [1, 2, 64, 65, 8192, 8193, 2**20, 2**20 + 1])
def test_rows_of_any_length(length: int) -> None:
    """Lengths that need one, two and three bytes, beside short and empty rows."""
    values = np.arange(3 * length + 2, dtype=np.int32)
    offsets = lengths_to_offsets(np.array([length, 0, 1, length, 1, length]))
    table = pq.read_table(io.BytesIO(written({"a": ListColumn(values, offsets)})))
    assert np.array_equal(table["a"].combine_chunks().flatten().to_numpy(), values)
    assert np.array_equal(table["a"].combine_chunks().offsets.to_numpy(), offsets)


def test_columns_are_those_of_arrow(tmp_path: Path) -> None:
    """The schema is the one of the same table written by Arrow, to the last detail."""
    rows: dict[str, list[list[int]]] = {"ids": [[1, 2], []], "mask": [[1, 0], [1]]}
    kinds = [pa.list_(pa.int32()), pa.list_(pa.int8())]
    pq.write_table(pa.table([pa.array(rows["ids"], kinds[0]), pa.array(rows["mask"], kinds[1])],
                            names=list(rows)), tmp_path / "arrow")  # fmt: skip
    data = written({"ids": column(rows["ids"]), "mask": column(rows["mask"], np.int8)})
    found, expected = pq.ParquetFile(io.BytesIO(data)), pq.ParquetFile(tmp_path / "arrow")
    assert found.schema.equals(expected.schema)
    assert str(found.schema).split("\n")[1:] == str(expected.schema).split("\n")[1:]
    assert found.read().equals(expected.read())


def test_what_the_footer_says_of_sizes() -> None:
    """Each page lies where the footer says, and the sizes add up."""
    group = {"a": column([[1, 2], [3]]), "b": column([[4], []])}
    data = written(group, group)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    at = len(pages.MAGIC)
    for number in range(2):
        of_group = metadata.row_group(number)
        assert of_group.num_rows == 2
        chunks = [of_group.column(index) for index in range(2)]
        assert [chunk.num_values for chunk in chunks] == [3, 2]
        assert of_group.total_byte_size == sum(chunk.total_uncompressed_size for chunk in chunks)
        for chunk in chunks:
            assert chunk.data_page_offset == at
            at += chunk.total_compressed_size
    assert at == len(data) - metadata.serialized_size - 8


def test_other_groups_do_not_change_a_page() -> None:
    """Memory is used again for each page; a page's bytes do not show what was there before."""
    small, large = {"a": column([[7]])}, {"a": column([list(range(1000))])}
    alone, after = Pages(), Pages()
    first = b"".join(map(bytes, alone.group(small)))
    b"".join(map(bytes, after.group(large)))
    assert b"".join(map(bytes, after.group(small))) == first[len(pages.MAGIC) :]


def test_a_page_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of 2 GiB or more is refused before it is made."""
    monkeypatch.setattr(pages, "MOST_BYTES", 100)
    with pytest.raises(OverflowError, match=r"1 rows with 30 values .* Use another --format"):
        written({"a": column([[1] * 30])})
