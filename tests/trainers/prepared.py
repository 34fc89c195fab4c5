"""Datasets made from the sample data for the tests of trainers, and what they hold."""

import itertools
from pathlib import Path
from typing import Any

from toys import SAMPLE_DATA, recipe

from sftprep import prepare, read_shard
from sftprep.dataset.manifest import load_manifest
from sftprep.dataset.training import training_lines

LONGEST = 400
SOURCE = SAMPLE_DATA / "messages.jsonl"
IGNORED = -100
Document = tuple[list[int], list[int]]  # ids, labels


def make(folder: Path, target: str = "hf", **options: Any) -> Path:
    """Prepare a dataset for a target; return its folder."""
    chosen: dict[str, Any] = {"template": "chatml", "max_length": LONGEST, "target": target}
    prepare(recipe(SOURCE, folder, **chosen | options))
    return folder


def lines_for(folder: Path) -> tuple[str, ...]:
    """Return the lines that the summary prints for a dataset."""
    found = training_lines(load_manifest(folder), str(folder))
    return tuple(lines.text for lines in found)


def documents(folder: Path, split: str = "*") -> list[Document]:
    """Return the rows of a dataset that is not packed, as its Parquet files hold them."""
    found = []
    for path in sorted((folder / "data").glob(f"{split}-*.parquet")):
        shard = read_shard(path, "parquet")
        for start, end in itertools.pairwise(shard.input_ids.offsets.tolist()):
            ids, labels = shard.input_ids.values[start:end], shard.labels[start:end]
            found.append((ids.tolist(), labels.tolist()))
    return found


def without_first(document: Document) -> Document:
    """Return a document whose first token is not trained."""
    ids, labels = document
    return ids, [IGNORED, *labels[1:]]
