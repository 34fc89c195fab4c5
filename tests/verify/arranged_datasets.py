"""Arranged datasets to be damaged: 29 short records, of which three are duplicates."""

from pathlib import Path
from typing import Any

from verify.datasets import MakeDataset

WORDS = "abcdefghijklmnopqrstuvwxyz"
RECORDS = [
    {"prompt": WORDS[n] + WORDS[: n % 7], "completion": WORDS[n : n + 1 + n % 5]} for n in range(26)
]
RECORDS += RECORDS[3:6]  # three duplicates
INPUT = "data.jsonl"
TRAIN, VALIDATION = "train-00000-of-00001", "validation-00000-of-00001"
ARRANGEMENTS: dict[str, dict[str, Any]] = {
    "packed": {"pack": True},
    "all steps": {
        "dedup": "exact",
        "validation": "4",
        "test": "20%",
        "sample": "80%",
        "repeat": ("*=1.5",),
        "shuffle": True,
        "seed": 3,
        "pack": True,
        "pack_order": "longest-first",
        "pad": "multiple-of:4",
        "pad_side": "left",
    },
    "padded": {"pad": "longest", "shuffle": True},
    "nearly the same": {"dedup": "near", "shuffle": True},
    "split": {"validation": "20%", "dedup": "normalized"},
    "by group": {"validation": "3", "split_by": "completion", "pack": True},
}
OPTIONS = {"max_length": 20, "shard_size": "1MB", "add_token": ("pad=<pad>",)}


def make(dataset: MakeDataset, arrangement: str, **options: Any) -> Path:
    """Put an arranged dataset into ``out``."""
    return dataset(RECORDS, **{**OPTIONS, **ARRANGEMENTS[arrangement], **options})
