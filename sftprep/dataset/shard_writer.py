"""Write shards in threads, while the workers build the next rows.

In     batches in input order, for one shard after another.
Out    a durable file for each shard that has rows, and its ``ShardInfo``.
Keeps  the order of rows, so that a shard's bytes depend only on its rows. Keeps memory bounded: at
       most a few groups of rows wait for each thread; when there are more, the caller waits.
Raises OSError: a shard's file cannot be written. The error names the file, and is raised when a
       later group is added, or by the future of the ``ShardInfo``.

Arrow compresses and writes without holding Python's global interpreter lock, so threads are enough.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.columns import Columns
from sftprep.dataset.manifest import ShardInfo
from sftprep.formats.row_groups import Grouper
from sftprep.formats.table import FormatWriter, WritableFormat
from sftprep.system.files import sha256_of

WORKERS_PER_THREAD = 4  # one thread writes as fast as about six workers build rows
WAITING_PER_THREAD = 4  # the maximum number of groups that wait, per thread


class ShardWriter:
    """Writes the shards of a run.

    Args:
        file_format: the format's module.
        columns_of: returns the columns of a group of rows, as the target wants them.
        workers: how many workers build rows. With one, writing in parallel gains nothing, so the
            caller waits until each group is written.
        new_grouper: creates the grouper of a shard.
    """

    def __init__(
        self,
        file_format: WritableFormat,
        columns_of: Callable[[Batch], Columns],
        workers: int = 1,
        new_grouper: Callable[[], Grouper] = Grouper,
    ) -> None:
        self._format = file_format
        self._columns_of = columns_of
        self._waits = workers == 1
        self._new_grouper = new_grouper
        # One thread writes all groups of a shard, so that they stay in order.
        self._threads = [ThreadPoolExecutor(1) for _ in range(1 + workers // WORKERS_PER_THREAD)]
        self._pending: deque[Future[None]] = deque()
        if not self._waits:  # the libraries are imported while the workers start
            self._pending.append(self._threads[0].submit(self._format.preload))
        self._shards = 0
        self._unfinished: list[_ShardFile] = []  # files that may still be open

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for thread in self._threads:
            thread.shutdown(wait=True, cancel_futures=True)
        for file in self._unfinished:
            file.abandon()

    def new_shard(self, path: Path) -> "Shard":
        """Begin the next shard. The file ``path`` is created when the shard gets its first rows."""
        thread = self._threads[self._shards % len(self._threads)]
        self._shards += 1

        def new_file() -> _ShardFile:
            file = _ShardFile(path, self._format.Writer, self._columns_of)
            self._unfinished = [other for other in self._unfinished if not other.is_done]
            self._unfinished.append(file)
            return file

        return Shard(new_file, self._new_grouper(), lambda task: self._submit(thread, task))

    def _submit(self, thread: ThreadPoolExecutor, task: Callable[[], None]) -> None:
        """Give a task to a thread. Raise an earlier task's error; wait if too many are pending."""
        future = thread.submit(task)
        self._pending.append(future)
        if self._waits:
            wait([future])
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()
        if len(self._pending) > WAITING_PER_THREAD * len(self._threads):
            self._pending.popleft().result()


class Shard:
    """One shard: collects batches, and writes them to a file if they have rows.

    Args:
        new_file: returns a ``_ShardFile``, which creates the file later.
        grouper: collects the rows into groups.
        submit: gives a task to the thread of the shard.
    """

    def __init__(
        self,
        new_file: Callable[[], "_ShardFile"],
        grouper: Grouper,
        submit: Callable[[Callable[[], None]], None],
    ) -> None:
        self._new_file = new_file
        self._grouper = grouper
        self._submit = submit
        self._file: _ShardFile | None = None

    def add(self, batch: Batch | None) -> None:
        """Add the rows of the next block, if it has any."""
        if batch is not None:
            self._file = self._file or self._new_file()
            for group in self._grouper.add(batch):
                self._submit(self._file.write_task(group))

    def close(self) -> "Future[ShardInfo] | None":
        """Write the remaining rows, and make the file durable.

        Returns:
            A future that gives the shard's info once its file is durable; None if the shard has no
            rows and therefore no file.
        """
        if self._file is None:
            return None
        for group in self._grouper.rest():
            self._submit(self._file.write_task(group))
        info: Future[ShardInfo] = Future()
        self._submit(self._file.finish_task(info))
        return info


class _ShardFile:
    """The file of a shard. One thread does all of its tasks, in order."""

    def __init__(
        self,
        path: Path,
        new_writer: Callable[[BinaryIO], FormatWriter],
        columns_of: Callable[[Batch], Columns],
    ) -> None:
        self._path = path
        self._new_writer = new_writer
        self._columns_of = columns_of
        self._file: BinaryIO | None = None
        self._writer: FormatWriter | None = None
        self._rows = 0
        self._tokens = 0
        self._trained_tokens = 0
        self._error: BaseException | None = None  # the first error; later tasks raise it again
        self.is_done = False

    def write_task(self, group: Batch) -> Callable[[], None]:
        """Return a task that writes a group."""
        return lambda: self._try(lambda: self._write(group))

    def finish_task(self, info: "Future[ShardInfo]") -> Callable[[], None]:
        """Return a task that makes the file durable and sets the result of ``info``."""

        def finish() -> None:
            try:
                self._try(lambda: info.set_result(self._finish()))
            except BaseException as error:
                info.set_exception(error)
                raise

        return finish

    def _try(self, step: Callable[[], None]) -> None:
        """Do a step; if an earlier step failed, raise its error instead."""
        if self._error is not None:
            raise self._error
        try:
            step()
        except OSError as error:  # a failed write does not name its file
            self._error = OSError(error.errno, error.strerror or str(error), str(self._path))
            raise self._error from error
        except BaseException as error:
            self._error = error
            raise

    def _write(self, group: Batch) -> None:
        if self._file is None:
            self._file = self._path.open("x+b")
            self._writer = self._new_writer(self._file)
        assert self._writer is not None
        self._writer.write(self._columns_of(group))
        self._rows += len(group)
        self._tokens += len(group.input_ids)
        self._trained_tokens += int(np.count_nonzero(group.loss_mask))

    def _finish(self) -> ShardInfo:
        assert self._file is not None
        assert self._writer is not None
        with self._file as file:
            self._writer.close()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.seek(0)
            sha256 = sha256_of(file)
        self.is_done = True
        return {
            "rows": self._rows,
            "documents": self._rows,
            "tokens": self._tokens,
            "trained_tokens": self._trained_tokens,
            "bytes": size,
            "sha256": sha256,
        }

    def abandon(self) -> None:
        """Close the file of a run that failed; its content is not needed."""
        if self._file is not None and not self.is_done:
            with contextlib.suppress(Exception):
                if self._writer is not None:
                    self._writer.close()
            with contextlib.suppress(OSError):
                self._file.close()
