"""Megatron's packed Parquet files, checked as its own reader checks them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from batches import many_rows

from sftprep.data.arranged import ArrangedRows
from sftprep.data.ragged import Ragged
from sftprep.formats import megatron_parquet
from sftprep.targets.table import TARGETS

FORM = TARGETS["megatron-bridge"].form(packed=True)


def write(path: Path, rows: ArrangedRows) -> None:
    """Write rows as one file."""
    with path.open("xb") as file:
        writer = megatron_parquet.Writer(file)
        writer.write(FORM.columns_of(rows, -100))
        writer.close()


def test_what_its_reader_validates(tmp_path: Path) -> None:
    """Mask and ids have one length; starts begin with 0, ascend, and lie in the row."""
    rows = ArrangedRows(
        np.array([5, 6, 7, 8, 9, 4, 3], np.int32),
        np.array([0, 1, 0, 1, 1, 0, 1], np.bool_),
        np.array([0, 5, 7]),
        seq_lengths=Ragged.of([[2, 3], [2]]),
    )
    path = tmp_path / "train.idx.parquet"
    write(path, rows)
    assert path.name.endswith(".idx.parquet")
    table = pq.read_table(path)
    assert table.to_pydict() == {
        "input_ids": [[5, 6, 7, 8, 9], [4, 3]],
        "loss_mask": [[1, 0, 1, 1, 0], [1, 0]],
        "seq_start_id": [[0, 2], [0]],
    }
    assert [str(f.type.value_type) for f in table.schema] == ["int32", "int8", "int32"]


def test_small_row_groups(tmp_path: Path) -> None:
    """A row group has at most 500 rows, so that its reader reads little for a row."""
    batch = many_rows(1300)
    keep = batch.lengths > 0
    write(tmp_path / "a.idx.parquet", ArrangedRows.of(batch.keep_rows(keep)))
    meta = pq.ParquetFile(tmp_path / "a.idx.parquet").metadata
    assert meta.num_rows == int(keep.sum())
    assert max(meta.row_group(n).num_rows for n in range(meta.num_row_groups)) == 500
    with (tmp_path / "a.idx.parquet").open("rb") as file:
        found = list(megatron_parquet.chunks(file, FORM.kinds))
    assert sum(map(len, found)) == meta.num_rows
