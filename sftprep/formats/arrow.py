"""Arrow IPC files, compressed with zstd. They are fast to write and to map into memory."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from sftprep.data.columns import Kinds
from sftprep.formats.chunks import Chunk
from sftprep.formats.columns import TableWriter, check_columns, chunks_of
from sftprep.formats.places import in_data

PLACES = in_data("arrow")


def preload() -> None:
    """Import Arrow."""
    import pyarrow  # noqa: F401


class Writer(TableWriter):
    """Writes each group as one record batch."""

    def open_writer(self, schema: Any) -> Any:
        """Open Arrow's IPC file writer."""
        import pyarrow as pa

        codec = pa.Codec("zstd", 2)
        # Arrow must start no threads of its own: the workers already use all cores.
        options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
        return pa.ipc.new_file(self._file, schema, options=options)


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, one record batch after another."""
    import pyarrow as pa

    shard = pa.ipc.open_file(file)
    check_columns(shard.schema, expected)
    if only:
        fields = [shard.schema.names.index(name) for name in only]
        shard = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields))
    return chunks_of(map(shard.get_batch, range(shard.num_record_batches)))
