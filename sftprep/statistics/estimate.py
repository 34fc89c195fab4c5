"""Estimate how long a run takes, and how large its shards become, from what a part of it takes.

In     the results of blocks, all of the input or a sample of it.
Out    seconds and bytes, rounded by nothing: they are estimates, and a caller says so.
Never  writes a file: the trial shard is written to memory.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.result import BlockResult
from sftprep.dataset.files import SPLITS, shard_files
from sftprep.dataset.index import IndexWriter, table_of
from sftprep.formats.table import writable
from sftprep.recipe import Recipe
from sftprep.statistics.figures import Shards
from sftprep.system.cores import usable_cores
from sftprep.targets.table import TARGETS
from sftprep.targets.target import columns_of_batch

MOST_TOKENS = 1 << 20
"""The trial shard holds no more blocks once it has so many tokens."""
DIGITS = 3


class Costs:
    """Adds up the time that blocks take.

    Args:
        workers: how many worker processes a run uses.

    Attributes:
        all_bytes: the uncompressed size of the input; None if all of it is worked on.
    """

    def __init__(self, workers: int) -> None:
        self.all_bytes: int | None = None
        self._workers = workers
        self._bytes = 0
        self._work = 0.0  # processor time of the stages
        self._own = 0.0  # processor time of this process while it reads the whole input
        self._start = 0.0  # from the beginning to the first result, without the work on it
        self._began = 0.0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count the time in which all of the input is read, for a sample of it."""
        began = time.process_time()
        yield
        self._own = time.process_time() - began

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time in which the blocks are worked on."""
        self._began = time.monotonic()
        began = time.process_time()
        yield
        if self.all_bytes is None:
            own = time.process_time() - began
            # Without workers, this process has done the work as well.
            self._own = own - self._work if own >= self._work else own

    def add(self, result: BlockResult) -> None:
        """Add the time of one block."""
        if not self._bytes:
            self._start = max(time.monotonic() - self._began - result.seconds, 0.0)
        self._bytes += result.size
        self._work += result.seconds

    def seconds(self, writing: float) -> float:
        """Return about how long a run on the whole input takes.

        Args:
            writing: the processor time that its shards take.
        """
        scale = 1.0
        if self.all_bytes is not None and self._bytes:
            scale = self.all_bytes / self._bytes
        work = self._work * scale
        everything = work + self._own + writing
        if self._workers == 1:
            return round(self._start + everything, DIGITS)
        cores = min(usable_cores(), self._workers + 1)
        return round(self._start + max(everything / cores, work / self._workers), DIGITS)


class TrialShard:
    """Writes some of the rows as a shard in memory, to know how large it is.

    Args:
        recipe: names the target and the format. The rows are written without an arrangement.
        vocabulary_size: that of the tokenizer.
    """

    def __init__(self, recipe: Recipe, vocabulary_size: int) -> None:
        self._recipe = recipe
        self._vocabulary_size = vocabulary_size
        self._blocks = 0
        self._next = 0  # the number of the next block whose rows are written
        self._batches: list[Batch] = []
        self._tokens = 0
        self._sizes: tuple[int, int] | None = None  # of the shard and of its index
        self._seconds = 0.0

    def add(self, result: BlockResult) -> None:
        """Take the rows of a block, if it is the first, second, fourth, eighth and so on."""
        self._blocks += 1
        if result.batch is None or self._blocks <= self._next or self._tokens >= MOST_TOKENS:
            return
        self._next = 2 * self._blocks - 1
        self._batches.append(result.batch)
        self._tokens += len(result.batch.input_ids)

    @property
    def seconds_per_token(self) -> float:
        """The processor time that a token takes to write."""
        self._write()
        return self._seconds / max(self._tokens, 1)

    def shards(self, tokens: int, count: int) -> Shards:
        """Return what so many tokens take in a dataset with so many shards."""
        shard, index = self._write()
        scale = tokens / max(self._tokens, 1)
        return Shards(count, int(shard * scale), int(index * scale), None, None, estimated=True)

    def _write(self) -> tuple[int, int]:
        if self._sizes is None:
            rows = Batch.concatenate(self._batches)
            self._batches = []
            began = time.process_time()
            self._sizes = self._sizes_of(rows)
            self._seconds = time.process_time() - began
        return self._sizes

    def _sizes_of(self, rows: Batch) -> tuple[int, int]:
        recipe = self._recipe
        form = TARGETS[recipe.target].form(packed=False, loss_mask=recipe.loss_mask)
        columns = columns_of_batch(form, rows, recipe.ignore_index)
        index = table_of(rows, np.arange(len(rows)), np.zeros(len(rows), np.int32))
        names = shard_files(SPLITS[0], 0, 1, recipe.file_format).names
        files = [BytesIO() for _ in names]
        index_file = BytesIO()
        file_format = writable(recipe.file_format, self._vocabulary_size)
        writers: list[tuple[Any, Any]] = [
            (file_format.Writer(*files), columns),
            (IndexWriter(index_file), index),
        ]
        for writer, content in writers:
            writer.write(content)
            writer.close()
        return sum(len(file.getvalue()) for file in files), len(index_file.getvalue())
