"""Collect rows into shards and write each as soon as it is complete, beside the other work.

In     batches in input order.
Out    a durable file for each shard, and what the manifest says of it.
Keeps  the order; a shard's bytes depend on its rows alone.
"""

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sftprep.records import Batch
from sftprep.shards import FORMATS
from sftprep.shards.groups import groups

WORKERS_A_THREAD = 4  # a thread writes as fast as about six workers make rows


class ShardWriter:
    """Writes shards; Arrow works outside Python's lock, so threads do it beside the workers.

    Args:
        name: the format.
        ignore_index: the label where there is no loss.
        workers: how many there are; a single one writes by itself.
    """

    def __init__(self, name: str, ignore_index: int, workers: int = 1) -> None:
        self._format = FORMATS[name]
        self._ignore_index = ignore_index
        self._most = 0 if workers == 1 else 1 + workers // WORKERS_A_THREAD
        self._threads = ThreadPoolExecutor(max(self._most, 1))
        self._writing: deque[Future[dict[str, Any]]] = deque()
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
        while self._most and len(self._writing) >= self._most:  # each holds a shard in memory
            self._writing.popleft().result()
        batches, self._batches = self._batches, []
        future = self._threads.submit(self._write, path, batches)
        if self._most:
            self._writing.append(future)
        else:
            wait([future])
        return future

    def _write(self, path: Path, batches: list[Batch]) -> dict[str, Any]:
        with path.open("x+b") as file:
            self._format.write(file, groups(batches), self._ignore_index)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "rows": sum(map(len, batches)),
            "tokens": sum(len(batch.input_ids) for batch in batches),
            "trained_tokens": sum(int(batch.loss_mask.sum()) for batch in batches),
            "bytes": size,
            "sha256": sha256,
        }
