"""The folder that ``datasets.load_from_disk`` opens, and ``datasets.load_dataset`` too.

A shard is a file of Arrow's *stream* format; the file format of ``--format arrow`` cannot be opened
in this way. It is not compressed, so that it is mapped into memory instead of being read. Beside
the shards of a split are two small files that describe them, and one is in the dataset's folder::

    dataset_dict.json                     the names of the splits
    train/data-00000-of-00002.arrow       a shard
    train/dataset_info.json               the columns
    train/state.json                      the names of the shards

``load_dataset`` finds the shards by the patterns in the dataset's card. Without a card, versions of
``datasets`` up to 4 take ``state.json`` for a row of data.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from sftprep.data.columns import Kinds
from sftprep.formats.chunks import Chunk
from sftprep.formats.columns import TableWriter, check_columns, chunks_of
from sftprep.formats.places import Described, Places


def preload() -> None:
    """Import Arrow."""
    import pyarrow  # noqa: F401


class Writer(TableWriter):
    """Writes each group as one record batch."""

    def open_writer(self, schema: Any) -> Any:
        """Open Arrow's IPC stream writer."""
        import pyarrow as pa

        # Arrow must start no threads of its own: the workers already use all cores.
        return pa.ipc.new_stream(
            self._file, schema, options=pa.ipc.IpcWriteOptions(use_threads=False)
        )


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, one record batch after another."""
    import pyarrow as pa

    shard = pa.ipc.open_stream(file)
    check_columns(shard.schema, expected)
    return chunks_of(batch.select(list(only)) if only else batch for batch in shard)


def describing_files(splits: Mapping[str, Sequence[Described]], kinds: Kinds) -> dict[str, bytes]:
    """Return the files that describe the shards, by their path.

    Args:
        splits: the shards of each split, in order.
        kinds: the columns of the shards.
    """
    files: dict[str, Any] = {"dataset_dict.json": {"splits": list(splits)}}
    for split, shards in splits.items():
        files[f"{split}/dataset_info.json"] = {"features": features(kinds)}
        files[f"{split}/state.json"] = {
            "_data_files": [{"filename": s.path.removeprefix(f"{split}/")} for s in shards],
            "_fingerprint": _fingerprint(shards, kinds),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
    return {path: json.dumps(value, indent=2).encode() + b"\n" for path, value in files.items()}


def _fingerprint(shards: Sequence[Described], kinds: Kinds) -> str:
    """Return what stands for the rows: ``datasets`` finds by it what it has computed from them."""
    lines = [shard.sha256 for shard in shards] + [f"{name} {kind}" for name, kind in kinds.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def features(kinds: Kinds) -> dict[str, Any]:
    """Return the columns as ``datasets`` describes them, in the words that all versions know."""
    return {
        name: {"feature": {"dtype": kind.name, "_type": "Value"}, "_type": "Sequence"}
        for name, kind in kinds.items()
    }


PLACES = Places(
    shard="{split}/data-{index:05d}-of-{count:05d}.arrow",
    describing=("dataset_dict.json", "{split}/dataset_info.json", "{split}/state.json"),
    describe=describing_files,
    loads="{split}/*.arrow",
)
