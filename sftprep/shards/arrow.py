"""Arrow IPC files, with zstd: quick to write and to map into memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from sftprep.records import Batch, Ids, Ragged
from sftprep.shards.columns import check_columns, parts_of, rows_of, table_of
from sftprep.shards.parts import Part

ENDING = "arrow"


class Writer:
    """Writes to an empty file, a record batch for each group."""

    def __init__(self, file: IO[bytes], ignore_index: int) -> None:
        self._file = file
        self._ignore_index = ignore_index
        self._writer: Any = None

    def write(self, group: Batch) -> None:
        """Write a group."""
        import pyarrow as pa

        table = table_of(group, self._ignore_index)
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
            self._writer = pa.ipc.new_file(self._file, table.schema, options=options)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write what comes last."""
        if self._writer is not None:
            self._writer.close()


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
