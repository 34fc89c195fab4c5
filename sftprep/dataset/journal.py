"""What a run has finished, on disk, so that ``--resume`` redoes only what is missing.

In     what decides the run's bytes (the plan); for each finished shard what the manifest says of it
       and the counts so far.
Out    ``plan.json`` and ``journal.jsonl`` in the staging folder: a line a shard, in order, durable,
       written after the shard itself is durable. On resume: the finished shards whose files are
       whole, and the blocks of the input that are left to do.
Keeps  the input the same: of each finished shard the hash of its sources up to its end is kept, and
       on resume they are read and hashed again that far before anything new is written.
Never  trusts a line that was half written, a file that changed, or anything behind one of these.
Raises OutputError where the interrupted run had another plan or read another input.

The first part of the input is read again on resume: this costs a hash, not the work, needs no
position in a compressed file, and works with standard input too.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import orjson

from sftprep.data.block import Block, Source
from sftprep.dataset.durable import remove, sync, write_durably
from sftprep.dataset.identity import difference
from sftprep.dataset.staging import JOURNAL, PLAN
from sftprep.errors import OutputError
from sftprep.text import ascii_safe

Facts = dict[str, Any]


class Journal:
    """The journal of one run.

    Args:
        staging: the staging folder.
        sources: the run's sources.
    """

    def __init__(self, staging: Path, sources: Sequence[Source]) -> None:
        self.finished: list[Facts] = []  # entries of an interrupted run
        self._staging = staging
        self._dataset = staging / "dataset"
        self._sources = sources
        # Of each part of the input that was read to its end: each source's digest up to there.
        self._digests: list[dict[str, str]] = []
        self._waiting: deque[tuple[Facts, Future[Facts] | None]] = deque()

    def resumable(self) -> bool:
        """Whether an interrupted run left a plan."""
        return (self._staging / PLAN).is_file()

    def begin(self, plan: Facts) -> None:
        """Write the plan: the first thing that a run does."""
        path = self._staging / PLAN
        write_durably(path, orjson.dumps(plan, option=orjson.OPT_INDENT_2))
        write_durably(self._staging / JOURNAL, b"")
        sync(self._staging)

    def resume(self, plan: Facts) -> None:
        """Take up what an interrupted run finished.

        Raises:
            OutputError: it had another plan; the text names the first difference.
        """
        try:
            old = orjson.loads((self._staging / PLAN).read_bytes())
        except orjson.JSONDecodeError:  # killed while it was written: nothing was done yet
            old = plan
        if different := difference(old, plan):
            raise OutputError(
                f"{self._staging}: the interrupted run cannot be resumed: {different}. Run with "
                "the same options and input, or without --resume to start anew."
            )
        self._dataset.mkdir(exist_ok=True)
        for path in self._dataset.glob("train-*"):  # killed between naming and publishing
            path.rename(self._dataset / _staged_name(int(path.name.split("-")[1])))
        for entry in _whole_lines(self._staging / JOURNAL):
            if not self._is_whole(entry):
                break
            self.finished.append(entry)
        while self.finished and not self._has_ledgers(self.finished[-1]):
            self.finished.pop()
        self._tidy()
        kept = b"".join(orjson.dumps(entry) + b"\n" for entry in self.finished)
        write_durably(self._staging / PLAN, orjson.dumps(plan, option=orjson.OPT_INDENT_2))
        write_durably(self._staging / JOURNAL, kept)

    def _is_whole(self, entry: Facts) -> bool:
        """Whether the shard that a line speaks of is there."""
        if (shard := entry["shard"]) is None:
            return True
        path = self._dataset / _staged_name(self._named)
        return _starts_with(path, shard) and path.stat().st_size == shard["bytes"]

    def _has_ledgers(self, entry: Facts) -> bool:
        """Whether the ledgers hold what they held when a line was written."""
        return all(_starts_with(self._dataset / n, f) for n, f in entry["ledgers"].items())

    def _tidy(self) -> None:
        """Remove what was written after the last finished shard."""
        ledgers = self.finished[-1]["ledgers"] if self.finished else {}
        shards = {_staged_name(index) for index in range(self._named)}
        for path in self._dataset.iterdir():
            if path.name in ledgers:
                os.truncate(path, ledgers[path.name]["bytes"])
            elif path.name not in shards:
                remove(path)

    @property
    def _named(self) -> int:
        """How many finished shards have rows, and so a file."""
        return sum(entry["shard"] is not None for entry in self.finished)

    def left(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks that are not done; what was done of the input is compared on its way.

        Raises:
            OutputError: a finished shard's part of the input is not what it was.
        """
        ends: dict[str, str] = {}  # each source's digest to where this part ends in it
        first = last = None
        for block in blocks:
            if first is not None and last is not None and block.shard != last.shard:
                self._part_ends(ends, first, last)
                first, ends = None, {}
            ends[str(block.source)] = block.text_sha256
            first, last = first or block, block
            if block.shard >= len(self.finished):
                yield block
        if first is not None and last is not None:
            self._part_ends(ends, first, last)
        if len(self._digests) < len(self.finished):
            raise self._changed(f"the input ends before part {len(self.finished)}")

    def _part_ends(self, ends: dict[str, str], first: Block, last: Block) -> None:
        self._digests.append(ends)
        index = len(self._digests) - 1
        if index < len(self.finished) and self.finished[index]["input"] != ends:
            raise self._changed(
                f"the part from {self._place(first, first.line)} to "
                f"{self._place(last, last.place(len(last.lines()) - 1)[0])} is not what the "
                "interrupted run read"
            )

    def _place(self, block: Block, line: int) -> str:
        return f"{ascii_safe(self._sources[block.source].path)}:{line}"

    def _changed(self, what: str) -> OutputError:
        return OutputError(
            f"{what}. The input has changed: restore it, or run without --resume to start anew."
        )

    def next_shard(self) -> Path:
        """Where the next shard that has rows is to be written."""
        waiting = sum(shard is not None for _, shard in self._waiting)
        return self._dataset / _staged_name(self._named + waiting)

    def add(self, counts: Facts, ledgers: Facts, shard: "Future[Facts] | None") -> None:
        """A shard's rows are all counted, and on their way to the disk.

        Args:
            counts: the tally's state after this shard.
            ledgers: name -> bytes and SHA-256 of each ledger so far.
            shard: becomes what the manifest says of the shard, once it is durable; None where it
                has no rows.
        """
        self._waiting.append(({"counts": counts, "ledgers": ledgers}, shard))
        while self._waiting and ((first := self._waiting[0][1]) is None or first.done()):
            self._write()

    def close(self, name: Callable[[int, int], str]) -> list[Facts]:
        """Wait for all shards and give them their names; what the manifest says of each, in order.

        Args:
            name: a shard's file name, from its number and the number of all shards.
        """
        while self._waiting:
            self._write()
        shards = [entry["shard"] for entry in self.finished if entry["shard"] is not None]
        names = [name(index, len(shards)) for index in range(len(shards))]
        for index, final in enumerate(names):
            (self._dataset / _staged_name(index)).rename(self._dataset / final)
        return [{"name": n, **facts} for n, facts in zip(names, shards, strict=True)]

    def _write(self) -> None:
        waiting, shard = self._waiting.popleft()
        facts = None if shard is None else shard.result()
        # The reader is ahead of the writer: this shard's part of the input was read to its end.
        entry = {"shard": facts, "input": self._digests[len(self.finished)], **waiting}
        for name in entry["ledgers"]:
            sync(self._dataset / name)
        sync(self._dataset)
        with (self._staging / JOURNAL).open("ab") as file:
            file.write(orjson.dumps(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished.append(entry)


def _staged_name(index: int) -> str:
    return f"shard-{index:05d}"


def _whole_lines(path: Path) -> list[Facts]:
    """The entries of a journal, up to one that was not written to its end."""
    entries: list[Facts] = []
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    for line in lines[:-1]:
        try:
            entries.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            break
    return entries


def _starts_with(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a file's first bytes, as many as are known, have the hash that is known."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    digest, left = hashlib.sha256(), facts["bytes"]
    with os.fdopen(handle, "rb") as file:
        while left and (chunk := file.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    return not left and bool(digest.hexdigest() == facts["sha256"])
