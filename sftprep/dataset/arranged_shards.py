"""The shards of an arranged dataset: each is gathered alone, several at the same time.

In     the plan of all splits; the staged documents; what an interrupted run has finished.
Out    a durable file and index for each shard, under their final names; and for each shard its
       line in ``arranged.jsonl``, once all of its files are durable.
Keeps  a shard's bytes the same whichever thread writes it, and whenever. A finished shard is kept
       on resume if all of its files are whole; every other one is gathered again.
Raises OSError: a file cannot be written; the error names it. What is finished can be resumed.
       InternalError: the shards of a split do not hold the documents that were planned.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypedDict, cast

import orjson

from sftprep.arrange.conservation import check_written, text, total
from sftprep.arrange.plan import Plan, SplitPlan
from sftprep.dataset.durable import read_objects, remove, sync, write_durably
from sftprep.dataset.files import ALL_SHARD_FOLDERS, INDEX, ShardFiles, shard_files
from sftprep.dataset.gather import Gatherer, cuts, rows_of
from sftprep.dataset.journal import starts_with
from sftprep.dataset.manifest import ShardInfo, files_of, shard_parts
from sftprep.dataset.new_file import GroupWriter, NewFiles
from sftprep.dataset.staging import ARRANGED, DATASET
from sftprep.formats.table import WritableFormat

MOST_THREADS = 8
"""More threads would write no faster than a disk takes it, and each needs memory for its groups."""


class OutputShard(NamedTuple):
    """One shard of the dataset: some consecutive rows of a split."""

    files: ShardFiles
    split: SplitPlan
    start: int  # its first row in the split
    stop: int

    @property
    def name(self) -> str:
        """The path in the dataset that stands for the shard."""
        return self.files.name


class ArrangedEntry(TypedDict):
    """A line of ``arranged.jsonl``: one finished shard."""

    name: str
    shard: ShardInfo
    padding: int
    counts: dict[str, int]  # see ``gather.counts_of``


def output_shards(plan: Plan, most_tokens: int, format_name: str) -> list[OutputShard]:
    """Divide each split into shards with at most so many tokens, padding included."""
    return [
        shard
        for split in plan.splits
        for shard in shards_of(split, cuts(split.lengths, most_tokens), format_name)
    ]


def shards_of(split: SplitPlan, borders: Sequence[int], format_name: str) -> list[OutputShard]:
    """Return the shards of a split, given the first row of each and the number of all rows."""
    count = len(borders) - 1
    return [
        OutputShard(shard_files(split.name, number, count, format_name), split, start, stop)
        for number, (start, stop) in enumerate(pairwise(borders))
    ]


class ArrangedShards:
    """Writes the shards of one arranged dataset.

    Args:
        staging: the staging folder of the run.
        shards: all shards of the dataset.
        gatherer: gathers the rows of a shard.
        file_format: the format of the shards.
        new_index: returns the writer of an index for an empty, open file.
    """

    def __init__(
        self,
        staging: Path,
        shards: Sequence[OutputShard],
        gatherer: Gatherer,
        file_format: WritableFormat,
        new_index: Callable[[BinaryIO], GroupWriter],
    ) -> None:
        self._dataset = staging / DATASET
        self._journal = staging / ARRANGED
        self._shards = shards
        self._gatherer = gatherer
        self._format = file_format
        self._new_index = new_index
        self._finished: dict[str, ArrangedEntry] = {}
        self._lock = threading.Lock()
        self._has_ended = threading.Event()

    def begin(self, *, resume: bool) -> list[ArrangedEntry]:
        """Remove what is no finished shard; return the lines of the finished ones that are kept.

        Args:
            resume: False to keep none.
        """
        lines = cast(list[ArrangedEntry], read_objects(self._journal)) if resume else []
        shards = {shard.name: shard for shard in self._shards}
        for entry in lines:
            shard = shards.get(entry.get("name", ""))
            if shard is not None and self._is_whole(entry, shard.files):
                self._finished[shard.name] = entry
        kept = {
            name
            for shard in self._finished
            for name in (*shards[shard].files.names, shards[shard].files.index_file)
        }
        self._keep_only(kept)
        lines = list(self._finished.values())
        write_durably(self._journal, b"".join(orjson.dumps(entry) + b"\n" for entry in lines))
        sync(self._journal.parent)
        return lines

    def _keep_only(self, kept: Collection[str]) -> None:
        """Remove everything else from the folders of shards, which exist afterwards."""
        needed = {Path(p).parts[0] for s in self._shards for p in (s.name, s.files.index_file)}
        for name in ALL_SHARD_FOLDERS | {INDEX}:
            folder = self._dataset / name
            if name not in needed:
                if folder.exists():
                    remove(folder)
                continue
            folder.mkdir(exist_ok=True)
            for path in folder.iterdir():
                if str(path.relative_to(self._dataset)) not in kept:
                    remove(path)

    def _is_whole(self, entry: ArrangedEntry, files: ShardFiles) -> bool:
        """Return True if all files of a shard are as its line describes them."""
        infos = [*files_of(entry["shard"]), entry["shard"]["index"]]
        paths = [self._dataset / name for name in (*files.names, files.index_file)]
        return len(infos) == len(paths) and all(
            starts_with(path, info) and path.stat().st_size == info["bytes"]
            for path, info in zip(paths, infos, strict=True)
        )

    def write(self, workers: int) -> Iterator[ArrangedEntry]:
        """Write all shards that are not finished; yield each as soon as it is.

        Args:
            workers: how many cores may be used.
        """
        left = [shard for shard in self._shards if shard.name not in self._finished]
        self._format.preload()
        with ThreadPoolExecutor(max(1, min(workers, MOST_THREADS))) as threads:
            futures: list[Future[ArrangedEntry]] = []
            try:
                futures = [threads.submit(self._write_shard, shard) for shard in left]
                for future in as_completed(futures):
                    yield future.result()
            finally:
                self._has_ended.set()
                threads.shutdown(wait=True, cancel_futures=True)

    def counts(self) -> Counter[str]:
        """Return what is counted of all documents, once all shards are written."""
        found: Counter[str] = Counter()
        for entry in self._finished.values():
            found.update(entry["counts"])
            found.update({name: entry["shard"][name] for name in ("tokens", "trained_tokens")})
        return found

    def entries(self, digests: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the manifest's description of each shard, once all are written.

        Args:
            digests: the digest that was planned for each split, in hexadecimal.

        Raises:
            InternalError: a split does not hold the documents that were planned.
        """
        for name, planned in digests.items():
            written = [self._finished[s.name] for s in self._shards if s.split.name == name]
            check_written(
                name, int(planned, 16), total(*(int(e["shard"]["digest"], 16) for e in written))
            )
        return [
            {"name": s.name, "split": s.split.name, **self._finished[s.name]["shard"]}
            for s in self._shards
        ]

    def _write_shard(self, shard: OutputShard) -> ArrangedEntry:
        """Gather one shard, and write its line once all of its files are durable."""
        paths = [self._dataset / name for name in shard.files.names]
        index_path = self._dataset / shard.files.index_file
        rows = rows_of(shard.split, shard.start, shard.stop)
        with (
            NewFiles(paths, self._format.Writer) as files,
            NewFiles([index_path], self._new_index) as index_file,
        ):
            done = self._gatherer.write(rows, files, index_file, self._keep_on)
            infos, (index_info,) = files.finish(), index_file.finish()
        entry = ArrangedEntry(
            name=shard.name,
            shard={
                "rows": done.rows,
                "documents": done.documents,
                "tokens": done.tokens,
                "trained_tokens": done.trained_tokens,
                "digest": text(done.digest),
                **infos[0],
                "index": {"name": shard.files.index_file, **index_info},
                **shard_parts(infos, shard.files.names),
            },
            padding=done.padding,
            counts=dict(done.counts),
        )
        with self._lock:
            sync(paths[0].parent)
            sync(index_path.parent)
            with self._journal.open("ab") as journal:
                journal.write(orjson.dumps(entry) + b"\n")
                journal.flush()
                os.fsync(journal.fileno())
            self._finished[shard.name] = entry
        return entry

    def _keep_on(self) -> None:
        """Raise an error if another thread has failed, or the run was interrupted."""
        if self._has_ended.is_set():
            raise InterruptedError("the run has ended")
