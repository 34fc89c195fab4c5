"""Parquet: zstd, without dictionary and statistics, which cost time and save ids nothing."""

from pathlib import Path

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import GROUP_ROWS, rows_of, table_of

ENDING = "parquet"


def write(path: Path, batch: Batch, ignore_index: int) -> None:
    """Write a new file."""
    import pyarrow.parquet as pq

    with path.open("xb") as file:
        pq.write_table(
            table_of(batch, ignore_index),
            file,
            row_group_size=GROUP_ROWS,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
        )


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow.parquet as pq

    return rows_of(pq.read_table(path, columns=["input_ids", "labels"]))
