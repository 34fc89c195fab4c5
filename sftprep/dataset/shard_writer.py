"""Write shards in threads, while the workers build the next rows.

In     batches in input order, with the facts of their rows, for one shard after another.
Out    for each shard that has rows a durable file and a durable index, and its ``ShardInfo``.
Keeps  the order of rows, so that a shard's bytes depend only on its rows. Keeps memory bounded: at
       most a few groups of rows wait for each thread; when there are more, the caller waits.
Raises OSError: a file cannot be written. The error names the file, and is raised when a later group
       is added, or by the future of the ``ShardInfo``.

Arrow compresses and writes without holding Python's global interpreter lock, so threads are enough.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple, Self

import numpy as np

from sftprep.arrange.conservation import digest, text, total
from sftprep.data.batch import Batch
from sftprep.data.columns import Columns
from sftprep.dataset.manifest import ShardInfo, shard_parts
from sftprep.dataset.new_file import GroupWriter, NewFiles
from sftprep.formats.row_groups import Grouper
from sftprep.formats.table import WritableFormat

WORKERS_PER_THREAD = 4  # one thread writes as fast as about six workers build rows
WAITING_PER_THREAD = 4  # the maximum number of groups that wait, per thread


class ShardPaths(NamedTuple):
    """Where the files of a shard are written."""

    shard: Path
    index_file: Path
    parts: tuple[Path, ...] = ()  # the shard's other files, if its format has several

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, without the index."""
        return (self.shard, *self.parts)


class ShardWriter:
    """Writes the shards of a run.

    Args:
        file_format: the format's module.
        columns_of: returns the columns of a group of rows, as the target wants them.
        workers: how many workers build rows. With one, writing in parallel gains nothing, so the
            caller waits until each group is written.
        new_grouper: creates the grouper of a shard.
        index_form: the file format of the indexes.
    """

    def __init__(
        self,
        file_format: WritableFormat,
        columns_of: Callable[[Batch], Columns],
        workers: int = 1,
        new_grouper: Callable[[], Grouper] = Grouper,
        index_form: Literal["parquet", "arrow"] = "parquet",
    ) -> None:
        self._format = file_format
        self._columns_of = columns_of
        self._index_form: Literal["parquet", "arrow"] = index_form
        self._waits = workers == 1
        self._new_grouper = new_grouper
        # One thread writes all groups of a shard, so that they stay in order.
        self._threads = [ThreadPoolExecutor(1) for _ in range(1 + workers // WORKERS_PER_THREAD)]
        self._pending: deque[Future[None]] = deque()
        if not self._waits:  # the libraries are imported while the workers start
            self._pending.append(self._threads[0].submit(self._preload))
        self._shards = 0
        self._unfinished: list[_ShardFiles] = []  # files that may still be open

    def _preload(self) -> None:
        from sftprep.dataset import index

        self._format.preload()
        index.preload()

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
        for files in self._unfinished:
            files.close()

    def new_shard(self, paths: ShardPaths) -> "Shard":
        """Begin the next shard. Its files are created when the shard gets its first rows."""
        thread = self._threads[self._shards % len(self._threads)]
        self._shards += 1

        def new_files() -> _ShardFiles:
            files = _ShardFiles(
                paths,
                self._format.Writer,
                partial(_new_index, form=self._index_form),
                self._columns_of,
            )
            self._unfinished = [other for other in self._unfinished if not other.is_done]
            self._unfinished.append(files)
            return files

        return Shard(new_files, self._new_grouper(), lambda task: self._submit(thread, task))

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


def _new_index(file: BinaryIO, form: Literal["parquet", "arrow"]) -> GroupWriter:
    from sftprep.dataset.index import IndexWriter

    return IndexWriter(file, form)


class Shard:
    """One shard: collects batches, and writes them to its files if they have rows.

    Args:
        new_files: returns a ``_ShardFiles``, which creates the files later.
        grouper: collects the rows into groups.
        submit: gives a task to the thread of the shard.
    """

    def __init__(
        self,
        new_files: Callable[[], "_ShardFiles"],
        grouper: Grouper,
        submit: Callable[[Callable[[], None]], None],
    ) -> None:
        self._new_files = new_files
        self._grouper = grouper
        self._submit = submit
        self._files: _ShardFiles | None = None

    def add(self, batch: Batch | None) -> None:
        """Add the rows of the next block, if it has any."""
        if batch is not None:
            self._files = self._files or self._new_files()
            for group in self._grouper.add(batch):
                self._submit(self._files.write_task(group))

    def close(self) -> "Future[ShardInfo] | None":
        """Write the remaining rows, and make the files durable.

        Returns:
            A future that gives the shard's info once its files are durable; None if the shard has
            no rows and therefore no files.
        """
        if self._files is None:
            return None
        for group in self._grouper.rest():
            self._submit(self._files.write_task(group))
        info: Future[ShardInfo] = Future()
        self._submit(self._files.finish_task(info))
        return info


class _ShardFiles:
    """The files of a shard. One thread does all of their tasks, in order."""

    def __init__(
        self,
        paths: ShardPaths,
        new_writer: Callable[..., GroupWriter],
        new_index: Callable[[BinaryIO], GroupWriter],
        columns_of: Callable[[Batch], Columns],
    ) -> None:
        self._paths = paths
        self._new_writer = new_writer
        self._new_index = new_index
        self._columns_of = columns_of
        self._open = contextlib.ExitStack()
        self._files: tuple[NewFiles, NewFiles] | None = None  # those of the shard, and its index
        self._rows = 0
        self._tokens = 0
        self._trained_tokens = 0
        self._digest = 0
        self._error: BaseException | None = None  # the first error; later tasks raise it again
        self.is_done = False

    def write_task(self, group: Batch) -> Callable[[], None]:
        """Return a task that writes a group."""
        return lambda: self._try(lambda: self._write(group))

    def finish_task(self, info: "Future[ShardInfo]") -> Callable[[], None]:
        """Return a task that makes the files durable and sets the result of ``info``."""

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
        except BaseException as error:
            self._error = error
            raise

    def _write(self, group: Batch) -> None:
        from sftprep.dataset.index import table_of

        facts = group.facts
        assert facts is not None
        if self._files is None:
            self._files = (
                self._open.enter_context(NewFiles(self._paths.files, self._new_writer)),
                self._open.enter_context(NewFiles([self._paths.index_file], self._new_index)),
            )
        shard, index = self._files
        shard.write(self._columns_of(group))
        rows = np.arange(self._rows, self._rows + len(group))
        index.write(table_of(group, rows, np.zeros(len(group), np.int32)))
        self._rows += len(group)
        self._tokens += len(group.input_ids)
        self._trained_tokens += int(np.count_nonzero(group.loss_mask))
        of_group = digest(facts.record_key, group.lengths, facts.segments.row_trained)
        self._digest = total(self._digest, of_group)

    def _finish(self) -> ShardInfo:
        assert self._files is not None
        with self._open:
            infos, (index_info,) = (files.finish() for files in self._files)
        self.is_done = True
        parts = shard_parts(infos, [path.name for path in self._paths.files])
        return {
            "rows": self._rows,
            "documents": self._rows,
            "tokens": self._tokens,
            "trained_tokens": self._trained_tokens,
            "digest": text(self._digest),
            **infos[0],
            "index": {"name": self._paths.index_file.name, **index_info},
            **parts,
        }

    def close(self) -> None:
        """Close the files; after a run that failed, their content is not needed."""
        self._open.close()
