"""Parquet: zstd, without dictionary and statistics, which cost time and save ids nothing."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, BinaryIO

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import PART_ROWS, check_columns, parts_of, rows_of, table_of
from sftprep.shards.parts import Part

ENDING = "parquet"


def write(file: IO[bytes], groups: Iterable[Batch], ignore_index: int) -> None:
    """Write to an empty file, a row group for each group."""
    import pyarrow.parquet as pq

    tables = (table_of(group, ignore_index) for group in groups)
    first = next(tables)
    with pq.ParquetWriter(
        file,
        first.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
    ) as writer:
        for table in chain([first], tables):
            writer.write_table(table, row_group_size=len(table))


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow.parquet as pq

    return rows_of(pq.read_table(path, columns=["input_ids", "labels"]))


def parts(file: BinaryIO) -> Iterator[Part]:
    """The rows by row groups."""
    import pyarrow.parquet as pq

    shard = pq.ParquetFile(file)
    check_columns(shard.schema_arrow)
    groups = ([group] for group in range(shard.num_row_groups))
    return parts_of(chain.from_iterable(shard.iter_batches(PART_ROWS, g) for g in groups))
