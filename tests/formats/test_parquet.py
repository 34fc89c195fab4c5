"""Parquet files."""

import gc
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batches import THREE_ROWS, grouped, many_rows, save, three_rows

from sftprep.formats import parquet
from sftprep.formats.row_groups import Grouper
from sftprep.targets.hf import columns_of_batch


def test_arrow_reads_it(tmp_path: Path) -> None:
    """Arrow itself reads the three columns, as lists of small integers."""
    save(tmp_path / "shard", "parquet", three_rows())
    table = pq.read_table(tmp_path / "shard")
    assert [field.type.value_type for field in table.schema] == [pa.int32(), pa.int8(), pa.int32()]
    assert table.to_pydict() == THREE_ROWS


def test_a_group_is_a_row_group(tmp_path: Path) -> None:
    """Each group that is written is one row group, with zstd and without dictionaries."""
    with (tmp_path / "shard").open("xb") as file:
        writer = parquet.Writer(file)
        for group in grouped([many_rows(10)], Grouper(max_rows=4)):
            writer.write(columns_of_batch(group, -100))
        writer.close()
        assert not file.closed
    metadata = pq.ParquetFile(tmp_path / "shard").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [4, 4, 2]
    column = metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert not column.has_dictionary_page
    assert not column.is_stats_set


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_close_is_not_tried_again() -> None:
    """If the footer cannot be written, Arrow does not try once more when it is collected."""
    calls: list[int] = []

    class Full(io.BytesIO):
        """A file that takes rows, and no footer."""

        full = False

        def write(self, data: Any, /) -> int:
            """Fail once the disk is full."""
            if self.full:
                calls.append(len(data))
                raise OSError(28, "No space left on device")
            return super().write(data)

    file = Full()
    writer = parquet.Writer(file)
    writer.write(columns_of_batch(three_rows(), -100))
    file.full = True
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    before = len(calls)
    del writer
    gc.collect()
    assert len(calls) == before > 0
