"""MDS shards for LLM Foundry: each row is a list of turns, as JSON.

A turn is a run of tokens without loss, and the run of trained ones behind it: LLM Foundry calls
them ``input_ids`` and ``labels``, and joins them again. So a row must end with a trained token.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import orjson

from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Ragged
from sftprep.errors import DataError
from sftprep.formats import mds
from sftprep.formats.chunks import Chunk, ShardError
from sftprep.formats.mds import preload, sample_of, stored_samples
from sftprep.formats.places import Described

__all__ = ["PLACES", "Writer", "chunks", "preload"]

NAME = "turns"


class Writer(mds.Writer):
    """Writes each row as one sample with one column. The groups have ids and a loss mask."""

    encoding = "json"

    def names(self, group: Columns) -> list[str]:
        """Return the column of a sample."""
        del group
        return [NAME]

    def samples(self, group: Columns) -> Iterator[bytes]:
        """Yield the sample of each row.

        Raises:
            DataError: a row ends with a token that is not trained.
        """
        ids, mask = group.values()
        option = orjson.OPT_SERIALIZE_NUMPY
        for start, stop in pairwise(ids.offsets.tolist()):
            flags = mask.values[start:stop]
            if not len(flags) or not flags[-1]:
                raise DataError(
                    "a row ends with a token that is not trained, and LLM Foundry's turns cannot "
                    "hold such a token. Use a template whose rows end with the end of an answer, "
                    "or --target streaming, whose columns hold any row."
                )
            borders = np.flatnonzero(np.diff(flags)) + start + 1
            parts = [ids.values[a:b] for a, b in pairwise([start, *borders.tolist(), stop])]
            if flags[0]:
                parts.insert(0, ids.values[:0])
            turns = [
                {"input_ids": before, "labels": trained}
                for before, trained in zip(parts[::2], parts[1::2], strict=True)
            ]
            yield sample_of([orjson.dumps(turns, option=option)])


def chunks(file: BinaryIO, expected: Kinds, only: Sequence[str] = ()) -> Iterator[Chunk]:
    """Read the rows, some samples at a time, as ids and a loss mask."""
    ids_name, mask_name = tuple(expected) or ("input_ids", "loss_mask")
    row = 0
    for names, samples in stored_samples(file, Writer.encoding):
        if names != [NAME]:
            raise ShardError(f"has the columns {', '.join(names)[:200]}; expected {NAME}")
        ids, mask = [], []
        for (text,) in samples:
            turns = json.loads(bytes(text))
            runs = [
                (_run(turn, key), key == "labels")
                for turn in turns
                for key in ("input_ids", "labels")
            ]
            if len(turns) != len([t for t in turns if set(t) == {"input_ids", "labels"}]):
                raise ShardError("has a turn with other keys than input_ids and labels", row)
            ids.append(np.array([token for run, _ in runs for token in run], np.int32))
            mask.append(np.repeat([t for _, t in runs], [len(r) for r, _ in runs]).astype(np.int32))
            row += 1
        found = {ids_name: Ragged.of_arrays(ids), mask_name: Ragged.of_arrays(mask)}
        yield Chunk({name: column for name, column in found.items() if not only or name in only})


def _run(turn: Any, key: str) -> list[int]:
    found = turn[key]
    if not isinstance(found, list) or not all(type(token) is int for token in found):
        raise ShardError(f"has a turn whose {key} are no list of whole numbers")
    return found


def describing_files(splits: Mapping[str, Sequence[Described]], kinds: Kinds) -> dict[str, bytes]:
    """Return the ``index.json`` of each split, by its path."""
    del kinds  # a sample has one column, whatever it is made from
    return mds.describing_files(splits, {NAME: np.dtype(object)}, Writer.encoding)


PLACES = replace(mds.PLACES, describe=describing_files)
