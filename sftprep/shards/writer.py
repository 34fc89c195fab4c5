"""Collect rows into shards and write each as soon as it is complete, beside the other work.

In     batches in input order.
Out    a durable file for each shard, and what the manifest says of it.
Keeps  the order; a shard's bytes depend on its rows alone.
"""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sftprep.records import Batch
from sftprep.shards import FORMATS

WAITING = 2  # complete shards in memory at the most, besides the one being collected


class ShardWriter:
    """Writes shards; Arrow works outside Python's lock, so a thread does it.

    Args:
        name: the format.
        ignore_index: the label where there is no loss.
    """

    def __init__(self, name: str, ignore_index: int) -> None:
        self._format = FORMATS[name]
        self._ignore_index = ignore_index
        self._threads = ThreadPoolExecutor(WAITING)
        self._futures: list[Future[dict[str, Any]]] = []
        self._batches: list[Batch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(self, batch: Batch | None) -> None:
        """Add the rows of a block, if it has any, to the shard that is being collected."""
        if batch is not None:
            self._batches.append(batch)

    def write(self, path: Path) -> "Future[dict[str, Any]] | None":
        """Begin to write the collected shard to a new file; None where it has no rows.

        Returns:
            What the manifest says of the shard, once it is durable.
        """
        if not self._batches:
            return None
        if len(self._futures) >= WAITING:
            self._futures[-WAITING].result()
        batch = Batch.concatenate(self._batches)
        self._batches = []
        self._futures.append(self._threads.submit(self._write, path, batch))
        return self._futures[-1]

    def _write(self, path: Path, batch: Batch) -> dict[str, Any]:
        with path.open("x+b") as file:
            self._format.write(file, batch, self._ignore_index)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "rows": len(batch),
            "tokens": len(batch.input_ids),
            "trained_tokens": int(batch.loss_mask.sum()),
            "bytes": size,
            "sha256": sha256,
        }
