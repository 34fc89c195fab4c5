"""Arrow IPC files, with zstd: quick to write and to map into memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sftprep.data.ragged import Ids, Ragged
from sftprep.formats.chunks import Chunk
from sftprep.formats.columns import TableWriter, check_columns, chunks_of, rows_of

ENDING = "arrow"


def load() -> None:
    """Load Arrow."""
    import pyarrow  # noqa: F401


class Writer(TableWriter):
    """Writes to an empty file, a record batch for each group."""

    def open(self, schema: Any) -> Any:
        """Arrow's writer for the file."""
        import pyarrow as pa

        # No threads of its own: it is written beside the workers, which use all cores.
        codec = pa.Codec("zstd", 2)
        options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
        return pa.ipc.new_file(self._file, schema, options=options)


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        return rows_of(pa.ipc.open_file(file).read_all())


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The rows by record batches."""
    import pyarrow as pa

    shard = pa.ipc.open_file(file)
    check_columns(shard.schema)
    return chunks_of(map(shard.get_batch, range(shard.num_record_batches)))
