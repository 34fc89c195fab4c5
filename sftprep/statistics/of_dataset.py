"""The figures of a finished dataset, from its manifest, its indexes and its ledgers.

In     the folder of a dataset: any target, any format, packed or not.
Out    ``Statistics``.
Keeps  reading to the indexes: the shards themselves are not opened, and segments are read only
       where rows are longer than the shortest limit.
Raises NoInputError: the folder holds no dataset. DataError, StorageError: it is damaged.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sftprep.data.limits import LIMITS, STRATEGIES, LimitCounts
from sftprep.data.ragged import Mask, Offsets
from sftprep.dataset.accounting import OVER_LIMIT
from sftprep.dataset.files import DROPPED, REJECTS, SPLITS
from sftprep.dataset.index import BadIndexError, Numbers, Runs, numbers_of
from sftprep.dataset.manifest import Manifest, load_manifest, size_of
from sftprep.errors import DataError, StorageError
from sftprep.rows.limits import NONE, Shapes, outcome
from sftprep.statistics import computing
from sftprep.statistics.figures import Lengths, Losses, Packs, Shards, Statistics
from sftprep.statistics.rows import Collected, RowNumbers

CURE = "The dataset is damaged: build it again."
KINDS: dict[str, type[np.generic]] = {
    "source": np.int32,
    "tokens": np.int32,
    "trained_tokens": np.int32,
    "prompt_key": np.uint64,
    "record_key": np.uint64,
}
"""The columns of the index that are kept for all documents."""
READ = (*KINDS, "cut_tokens", "exchanges_dropped")


def of_dataset(folder: Path, *, batch_size: int) -> Statistics:
    """Return the figures of a dataset.

    Args:
        folder: its folder.
        batch_size: how many rows, or packs, a training step takes.
    """
    manifest = load_manifest(folder)
    recipe, counts = manifest.recipe, manifest.counts
    tried: Sequence[int] = LIMITS
    whole = _is_whole(manifest)
    if not whole:
        tried = tuple(limit for limit in LIMITS if limit < recipe["max_length"])
    reading = _Reading(folder, manifest, tried)
    rows = reading.rows()
    tokens = int(rows.tokens.sum(dtype=np.int64))
    names = [entry["name"] for entry in manifest.inputs]
    numbers, number_counts = reading.whole_lengths()
    repeated = counts["repeated"]
    return Statistics(
        kind="dataset",
        name=str(folder),
        template=manifest.template["name"],
        tokenizer=manifest.tokenizer["name"],
        max_length=recipe["max_length"],
        truncation=recipe["truncation"],
        packed=recipe["pack"],
        sample=None,
        losses=losses(counts),
        rows=computing.group("all", rows.tokens, rows.trained, tokens),
        splits=computing.groups(rows.splits, rows.split, rows, tokens),
        sources=computing.groups(names, rows.source, rows, tokens),
        lengths=Lengths(
            rows=int(number_counts.sum()),
            longest=int(numbers[-1]) if len(numbers) else 0,
            fits_99=computing.at_most(numbers, number_counts, 99),
            unknown=reading.shortened,
            limits=computing.limits_of(tried, reading.limits, len(rows), tokens),
            limits_of="input" if whole else "rows",
        ),
        packs=packs_of(manifest.arrangement, recipe),
        packing=computing.packings(
            [rows.tokens[rows.split == number] for number in range(len(rows.splits))], LIMITS
        ),
        duplicates=computing.duplicates(rows, repeated),
        epoch=_epoch(manifest, rows, batch_size),
        shards=_shards(manifest),
        seconds=None,
        workers=None,
    )


def losses(counts: dict[str, Any]) -> Losses:
    """Return what has become of the records, from counts in the form of the manifest."""
    same = (
        "read", "written", "repeated", "truncated", "truncated_trained", "shortened",
        "exchanges_dropped",
    )  # fmt: skip
    return Losses(
        examples=counts["read"] + counts["extra_examples"],
        dropped=dict(counts["dropped"]),
        rejected=dict(counts["rejected"]),
        **{name: counts[name] for name in same},
    )


def packs_of(arrangement: dict[str, Any], recipe: dict[str, Any]) -> list[Packs]:
    """Return the packs of each split, or its padded rows.

    Args:
        arrangement: the facts of a plan; empty if nothing was arranged.
        recipe: the options, in the form of the manifest.
    """
    if not arrangement or not (recipe["pack"] or recipe["pad"] != "none"):
        return []
    length = recipe["pack_length"] if recipe["pack"] else None
    found = []
    for name, split in arrangement["splits"].items():
        room = split["packs"] * length if length else split["tokens"] + split["padding"]
        efficiency = computing.share(split["tokens"], room)
        found.append(
            Packs(name, split["packs"], split["documents"], length, efficiency, split["padding"])
        )
    return found


def _is_whole(manifest: Manifest) -> bool:
    """Tell whether no row was cut, and none is missing because of its length."""
    counts = manifest.counts
    lost = [*counts["dropped"], *counts["rejected"]]
    return not (
        counts["truncated"] or counts["shortened"] or any(name in OVER_LIMIT for name in lost)
    )


def _epoch(manifest: Manifest, rows: RowNumbers, batch_size: int) -> Any:
    train = rows.split == 0
    return computing.epoch(
        batch_size,
        sum(shard["rows"] for shard in manifest.shards if shard["split"] == SPLITS[0]),
        int(rows.tokens[train].sum(dtype=np.int64)),
        int(rows.trained[train].sum(dtype=np.int64)),
    )


def _shards(manifest: Manifest) -> Shards:
    sizes = list(map(size_of, manifest.shards))
    return Shards(
        count=len(sizes),
        bytes=sum(sizes),
        index_bytes=sum(shard["index"]["bytes"] for shard in manifest.shards),
        smallest=min(sizes),
        largest=max(sizes),
        estimated=False,
    )


class _Reading:
    """Reads the indexes of a dataset once.

    Args:
        folder: the folder of the dataset.
        manifest: its manifest.
        limits: the maximum lengths that are tried, ascending.

    Attributes:
        limits: what truncation would do at each limit to the rows as they are in the dataset.
        shortened: how many rows have lost exchanges.
    """

    def __init__(self, folder: Path, manifest: Manifest, limits: Sequence[int]) -> None:
        self._folder = folder
        self._manifest = manifest
        self._tried = limits
        self._whole = Collected(np.int32)
        self.limits = LimitCounts.none(len(limits), np.zeros(0, np.int32))
        self.shortened = 0

    def rows(self) -> RowNumbers:
        """Read the numbers of all documents."""
        columns = {name: Collected(kind) for name, kind in KINDS.items()}
        split = Collected(np.uint8)
        for shard in self._manifest.shards:
            for found in self._numbers(shard):
                self._note(found)
                for name, column in columns.items():
                    column.add(found.columns[name])
                tokens = found.columns["tokens"]
                split.add(np.full(len(tokens), SPLITS.index(shard["split"]), np.uint8))
        taken: dict[str, Any] = {name: column.take() for name, column in columns.items()}
        number: Any = split.take()
        return RowNumbers(
            split=number,
            trained=taken.pop("trained_tokens"),
            splits=SPLITS,
            **taken,
        )

    def whole_lengths(self) -> tuple[Offsets, Offsets]:
        """Return the lengths of all rows before they were cut, and how many rows have each.

        Those of records that have no row because of their length are among them.
        """
        for name in (DROPPED, REJECTS):
            if self._loses_by_length("dropped" if name == DROPPED else "rejected"):
                self._whole.add(self._lost(self._folder / name))
        lengths: Any = self._whole.take()
        return computing.counted(lengths)

    def _loses_by_length(self, how: str) -> bool:
        return any(name in OVER_LIMIT for name in self._manifest.counts[how])

    def _numbers(self, shard: dict[str, Any]) -> Iterator[Numbers]:
        path = self._folder / shard["index"]["name"]
        try:
            with path.open("rb") as file:
                yield from numbers_of(file, READ, self._has_long)
        except BadIndexError as error:
            raise DataError(f"{path}: {error.problem}. {CURE}") from error
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}. {CURE}") from error

    def _has_long(self, columns: Any) -> bool:
        return bool(self._tried) and bool((columns["tokens"] > self._tried[0]).any())

    def _note(self, found: Numbers) -> None:
        """Note the lengths before the cut, and count what other limits would do."""
        columns = found.columns
        self._whole.add(columns["tokens"] + columns["cut_tokens"])
        self.shortened += int(np.count_nonzero(columns["exchanges_dropped"]))
        if found.segments is None:
            return
        tokens = columns["tokens"].astype(np.int64)
        long = np.flatnonzero(tokens > self._tried[0])
        segments = _chosen(found.segments, long)
        shapes, several = shapes_of_segments(tokens[long], segments), _has_exchanges(segments)
        for at, limit in enumerate(self._tried):
            is_over = shapes.tokens > limit
            for number, strategy in enumerate(STRATEGIES):
                self._count(number, strategy, at, shapes.rows(is_over), several[is_over])

    def _count(self, number: int, strategy: str, at: int, over: Shapes, several: Mask) -> None:
        counts, limit = self.limits, self._tried[at]
        dropped, left, _ = outcome(over, limit, strategy)
        cut = ~dropped
        counts.cut[number, at] += int(np.count_nonzero(cut))
        counts.dropped[number, at] += int(np.count_nonzero(dropped))
        counts.tokens_dropped[number, at] += int(over.tokens[dropped].sum())
        counts.tokens_cut[number, at] += int((over.tokens - left)[cut].sum())
        if strategy == "oldest-turns":
            counts.uncounted[at] += int(np.count_nonzero(cut & several))

    def _lost(self, path: Path) -> Any:
        """Return the lengths of the records in a ledger that are lost because of their length."""
        lengths: list[int] = []
        try:
            with path.open("rb") as file:
                for line in file:
                    entry = orjson.loads(line)
                    if entry["reason"] in OVER_LIMIT and "tokens" in entry:
                        lengths.append(entry["tokens"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{path}: is not a list of lost records. {CURE}") from error
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}. {CURE}") from error
        return np.array(lengths, np.int32)


def _chosen(runs: Runs, rows: Offsets) -> Runs:
    """Return the segments of some documents."""
    sizes = np.diff(runs.offsets)
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[rows] = True
    kept = np.repeat(chosen, sizes)
    offsets = np.concatenate([[0], np.cumsum(sizes[rows])]).astype(np.int64)
    columns: list[Any] = [column[kept] for column in runs[1:]]
    return Runs(offsets, *columns)


def _has_exchanges(runs: Runs) -> Mask:
    """Tell for each document whether it has more than one message of the user."""
    count = len(runs.offsets) - 1
    document = np.repeat(np.arange(count), np.diff(runs.offsets))[runs.is_user]
    message = runs.message[runs.is_user]
    begins = np.ones(len(message), np.bool_)
    begins[1:] = (message[1:] != message[:-1]) | (document[1:] != document[:-1])
    found: Mask = np.bincount(document[begins], minlength=count) > 1
    return found


def shapes_of_segments(tokens: Offsets, runs: Runs) -> Shapes:
    """Return the shapes of documents as far as their segments tell.

    What is never cut is the BOS and the system prompt; the template's own text around a single
    exchange is not told apart from the prompt.

    Args:
        tokens: int64[documents].
        runs: their segments.
    """
    count = len(tokens)
    sizes = np.diff(runs.offsets)
    document = np.repeat(np.arange(count), sizes)
    ends = np.cumsum(runs.tokens) - np.repeat(np.cumsum(tokens) - tokens, sizes)
    starts = ends - runs.tokens
    with_loss = runs.trained & (ends > np.maximum(starts, 1))
    first = _least(np.maximum(starts, 1), with_loss, document, count)
    last = np.full(count, -1, np.int64)
    np.maximum.at(last, document[with_loss], ends[with_loss] - 1)
    last_message = np.full(count, -2, np.int64)
    # Segments are in order, so that the last assignment is that of the last trained one.
    last_message[document[runs.trained]] = runs.message[runs.trained]
    of_answer = runs.trained & (runs.message == last_message[document])
    begins = _least(starts, of_answer, document, count)
    completion = tokens - np.minimum(begins, tokens)
    size = np.zeros(count, np.int64)
    np.add.at(size, document[of_answer], runs.tokens[of_answer])
    kept = np.zeros(count, np.int64)
    is_kept = runs.is_kept & (starts < begins[document])
    np.add.at(kept, document[is_kept], runs.tokens[is_kept])
    zero = np.zeros(count, np.int64)
    second = np.where(size > 1, zero + 1, NONE)
    return Shapes(tokens, first, last, kept, completion, zero, second)


def _least(values: Offsets, chosen: Any, document: Offsets, count: int) -> Offsets:
    """Return the least chosen value of each document; ``NONE`` if it has none."""
    found = np.full(count, NONE, np.int64)
    np.minimum.at(found, document[chosen], values[chosen])
    return found
