"""The staged rows: columns for the plan, and any rows with their tokens and index."""

from pathlib import Path

import numpy as np
import pytest
from staged_rows import documents, stage

from sftprep.data.batch import Batch
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.dataset.staged_rows import StagedRows
from sftprep.errors import DataError
from sftprep.formats.staged import decoded


def test_columns_are_those_of_all_rows(tmp_path: Path) -> None:
    """The plan gets the numbers of every row, in the order of the files."""
    batches = [documents(20), documents(3, source=1)]
    rows, whole = stage(tmp_path, *batches), Batch.concatenate(batches)
    columns = rows.columns()
    assert whole.facts is not None
    assert len(rows) == len(columns) == 23
    assert columns.source.tolist() == [0] * 20 + [1] * 3
    assert columns.tokens.tolist() == whole.lengths.tolist()
    assert columns.trained.tolist() == whole.trained().tolist()
    assert columns.record_key.tolist() == whole.facts.record_key.tolist()
    assert columns.prompt_key.tolist() == whole.facts.prompt_key.tolist()
    assert columns.group_key is None


def test_any_rows_in_any_order(tmp_path: Path) -> None:
    """Rows come with their tokens and their index, also repeated ones."""
    batches = [documents(20), documents(9, source=1), documents(3, source=2)]
    rows, whole = stage(tmp_path, *batches), Batch.concatenate(batches)
    wanted = np.array([31, 0, 19, 20, 20, 5])
    tokens, index = rows.tokens(wanted), rows.index(wanted)
    ids, mask = decoded(tokens.values)
    for place, row in enumerate(wanted.tolist()):
        part = slice(*tokens.offsets[place : place + 2].tolist())
        expected = whole.rows(row, row + 1)
        assert ids[part].tolist() == expected.input_ids.tolist()
        assert mask[part].tolist() == expected.loss_mask.tolist()
    assert index.column("source").to_pylist() == [2, 0, 0, 1, 1, 0]
    assert index.column("line").to_pylist() == [3, 1, 20, 1, 1, 6]
    assert index.column("reasons").to_pylist() == [
        ["unclean_boundary"] * (row % 2 == 0) for row in (2, 0, 19, 0, 0, 5)
    ]
    parts = [[s["tokens"] for s in row] for row in index.column("segments").to_pylist()]
    assert list(map(sum, parts)) == tokens.lengths.tolist()
    rows.release()
    assert rows.index(wanted).equals(index)


def test_rows_with_other_numbers(tmp_path: Path) -> None:
    """Rows can be numbered in another order than that of the files, and some left out."""
    batch = documents(10)
    rows = stage(tmp_path, batch)
    order = np.array([9, 3, 4])
    rows.reorder(order)
    assert len(rows) == 3
    assert rows.column("line").tolist() == [10, 4, 5]
    assert rows.index(np.array([1])).column("line").to_pylist() == [4]
    assert rows.tokens(np.array([2])).lengths.tolist() == [batch.lengths[4]]


def test_a_null_is_minus_one(tmp_path: Path) -> None:
    """A record of a table has no byte offset."""
    batch = documents(3)
    assert batch.facts is not None
    batch.facts.offset[1] = -1
    assert stage(tmp_path, batch).column("offset").tolist() == [0, -1, 200]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Tokens that do not fit the index, and files that are no index, are data errors."""
    stage(tmp_path, documents(3))
    shard = ShardPaths(tmp_path / "0.tokens", tmp_path / "0.index")
    data = shard.shard.read_bytes()
    shard.shard.write_bytes(data[:-4])
    with pytest.raises(DataError, match="its rows have"):
        StagedRows([shard])
    shard.shard.write_bytes(data)
    shard.index_file.write_bytes(b"ARROW1")
    with pytest.raises(DataError, match="is not an index"):
        StagedRows([shard])


def test_the_examples_of_a_record_are_known(tmp_path: Path) -> None:
    """Rows of one record have one number; without such rows there are no numbers."""
    batch = documents(5)
    assert batch.facts is not None
    assert stage(tmp_path, batch).columns().record is None
    batch.facts.line[1:3], batch.facts.offset[1:3] = 2, 100
    batch.facts.answer[2] = 1
    (tmp_path / "more").mkdir()
    record = stage(tmp_path / "more", batch).columns().record
    assert record is not None
    assert record.tolist() == [0, 1, 1, 2, 3]
