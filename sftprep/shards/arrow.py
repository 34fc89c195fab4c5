"""Arrow IPC files, with zstd: quick to write and to map into memory."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, BinaryIO

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import check_columns, parts_of, rows_of, table_of
from sftprep.shards.parts import Part

ENDING = "arrow"


def write(file: IO[bytes], groups: Iterable[Batch], ignore_index: int) -> None:
    """Write to an empty file, a record batch for each group."""
    import pyarrow as pa

    tables = (table_of(group, ignore_index) for group in groups)
    first = next(tables)
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
    with pa.ipc.new_file(file, first.schema, options=options) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        return rows_of(pa.ipc.open_file(file).read_all())


def parts(file: BinaryIO) -> Iterator[Part]:
    """The rows by record batches."""
    import pyarrow as pa

    shard = pa.ipc.open_file(file)
    check_columns(shard.schema)
    return parts_of(map(shard.get_batch, range(shard.num_record_batches)))
