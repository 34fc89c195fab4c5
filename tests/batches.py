"""Batches for tests of what is written to shards."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.provenance import Part, RowFacts, Segments, Writer
from sftprep.data.ragged import lengths_to_offsets
from sftprep.formats.row_groups import Grouper
from sftprep.formats.table import FORMATS
from sftprep.targets.hf import columns_of_batch


def with_facts(batch: Batch) -> Batch:
    """Add facts: what is trained is an answer, all else is text of the template."""
    answer, template = Writer(1, "assistant", Part.CONTENT), Writer(-1, "", Part.TEMPLATE)
    rows = []
    for start, stop in pairwise(batch.offsets.tolist()):
        runs = groupby(batch.loss_mask[start:stop].tolist())
        rows.append([(len(list(run)), answer if flag else template, flag) for flag, run in runs])
    lines = np.arange(1, len(rows) + 1)
    return replace(batch, facts=RowFacts.of(Segments.of(rows), line=lines, record_key=lines * 7))


def three_rows() -> Batch:
    """Three rows of 3, 1 and 2 tokens; the last has no trained token."""
    return with_facts(
        Batch(
            np.array([1, 2, 3, 70000, 4, 5], np.int32),
            np.array([0, 1, 1, 1, 0, 0], np.bool_),
            lengths_to_offsets(np.array([3, 1, 2])),
            np.arange(3, dtype=np.int64),
        )
    )


THREE_ROWS = {
    "input_ids": [[1, 2, 3], [70000], [4, 5]],
    "attention_mask": [[1, 1, 1], [1], [1, 1]],
    "labels": [[-100, 2, 3], [70000], [-100, -100]],
}
"""The columns of ``three_rows`` in a shard, with the ignore index -100."""


def many_rows(count: int) -> Batch:
    """Rows of 0 to 4 tokens, of which every third is trained."""
    lengths = np.arange(count) % 5
    size = int(lengths.sum())
    return with_facts(
        Batch(
            np.arange(size, dtype=np.int32),
            np.arange(size) % 3 == 0,
            lengths_to_offsets(lengths),
            np.arange(count, dtype=np.int64),
        )
    )


def grouped(batches: Sequence[Batch], grouper: Grouper | None = None) -> Iterator[Batch]:
    """The rows of some batches, in groups."""
    grouper = grouper or Grouper()
    for batch in batches:
        yield from grouper.add(batch)
    yield from grouper.rest()


def save(
    path: Path,
    format_name: str,
    batch: Batch,
    ignore_index: int = -100,
    grouper: Grouper | None = None,
) -> None:
    """Write a batch as a new shard in one of the formats."""
    with path.open("x+b") as file:
        writer = FORMATS[format_name].Writer(file)
        for group in grouped([batch], grouper):
            writer.write(columns_of_batch(group, ignore_index))
        writer.close()
