"""The journal lists the finished shards of a run, so that ``--resume`` builds only the others.

In     the identity of the run; for each finished shard its ``ShardInfo``, the counts of records so
       far, and the state of the ledgers.
Out    ``identity.json`` and ``journal.jsonl`` in the staging folder. On resume: the finished shards
       whose files are undamaged, and the blocks of the input that are not processed yet.
Keeps  all shards of a dataset built from the same input. On resume, the input of the finished
       shards is hashed again and compared before any new shard is finished.
       Rows that are still to be arranged are kept for a run that arranges them in another way.
Never  trusts an incomplete journal line or a changed file, nor anything that was written after it.
Raises OutputError: the interrupted run had another identity, or its input has changed.

This is the journal's part of the commit protocol in ``dataset.staging`` (steps 2 to 4):

- ``begin`` writes ``identity.json`` and then an empty ``journal.jsonl``. From then on the run can
  be resumed.
- For each shard, in input order: the shard's file and its index become durable, then the ledgers,
  then the folders that contain them, and last the shard's line in ``journal.jsonl``. So a complete
  line proves that everything it describes is on disk. Several shards may be written at the same
  time, but a line is written only after the lines of all earlier shards.
- ``finish`` renames the shards from ``data/shard-00000``, and their indexes, to their final names.
  These contain the total number of shards, which is known only then, and for some formats they are
  in other folders. Shards that are only staged, because they are still to be arranged, keep their
  names: then ``wait`` is called instead.

After a crash, ``resume`` reads the complete lines, up to the first incomplete one. It keeps the
shards up to the first one of which a file no longer has the size and the SHA-256 of its line. It
removes everything that was written later: other shard files, and the ends of the ledgers. If the
crash was in ``finish``, some shards have their final names, so ``resume`` first gives them their
old names.

On resume, the input of the finished shards is read again. It is only hashed, not tokenized. This
works without seeking in a compressed file, and for standard input too.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import orjson

from sftprep.data.block import Block, Source, place_in
from sftprep.dataset.durable import read_object, read_objects, remove, sync, write_durably
from sftprep.dataset.files import (
    ALL_SHARD_FOLDERS,
    INDEX,
    SPLITS,
    number_of,
    shard_files,
    shard_folders,
)
from sftprep.dataset.identity import Identity, difference
from sftprep.dataset.ledger import LedgerInfo
from sftprep.dataset.manifest import NamedFile, ShardInfo, files_of, shard_parts
from sftprep.dataset.new_file import FileInfo
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.dataset.staging import ARRANGED, DATASET, IDENTITY, JOURNAL, STAGED, OutputFolder
from sftprep.errors import OutputError
from sftprep.formats.places import DATA
from sftprep.text import ascii_safe, number

ROWS = "rows"
"""The key of ``identity.json`` for the fingerprint of what decides the rows."""


class JournalEntry(TypedDict):
    """A line of the journal: one finished shard, and the state of the run after it."""

    shard: ShardInfo | None  # None if no record of the shard's input has a row
    input: dict[str, str]
    """Index of each source that the shard was built from -> SHA-256 of that source's text, from its
    start to the end of the shard's input."""
    counts: dict[str, Any]  # the result of ``Accounting.state``
    ledgers: dict[str, LedgerInfo]  # the ledgers that have entries, by name


class ShardFolders(NamedTuple):
    """The folders in which the files of each shard are written."""

    shards: Path
    indexes: Path
    format_name: str = ""  # that of the dataset's shards; "" if these are still to be arranged

    @property
    def both(self) -> tuple[Path, Path]:
        """The folders."""
        return self.shards, self.indexes

    def paths(self, number: int) -> ShardPaths:
        """Return the paths of a shard, whose final name is not known yet."""
        name = f"shard-{number:05d}"
        count = len(shard_files(SPLITS[0], 0, 1, self.format_name).names) if self.format_name else 1
        parts = tuple(self.shards / f"{name}.{part}" for part in range(1, count))
        return ShardPaths(self.shards / name, self.indexes / name, parts)

    @classmethod
    def of_dataset(cls, staging: Path, format_name: str) -> "ShardFolders":
        """Return those of shards that are published as they are."""
        return cls(staging / DATASET / DATA, staging / DATASET / INDEX, format_name)

    @classmethod
    def of_rows(cls, staging: Path) -> "ShardFolders":
        """Return those of shards that are still to be arranged."""
        return cls(staging / STAGED / "tokens", staging / STAGED / "index")


class Journal:
    """The journal of one run.

    Args:
        staging: the staging folder.
        sources: the sources of the run.
        folders: where the run writes its shards. If these are still to be arranged, the journal
            removes nothing in the dataset's folders of shards.
    """

    def __init__(self, staging: Path, sources: Sequence[Source], folders: ShardFolders) -> None:
        self.finished: list[JournalEntry] = []
        """The entries so far, including those that ``resume`` kept from an interrupted run."""
        self.arranges_anew = False
        """Whether the interrupted run was to arrange the same rows in another way."""
        self._staging = staging
        self._dataset = staging / DATASET
        self._folders = folders
        self._sources = sources
        # ``JournalEntry.input`` of each shard whose input this run has read completely.
        self._input_digests: list[dict[str, str]] = []
        # For each shard that is being written: the counts and ledgers after it, and its future.
        self._unwritten: deque[
            tuple[dict[str, Any], dict[str, LedgerInfo], Future[ShardInfo] | None]
        ] = deque()

    def can_resume(self) -> bool:
        """Return True if an interrupted run has left its identity."""
        return (self._staging / IDENTITY).is_file()

    def begin(self, identity: Identity, rows: str = "") -> None:
        """Start an empty journal. A run writes it before anything else.

        Args:
            identity: the identity of this run.
            rows: the fingerprint of what decides its rows, if these are still to be arranged.
        """
        for folder in self._folders.both:
            folder.mkdir(parents=True)
        self._write_identity(identity, rows)
        write_durably(self._staging / JOURNAL, b"")
        sync(self._staging)

    def _write_identity(self, identity: Identity, rows: str) -> None:
        values = {**identity, ROWS: rows} if rows else identity
        data = orjson.dumps(values, option=orjson.OPT_INDENT_2)
        write_durably(self._staging / IDENTITY, data)

    def resume(self, identity: Identity, rows: str = "") -> None:
        """Take over the shards that an interrupted run finished, and remove everything else.

        Rows that are still to be arranged may be arranged in another way than that run was asked
        for. Then nothing that it has arranged is kept.

        Args:
            identity: the identity of this run.
            rows: the fingerprint of what decides its rows, if these are still to be arranged.

        Raises:
            OutputError: the interrupted run had another identity; the message names the
                differences.
        """
        old = read_object((self._staging / IDENTITY).read_bytes())
        self.arranges_anew = bool(rows and old.get(ROWS) == rows and difference(old, identity))
        is_known = self.arranges_anew or check_same_run(self._staging, identity)
        if self.arranges_anew and (self._staging / ARRANGED).exists():
            remove(self._staging / ARRANGED)
            sync(self._staging)
        self._dataset.mkdir(exist_ok=True)
        for folder in self._folders.both:
            folder.mkdir(exist_ok=True)
        self._take_back()
        # Without the identity it is unknown which run the shards belong to, so none is kept.
        lines = read_objects(self._staging / JOURNAL) if is_known else []
        for entry in cast(list[JournalEntry], lines):
            if not self._has_next_shard(entry):
                break
            self.finished.append(entry)
        while self.finished and not self._has_ledgers(self.finished[-1]):
            self.finished.pop()
        self._remove_unfinished()
        kept = b"".join(orjson.dumps(entry) + b"\n" for entry in self.finished)
        self._write_identity(identity, rows)
        write_durably(self._staging / JOURNAL, kept)

    def _take_back(self) -> None:
        """Give shards their first names again, if the run stopped in or after ``finish``."""
        if not self._folders.format_name:
            return
        for folder in (*shard_folders(self._folders.format_name), INDEX):
            if not (self._dataset / folder).is_dir():
                continue
            for path in list((self._dataset / folder).iterdir()):
                name = str(path.relative_to(self._dataset))
                if found := number_of(name, self._folders.format_name):
                    paths = self._folders.paths(found.shard)
                    is_index = found.file is None
                    path.rename(paths.index_file if is_index else paths.files[found.file or 0])

    def _has_next_shard(self, entry: JournalEntry) -> bool:
        """Return True if the files of the next shard are as its entry describes them."""
        if (shard := entry["shard"]) is None:
            return True
        paths = self._folders.paths(self._files)
        infos = [*files_of(shard), shard["index"]]
        files = [*paths.files, paths.index_file]
        return len(infos) == len(files) and all(
            starts_with(path, info) and path.stat().st_size == info["bytes"]
            for path, info in zip(files, infos, strict=True)
        )

    def _has_ledgers(self, entry: JournalEntry) -> bool:
        """Return True if the ledgers still start with the content they had for this entry."""
        return all(starts_with(self._dataset / n, info) for n, info in entry["ledgers"].items())

    def _remove_unfinished(self) -> None:
        """Remove everything that was written after the last finished shard."""
        ledgers = self.finished[-1]["ledgers"] if self.finished else {}
        shards = list(map(self._folders.paths, range(self._files)))
        kept = {path for paths in shards for path in (*paths.files, paths.index_file)}
        folders = {folder.name for folder in self._folders.both}
        if not self._folders.format_name:  # those of the arranged shards have another journal
            folders = {*ALL_SHARD_FOLDERS, INDEX}
        for path in self._dataset.iterdir():
            if path.name in ledgers:
                os.truncate(path, ledgers[path.name]["bytes"])
            elif path.name not in folders:
                remove(path)
        for folder in self._folders.both:
            for path in folder.iterdir():
                if path not in kept:
                    remove(path)

    @property
    def _files(self) -> int:
        """Return how many finished shards have rows, and therefore a file."""
        return sum(entry["shard"] is not None for entry in self.finished)

    def unfinished(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield the blocks of unfinished shards; check that the other blocks have not changed.

        Args:
            blocks: all blocks of the run, in input order.

        Raises:
            OutputError: the input of a finished shard has changed.
        """
        digests: dict[str, str] = {}  # ``JournalEntry.input`` of the current shard, so far
        first = last = None
        for block in blocks:
            if first is not None and last is not None and block.shard != last.shard:
                self._end_shard_input(digests, first, last)
                first, digests = None, {}
            digests[str(block.source)] = block.text_sha256
            first, last = first or block, block
            if block.shard >= len(self.finished):
                yield block
        if first is not None and last is not None:
            self._end_shard_input(digests, first, last)
        if len(self._input_digests) < len(self.finished):
            raise _input_changed(
                f"the input makes only {number(len(self._input_digests), 'shard')}, but the "
                f"interrupted run finished {len(self.finished):,}"
            )

    def _end_shard_input(self, digests: dict[str, str], first: Block, last: Block) -> None:
        """Record the digests of a shard's input; compare them if the shard was finished before."""
        self._input_digests.append(digests)
        index = len(self._input_digests) - 1
        if index < len(self.finished) and self.finished[index]["input"] != digests:
            raise _input_changed(
                f"the input from {self._place(first, 0)} to "
                f"{self._place(last, last.records - 1)} is not what the "
                "interrupted run read"
            )

    def _place(self, block: Block, index: int) -> str:
        return place_in(ascii_safe(self._sources[block.source].path), *block.place(index))

    def next_paths(self) -> ShardPaths:
        """Return the paths to which the next shard is written, if it has rows."""
        files = sum(shard is not None for _, _, shard in self._unwritten)
        return self._folders.paths(self._files + files)

    def staged_paths(self) -> list[ShardPaths]:
        """Return the paths of all finished shards that have rows, before they are renamed."""
        return list(map(self._folders.paths, range(self._files)))

    def add(
        self,
        counts: dict[str, Any],
        ledgers: dict[str, LedgerInfo],
        shard: "Future[ShardInfo] | None",
    ) -> None:
        """Add a shard whose rows are all counted. Its line is written once its file is durable.

        Args:
            counts: the state of the accounting after this shard.
            ledgers: the ledgers after this shard, by name.
            shard: a future that gives the ``ShardInfo`` once the shard's file is durable; None if
                the shard has no rows.
        """
        self._unwritten.append((counts, ledgers, shard))
        while self._unwritten and ((first := self._unwritten[0][2]) is None or first.done()):
            self._write_line()

    def rows(self) -> list[int]:
        """Return how many rows each finished shard has, without those that have none."""
        return [entry["shard"]["rows"] for entry in self.finished if entry["shard"] is not None]

    def wait(self) -> None:
        """Wait until all shards are written."""
        while self._unwritten:
            self._write_line()

    def finish(self) -> list[dict[str, Any]]:
        """Wait until all shards are written, and give them their final names.

        Returns:
            The manifest's description of each shard, in order.
        """
        self.wait()
        shards = [entry["shard"] for entry in self.finished if entry["shard"] is not None]
        described = []
        for place, (paths, info) in enumerate(zip(self.staged_paths(), shards, strict=True)):
            final = shard_files(SPLITS[0], place, len(shards), self._folders.format_name)
            for path, name in zip(
                (*paths.files, paths.index_file), (*final.names, final.index_file), strict=True
            ):
                (self._dataset / name).parent.mkdir(exist_ok=True)
                path.rename(self._dataset / name)
            index: NamedFile = {**info["index"], "name": final.index_file}
            parts = shard_parts(files_of(info), final.names)
            described.append(
                {"name": final.name, "split": SPLITS[0], **info, "index": index, **parts}
            )
        if not any(self._folders.shards.iterdir()):  # the format has other folders
            self._folders.shards.rmdir()
        return described

    def _write_line(self) -> None:
        """Wait until the next shard is durable, and write its line."""
        counts, ledgers, shard = self._unwritten.popleft()
        info = None if shard is None else shard.result()
        # The reader is ahead of the writer, so it has read the shard's input completely.
        digests = self._input_digests[len(self.finished)]
        entry = JournalEntry(shard=info, input=digests, counts=counts, ledgers=ledgers)
        for name in ledgers:
            sync(self._dataset / name)
        parents = (folder.parent for folder in self._folders.both)
        for folder in dict.fromkeys((*self._folders.both, *parents, self._dataset)):
            sync(folder)
        with (self._staging / JOURNAL).open("ab") as file:
            file.write(orjson.dumps(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished.append(entry)


def begin_alone(output: OutputFolder, identity: Identity, *, resume: bool) -> bool:
    """Begin a run without a first half, whose shards have another journal.

    Args:
        output: the output folder; its staging folder is locked.
        identity: the identity of the run.
        resume: whether to keep the shards that an interrupted run has left.

    Returns:
        True if shards of an interrupted run are kept.

    Raises:
        OutputError: the interrupted run had another identity.
    """
    staging = output.staging
    continues = resume and (staging / IDENTITY).is_file() and check_same_run(staging, identity)
    if continues:
        for path in (staging / STAGED, *_others(staging / DATASET)):
            if path.exists():
                remove(path)
        (staging / DATASET).mkdir(exist_ok=True)
    else:
        output.begin()
    write_durably(staging / IDENTITY, orjson.dumps(identity, option=orjson.OPT_INDENT_2))
    write_durably(staging / JOURNAL, b"")
    sync(staging)
    return continues


def _others(dataset: Path) -> list[Path]:
    """Return what is in a dataset beside the folders of its shards and their indexes."""
    if not dataset.is_dir():
        return []
    return [p for p in dataset.iterdir() if p.name not in ALL_SHARD_FOLDERS | {INDEX}]


def check_same_run(staging: Path, identity: Identity) -> bool:
    """Return True if it is known that the interrupted run had this identity.

    Raises:
        OutputError: it had another one; the message names what differs.
    """
    old = read_object((staging / IDENTITY).read_bytes())
    if old and (different := difference(old, identity)):
        raise OutputError(
            f"{staging}: the interrupted run cannot be resumed: {different}. Run with the same "
            "options and input, or without --resume to start over."
        )
    return bool(old)


def _input_changed(what: str) -> OutputError:
    return OutputError(
        f"{what}. The input has changed: restore it, or run without --resume to start over."
    )


def starts_with(path: Path, info: FileInfo | LedgerInfo) -> bool:
    """Return True if the first ``info["bytes"]`` bytes of a file have the SHA-256 of ``info``."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    digest, left = hashlib.sha256(), info["bytes"]
    with os.fdopen(handle, "rb") as file:
        while left and (data := file.read(min(left, 1 << 20))):
            digest.update(data)
            left -= len(data)
    return not left and digest.hexdigest() == info["sha256"]
