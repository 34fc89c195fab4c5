"""MDS shards for LLM Foundry: each row is a list of turns, as JSON.

A turn is a run of tokens without loss, and the run of trained ones behind it: LLM Foundry calls
them ``input_ids`` and ``labels``, and joins them again. It cannot be given tokens behind the last
trained one. No loss depends on them, so they are kept in the last turn under a key that it does not
read, ``rest``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any, BinaryIO

import numpy as np
import orjson

from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Ragged, lengths_to_offsets
from sftprep.formats import mds
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.mds import preload, sample_of, stored_samples
from sftprep.formats.places import Described

__all__ = ["PLACES", "Writer", "chunks", "preload"]

NAME = "turns"
REST = "rest"
KEYS = (("input_ids", False), ("labels", True), (REST, False))
"""The runs of a turn, and whether they are trained."""


class Writer(mds.Writer):
    """Writes each row as one sample with one column. The groups have ids and a loss mask."""

    encoding = "json"

    def names(self, group: Columns) -> list[str]:
        """Return the column of a sample."""
        del group
        return [NAME]

    def samples(self, group: Columns) -> Iterator[bytes]:
        """Yield the sample of each row; every row has a trained token."""
        ids, mask = group.values()
        option = orjson.OPT_SERIALIZE_NUMPY
        for start, stop in pairwise(ids.offsets.tolist()):
            flags = mask.values[start:stop]
            borders = np.flatnonzero(np.diff(flags)) + start + 1
            runs = [ids.values[a:b] for a, b in pairwise([start, *borders.tolist(), stop])]
            if flags[0]:
                runs.insert(0, ids.values[:0])
            pairs = zip(runs[:-1:2], runs[1::2], strict=True)
            turns = [{"input_ids": before, "labels": trained} for before, trained in pairs]
            if len(runs) % 2:
                turns[-1][REST] = runs[-1]
            yield sample_of([orjson.dumps(turns, option=option)])


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, some samples at a time, as ids and a loss mask."""
    ids_name, mask_name = tuple(expected) or ("input_ids", "loss_mask")
    row = 0
    for names, samples in stored_samples(file, Writer.encoding):
        if names != [NAME]:
            raise ShardError(f"has the columns {', '.join(names)[:200]}; expected {NAME}")
        runs: list[list[int]] = []
        trained: list[bool] = []
        lengths = []
        for number, (text,) in enumerate(samples):
            found = _runs(orjson.loads(text), row + number)
            runs += [run for run, _ in found]
            trained += [flag for _, flag in found]
            lengths.append(sum(len(run) for run, _ in found))
        ids = np.fromiter(chain.from_iterable(runs), np.int32, sum(lengths))
        mask = np.repeat(np.array(trained, np.int32), [len(run) for run in runs])
        offsets = lengths_to_offsets(np.array(lengths, np.int64))
        columns = {ids_name: Ragged(ids, offsets), mask_name: Ragged(mask, offsets)}
        yield Chunk({name: column for name, column in columns.items() if not only or name in only})
        row += len(samples)


def _runs(turns: Any, row: int) -> list[tuple[list[int], bool]]:
    """Return the runs of tokens of a row, and whether each is trained."""
    is_list = isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
    if not is_list or not turns:
        raise ShardError("is no list of turns", row)
    pair = {"input_ids", "labels"}
    if any(turn.keys() != pair for turn in turns[:-1]) or turns[-1].keys() - {REST} != pair:
        raise ShardError("has a turn with other keys than input_ids and labels", row)
    runs = [(turn[key], flag) for turn in turns for key, flag in KEYS if key in turn]
    for run, _ in runs:
        if not isinstance(run, list) or set(map(type, run)) - {int}:
            raise ShardError("has a turn whose tokens are no list of whole numbers", row)
    return runs


def describing_files(splits: Mapping[str, Sequence[Described]], kinds: Kinds) -> dict[str, bytes]:
    """Return the ``index.json`` of each split, by its path."""
    del kinds  # a sample has one column, whatever it is made from
    return mds.describing_files(splits, {NAME: np.dtype(object)}, Writer.encoding)


PLACES = replace(mds.PLACES, describe=describing_files)
