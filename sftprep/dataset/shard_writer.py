"""Write shards while their rows come in, beside the other work.

In     batches in input order, for one shard after the other.
Out    a durable file for each shard, and what the manifest says of it.
Keeps  the order; a shard's bytes depend on its rows alone. A few groups of rows wait in memory, so
       that it does not follow the size of a shard; a writer that is behind lets the run wait.
Raises OSError of the file, when the shard or a later one is waited for.
"""

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from sftprep.data.batch import Batch
from sftprep.formats.row_groups import Grouper
from sftprep.formats.table import FORMATS, Writer

WORKERS_A_THREAD = 4  # a thread writes as fast as about six workers make rows
WAITING = 4  # groups that wait for each thread

Facts = dict[str, Any]


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
        self._is_alone = workers == 1
        # A shard has one thread, so that its groups stay in order.
        self._threads = [ThreadPoolExecutor(1) for _ in range(1 + workers // WORKERS_A_THREAD)]
        self._waiting: deque[Future[None]] = deque()
        if not self._is_alone:  # others load something too, and do not use all cores for that
            self._waiting.append(self._threads[0].submit(self._format.load))
        self._shards = 0
        self._files: list[_File] = []  # that are not known to be finished

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
        for file in self._files:
            file.abandon()

    def shard(self, path: Path) -> "Shard":
        """The next shard, to be written to a new file once it has rows."""
        thread = self._threads[self._shards % len(self._threads)]
        self._shards += 1

        def do(task: Callable[[], None]) -> None:
            future = thread.submit(task)
            self._waiting.append(future)
            if self._is_alone:
                wait([future])
            while self._waiting and self._waiting[0].done():
                self._waiting.popleft().result()
            if len(self._waiting) > WAITING * len(self._threads):
                self._waiting.popleft().result()

        def make() -> _File:
            self._files = [file for file in self._files if not file.is_done]
            self._files.append(_File(path, self._format.Writer, self._ignore_index))
            return self._files[-1]

        return Shard(make, do)


class Shard:
    """One shard: takes batches, and ends as a file."""

    def __init__(
        self, make: Callable[[], "_File"], do: Callable[[Callable[[], None]], None]
    ) -> None:
        self._make = make
        self._do = do
        self._file: _File | None = None
        self._grouper = Grouper()

    def add(self, batch: Batch | None) -> None:
        """Add the rows of a block, if it has any."""
        if batch is not None:
            self._file = self._file or self._make()
            for group in self._grouper.add(batch):
                self._do(self._file.writing(group))

    def close(self) -> "Future[Facts] | None":
        """There are no more rows.

        Returns:
            What the manifest says of the shard, once it is durable; None where it has no rows.
        """
        if self._file is None:
            return None
        for group in self._grouper.rest():
            self._do(self._file.writing(group))
        done: Future[Facts] = Future()
        self._do(self._file.ending(done))
        return done


class _File:
    """A shard's file: what its thread does."""

    def __init__(
        self, path: Path, writer: Callable[[IO[bytes], int], Writer], ignore_index: int
    ) -> None:
        self._path = path
        self._make = writer
        self._ignore_index = ignore_index
        self._file: IO[bytes] | None = None
        self._writer: Writer | None = None
        self._facts = {"rows": 0, "tokens": 0, "trained_tokens": 0}
        self._error: BaseException | None = None  # the first; nothing is done after it
        self.is_done = False

    def writing(self, group: Batch) -> Callable[[], None]:
        """Write a group."""
        return lambda: self._try(lambda: self._write(group))

    def ending(self, done: "Future[Facts]") -> Callable[[], None]:
        """Make the file durable, and say what it is."""

        def end() -> None:
            try:
                self._try(lambda: done.set_result(self._end()))
            except BaseException as error:
                done.set_exception(error)
                raise

        return end

    def _try(self, step: Callable[[], None]) -> None:
        if self._error is not None:
            raise self._error
        try:
            step()
        except OSError as error:  # a write does not say where
            self._error = OSError(error.errno, error.strerror or str(error), str(self._path))
            raise self._error from error
        except BaseException as error:
            self._error = error
            raise

    def _write(self, group: Batch) -> None:
        if self._file is None:
            self._file = self._path.open("x+b")
            self._writer = self._make(self._file, self._ignore_index)
        assert self._writer is not None
        self._writer.write(group)
        self._facts["rows"] += len(group)
        self._facts["tokens"] += len(group.input_ids)
        self._facts["trained_tokens"] += int(np.count_nonzero(group.loss_mask))

    def _end(self) -> Facts:
        assert self._file is not None
        assert self._writer is not None
        with self._file as file:
            self._writer.close()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        self.is_done = True
        return {**self._facts, "bytes": size, "sha256": sha256}

    def abandon(self) -> None:
        """Close the file of a run that failed; what is in it is of no use."""
        if self._file is not None and not self.is_done:
            with contextlib.suppress(Exception):
                if self._writer is not None:
                    self._writer.close()
            with contextlib.suppress(OSError):
                self._file.close()
