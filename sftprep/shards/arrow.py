"""Arrow IPC files, with zstd: quick to write and to map into memory."""

from pathlib import Path

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import GROUP_ROWS, rows_of, table_of

ENDING = "arrow"


def write(path: Path, batch: Batch, ignore_index: int) -> None:
    """Write a new file."""
    import pyarrow as pa

    table = table_of(batch, ignore_index)
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
    with (
        path.open("xb") as file,
        pa.ipc.new_file(file, table.schema, options=options) as writer,
    ):
        writer.write_table(table, max_chunksize=GROUP_ROWS)


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        return rows_of(pa.ipc.open_file(file).read_all())
