"""Collect rows into shards and write each as soon as it is complete, beside the other work.

In     batches in input order, each with the number of its shard.
Out    files in the staging folder and, at the end, what the manifest says of each.
Keeps  the order; a shard's bytes depend on its rows alone.
"""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from sftprep.records import Batch
from sftprep.shards import FORMATS

WAITING = 2  # complete shards in memory at the most, besides the one being collected


class Written(NamedTuple):
    """A shard on disk, before it has its final name."""

    path: Path
    facts: dict[str, Any]


class ShardWriter:
    """Writes shards; Arrow works outside Python's lock, so a thread does it."""

    def __init__(self, folder: Path, name: str, ignore_index: int) -> None:
        self._folder = folder
        self._format = FORMATS[name]
        self._ignore_index = ignore_index
        self._threads = ThreadPoolExecutor(WAITING)
        self._futures: list[Future[Written]] = []
        self._shard = 0
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

    def add(self, shard: int, batch: Batch | None) -> None:
        """Add the rows of a block, if it has any."""
        if shard != self._shard:
            self._flush()
            self._shard = shard
        if batch is not None:
            self._batches.append(batch)

    def finish(self) -> list[dict[str, Any]]:
        """Write what is left, give all shards their final names, and describe them."""
        self._flush()
        written = [future.result() for future in self._futures]
        for index, shard in enumerate(written):
            name = f"train-{index:05d}-of-{len(written):05d}.{self._format.ENDING}"
            shard.path.rename(self._folder / name)
            shard.facts["name"] = name
        return [{"name": shard.facts.pop("name"), **shard.facts} for shard in written]

    def _flush(self) -> None:
        if not self._batches:
            return
        if len(self._futures) >= WAITING:
            self._futures[-WAITING].result()
        batch = Batch.concatenate(self._batches)
        self._batches = []
        path = self._folder / f"shard-{len(self._futures):05d}"
        self._futures.append(self._threads.submit(self._write, path, batch))

    def _write(self, path: Path, batch: Batch) -> Written:
        self._format.write(path, batch, self._ignore_index)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        facts = {
            "rows": len(batch),
            "tokens": len(batch.input_ids),
            "trained_tokens": int(batch.loss_mask.sum()),
            "bytes": path.stat().st_size,
            "sha256": sha256,
        }
        return Written(path, facts)
