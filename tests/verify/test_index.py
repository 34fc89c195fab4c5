"""The index of a shard is compared with its rows, and a bad index is reported."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import some
from verify.arranged_datasets import ARRANGEMENTS, TRAIN, make
from verify.datasets import (
    FIRST,
    SECOND,
    MakeDataset,
    change_index,
    change_rows,
    describe_index,
    index_path,
    problems,
    put,
)

INDEX = f"{FIRST.replace('data', 'index')}.parquet"
Rows = list[dict[str, Any]]


def setting(at: int, /, **values: Any) -> Callable[[Rows], None]:
    """Return a change of an index that sets values of the row ``at``."""
    return lambda rows: rows[at].update(values)


def segment(row: int, which: int, **values: Any) -> Callable[[Rows], None]:
    """Return a change of an index that sets values of a segment of a row."""
    return lambda rows: rows[row]["segments"][which].update(values)


@pytest.mark.parametrize("arrangement", ["", *ARRANGEMENTS])
def test_an_index_as_written_has_no_problem(dataset: MakeDataset, arrangement: str) -> None:
    """The index agrees with the rows, also where these are packed and padded."""
    folder = make(dataset, arrangement) if arrangement else dataset()
    assert problems(folder) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (setting(1, row=2), "has row 2; the shard has 1"),
        (setting(1, row=-1), "has row -1; expected 0 or more"),
        (setting(1, position=1), "has position 1; the shard has 0"),
        (setting(1, tokens=6), "has tokens 6; the shard has 5"),
        (setting(1, trained_tokens=2), "has trained_tokens 2; the shard has 3"),
        (setting(1, source=1), "has source 1; the manifest lists 1 input"),
        (setting(1, line=-7), "has line -7; expected 0 or more"),
        (setting(1, offset=-2), "has offset -2; expected 0 or more"),
        (setting(1, cut_trained_tokens=1), "has cut_trained_tokens 1; cut_tokens is only 0"),
        (setting(1, cut_at="end"), "has cut_at 'end' and cut_tokens 0"),
        (setting(1, cut_tokens=3), "has cut_at '' and cut_tokens 3"),
        (setting(1, cut_at="top"), "has a cut_at that names no place where a row can be cut"),
        (segment(1, 0, tokens=3), "has segments of 6 tokens in all; the document has 5"),
        (segment(1, 0, tokens=0), "has a segment that no text can have written"),
        (segment(1, 0, tokens=-5), "has a segment that no text can have written"),
        (segment(1, 0, message=-2), "has a segment that no text can have written"),
        (segment(1, 0, part="prompt"), "has a segment that no text can have written"),
        (
            segment(1, 0, trained=True),
            "says that token 0 is trained; in the shard it is not trained",
        ),
        (
            segment(1, -1, trained=False),
            "says that token 4 is not trained; in the shard it is trained",
        ),
        (setting(1, segments=[]), "has segments of 0 tokens in all; the document has 5"),
    ],
)
def test_a_changed_index(
    dataset: MakeDataset, change: Callable[[Rows], object], expected: str
) -> None:
    """Each value that contradicts the rows is named with its row in the index."""
    folder = dataset()
    change_index(folder, change)
    assert f"{INDEX}: row 1: {expected}" in problems(folder)


def test_rows_that_are_missing_or_extra(dataset: MakeDataset) -> None:
    """An index has as many rows as the shard has documents."""
    folder = dataset()
    change_index(folder, lambda rows: rows.pop())
    assert problems(folder) == [f"{INDEX}: lists 1 document; the shard holds more"]
    change_index(folder, lambda rows: rows.extend([rows[0]] * 3))
    found = problems(folder)
    assert f"{INDEX}: lists 4 documents; the shard holds 2" in found


def test_many_broken_rows_are_one_problem(dataset: MakeDataset) -> None:
    """A rule that many rows break is reported once."""
    folder = dataset()
    change_index(folder, lambda rows: [row.update(answer=-1) for row in rows])
    assert problems(folder) == [
        f"{INDEX}: row 0: has answer -1; expected 0 or more (and 1 more row)"
    ]


def test_another_key(dataset: MakeDataset) -> None:
    """The keys of the documents are checked by their digest, shard by shard."""
    folder = dataset()
    change_index(folder, setting(1, record_key=5), SECOND)
    (found,) = problems(folder)
    name = f"{SECOND.replace('data', 'index')}.parquet"
    assert found.startswith(f"{name}: its documents have the digest ")


def test_a_document_in_a_pack(dataset: MakeDataset) -> None:
    """In a pack, a document's row and position are compared, and all its labels but the first."""
    folder = make(dataset, "packed")
    change_index(folder, setting(1, position=0), f"data/{TRAIN}")
    found = problems(folder)
    assert len(found) == 1
    assert found[0].startswith(f"index/{TRAIN}.parquet: row 1: has position 0; the shard has ")


def test_an_index_is_not_compared_with_broken_rows(dataset: MakeDataset) -> None:
    """Where a row breaks a rule, the shard is the problem, not its index."""
    folder = dataset()
    change_rows(folder, put("labels", 1, 3, 9))
    change_index(folder, setting(0, tokens=9))
    found = problems(folder)
    assert [line for line in found if line.startswith("index")] == []


def test_files(dataset: MakeDataset) -> None:
    """A missing, a foreign and a changed index are reported."""
    folder = dataset()
    path = index_path(folder, FIRST)
    data = path.read_bytes()
    path.write_bytes(data + b" ")
    assert problems(folder)[0] == (
        f"{INDEX}: has {len(data) + 1:,} bytes; the manifest says {len(data):,}"
    )
    path.rename(path.with_name("mine"))
    assert problems(folder) == [
        f"{INDEX}: is missing",
        "index/mine: is a file that the manifest does not name",
    ]


def test_a_file_of_another_kind(dataset: MakeDataset) -> None:
    """A file that is no Parquet file is reported, and the rest is checked."""
    folder = dataset()
    index_path(folder, FIRST).write_bytes(b"no index" * 9)
    describe_index(folder, index_path(folder, FIRST))
    (found,) = problems(folder)
    assert found.startswith(f"{INDEX}: cannot be read: Parquet ")


def test_other_columns(dataset: MakeDataset) -> None:
    """An index with other columns is reported."""
    folder = dataset()
    path = index_path(folder, FIRST)
    pq.write_table(pq.read_table(path).drop_columns(["line"]), path)
    describe_index(folder, path)
    assert problems(folder) == [f"{INDEX}: has no column line; an index has one"]


@settings(
    deadline=None,
    max_examples=some(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_index(dataset: MakeDataset, data: st.DataObject) -> None:
    """Whatever numbers an index holds, the check gives problems and does not fail."""
    folder = dataset()
    number = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([-1, 0, 1, 2**31 - 1]))

    def change(rows: Rows) -> None:
        for row in rows:
            for name in ("row", "position", "tokens", "trained_tokens", "source", "cut_tokens"):
                if data.draw(st.booleans()):
                    row[name] = data.draw(number)
            row["segments"] = [
                each | {"tokens": data.draw(number), "message": data.draw(number)}
                for each in row["segments"] * data.draw(st.integers(0, 2))
            ]

    path = index_path(folder, FIRST)
    before = path.read_bytes()
    change_index(folder, change)
    try:
        assert all(isinstance(line, str) for line in problems(folder))
    finally:
        path.write_bytes(before)


def test_large_index_of_a_small_shard(dataset: MakeDataset) -> None:
    """An index with very many rows is read in batches."""
    folder = dataset()
    path = index_path(folder, FIRST)
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table] * 9000), path)
    describe_index(folder, path)
    assert problems(folder)[-1] == f"{INDEX}: lists 18,000 documents; the shard holds 2"
