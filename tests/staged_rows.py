"""Staged rows for tests: random documents with their facts, written as a run would stage them."""

from pathlib import Path
from typing import Any

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.provenance import Part, RowFacts, Segments, Writer
from sftprep.data.ragged import lengths_to_offsets
from sftprep.dataset.index import IndexWriter, table_of
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.dataset.staged_rows import StagedRows
from sftprep.formats import staged

PROMPT, ANSWER = Writer(0, "user", Part.CONTENT), Writer(1, "assistant", Part.CONTENT)


def documents(count: int, seed: int = 0, *, source: int = 0, longest: int = 9) -> Batch:
    """Return random rows: a prompt, and an answer that is trained, of at least one token each.

    In every fifth row the first token of the prompt is trained too.
    """
    random = np.random.default_rng([seed, source, count])
    prompt = random.integers(1, longest - 1, count)
    answer = np.array([random.integers(1, longest - p + 1) for p in prompt.tolist()], np.int64)
    lengths = prompt + answer
    mask = np.repeat(np.tile([False, True], count), np.stack([prompt, answer], 1).ravel())
    offsets = lengths_to_offsets(lengths)
    mask[offsets[:-1:5]] = True
    segments = [
        [(1, PROMPT, row % 5 == 0), (p - 1, PROMPT, False), (a, ANSWER, True)]
        for row, (p, a) in enumerate(zip(prompt.tolist(), answer.tolist(), strict=True))
    ]
    facts = RowFacts.of(
        Segments.of(segments).merged(),
        source=np.full(count, source),
        line=np.arange(1, count + 1),
        offset=np.arange(count) * 100,
        prompt_key=random.integers(0, 2**64, count, np.uint64),
        record_key=random.integers(0, 2**64, count, np.uint64),
        cut_tokens=np.arange(count) % 3,
        reasons={"unclean_boundary": np.arange(count) % 2 == 0},
    )
    ids = random.integers(0, 200, int(lengths.sum()), np.int32)
    return Batch(ids, mask, offsets, np.arange(count), facts=facts)


def stage(folder: Path, *batches: Batch) -> StagedRows:
    """Write each batch as a staged shard, and map them."""
    return StagedRows([_stage(folder / str(index), b) for index, b in enumerate(batches)])


def _stage(path: Path, batch: Batch) -> ShardPaths:
    shard = ShardPaths(path.with_suffix(".tokens"), path.with_suffix(".index"))
    with shard.shard.open("xb") as tokens, shard.index_file.open("xb") as index:
        write_groups(staged.Writer(tokens), IndexWriter(index, "arrow"), batch)
    return shard


def write_groups(tokens: Any, index: Any, batch: Batch) -> None:
    """Write the rows in groups of a few rows."""
    for start in range(0, len(batch), 7):
        group = batch.rows(start, min(start + 7, len(batch)))
        tokens.write(staged.columns_of(group))
        rows = np.arange(start, start + len(group))
        index.write(table_of(group, rows, np.zeros(len(group), np.int32)))
    tokens.close()
    index.close()
