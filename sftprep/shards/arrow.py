"""Arrow IPC files, with zstd: quick to write and to map into memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import GROUP_ROWS, check_columns, parts_of, rows_of, table_of
from sftprep.shards.parts import Part

ENDING = "arrow"


def write(file: IO[bytes], batch: Batch, ignore_index: int) -> None:
    """Write to an empty file."""
    import pyarrow as pa

    table = table_of(batch, ignore_index)
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
    with pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=GROUP_ROWS)


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
