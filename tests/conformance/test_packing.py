"""Packs of a real data set are those of TRL's best fit, where TRL packs the whole set at once.

TRL itself packs a thousand rows at a time, which takes more packs.
"""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftprep import Recipe, prepare
from sftprep.dataset.manifest import Manifest
from sftprep.formats.table import read_shard

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = SHARED / "data/t0_20k.jsonl.zst"
TOKENIZER = SHARED / "tokenizers/gpt2"
LENGTH = 2048
Row = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # ids, labels, seq_lengths

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not (DATA.exists() and TOKENIZER.exists()), reason=f"{SHARED} is missing"),
]


def make(folder: Path, **options: Any) -> Manifest:
    """Prepare the data set."""
    return prepare(
        Recipe(
            inputs=(str(DATA),),
            output=str(folder),
            tokenizer=str(TOKENIZER),
            template="plain",
            max_length=LENGTH,
            **options,
        )
    ).manifest


def rows_of(folder: Path, manifest: Manifest) -> list[tuple[list[int], list[int]]]:
    """The ids and labels of all rows."""
    found = []
    for shard in manifest.shards:
        rows = read_shard(folder / shard["name"], "parquet")
        ends = rows.input_ids.offsets.tolist()
        for start, end in itertools.pairwise(ends):
            ids, labels = rows.input_ids.values[start:end], rows.labels[start:end]
            found.append((ids.tolist(), labels.tolist()))
    return found


def packed_by_trl(rows: Any, batch_size: int) -> Counter[Row]:
    """The packs that TRL makes."""
    from trl.data_utils import pack_dataset

    packs = pack_dataset(rows, LENGTH, strategy="bfd", map_kwargs={"batch_size": batch_size})
    columns = (packs["input_ids"], packs["labels"], packs["seq_lengths"])
    return Counter(
        (tuple(ids), tuple(labels), tuple(sizes))
        for ids, labels, sizes in zip(*columns, strict=True)
    )


def test_packs_are_those_of_trl(tmp_path: Path) -> None:
    """The same documents in the same packs, in the same order in each."""
    pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    plain = rows_of(tmp_path / "plain", make(tmp_path / "plain"))
    ids, labels = zip(*plain, strict=True)
    rows = datasets.Dataset.from_dict({"input_ids": ids, "labels": labels})
    whole = packed_by_trl(rows, len(plain))

    manifest = make(tmp_path / "packed", pack=True, pack_order="longest-first")
    packed = rows_of(tmp_path / "packed", manifest)
    seq_lengths = [
        row
        for shard in manifest.shards
        for row in datasets.Dataset.from_parquet(
            str(tmp_path / "packed" / shard["name"]), cache_dir=str(tmp_path / "cache")
        )["seq_lengths"]
    ]
    ours = Counter(
        (tuple(ids), tuple(labels), tuple(sizes))
        for (ids, labels), sizes in zip(packed, seq_lengths, strict=True)
    )
    # The collator of TRL gives the first token of each document no loss; here the rows say so.
    assert ours == Counter({without_first(row): count for row, count in whole.items()})

    tokens = sum(map(len, ids))
    bound = -(-tokens // LENGTH)
    batches = packed_by_trl(rows, 1000).total()
    assert bound <= len(packed) <= bound + 2 < batches
    assert manifest.arrangement["splits"]["train"]["efficiency"] == round(
        tokens / (len(packed) * LENGTH), 6
    )


def without_first(row: Row) -> Row:
    """The row, without a loss on the first token of each document."""
    ids, labels, sizes = row
    changed = list(labels)
    start = 0
    for size in sizes:
        changed[start] = -100
        start += size
    return ids, tuple(changed), sizes
