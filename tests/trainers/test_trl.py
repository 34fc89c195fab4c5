"""TRL trains on our rows as they are, with the lines that the summary prints."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from consumers import HERE_TOO, ask
from toys import SAMPLE_DATA, recipe

from sftprep import prepare, read_shard
from sftprep.dataset.manifest import load_manifest
from sftprep.dataset.training import training_lines

pytestmark = [
    pytest.mark.trainers,
    pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs TRL"),
]
IGNORED = -100


@pytest.mark.parametrize(
    ("made", "options", "line"),
    [
        ({}, {"max_length": 400}, "max_length=400"),
        (
            {"pack": True, "pack_length": 800},
            {"padding_free": True, "max_length": None},
            "padding_free=True, max_length=None",
        ),
        (
            {"loss_mask": "completion_mask"},
            {"max_length": 400, "completion_only_loss": True},
            "max_length=400, completion_only_loss=True",
        ),
        (
            {"loss_mask": "assistant_masks", "pack": True, "pack_length": 800},
            {"padding_free": True, "max_length": None},
            "padding_free=True, max_length=None",
        ),
    ],
    ids=["plain", "packed", "completion mask", "packed with assistant masks"],
)
def test_three_steps(tmp_path: Path, made: Any, options: Any, line: str) -> None:
    """Batches hold our documents token for token, and the loss is theirs, each seen alone."""
    rows: dict[str, Any] = {"template": "chatml", "max_length": 400, "target": "trl"}
    source, folder = SAMPLE_DATA / "messages.jsonl", tmp_path / "out"
    prepare(recipe(source, folder, **rows, **made))
    (lines,) = training_lines(load_manifest(folder), str(folder))
    assert line in lines.text
    prepare(recipe(source, tmp_path / "hf", template="chatml", max_length=400))
    shard = read_shard(tmp_path / "hf/data/train-00000-of-00001.parquet", "parquet")
    ends = shard.input_ids.offsets.tolist()
    ours = [
        [shard.input_ids.row(n).tolist(), shard.labels[ends[n] : ends[n + 1]].tolist()]
        for n in range(len(ends) - 1)
    ]
    question = {"folder": str(folder), "options": options, "output": str(tmp_path / "trainer")}
    found = ask(HERE_TOO, "trl_steps", question)
    assert len(found["batches"]) == 3
    for ids, labels in [document for batch in found["batches"] for document in batch]:
        assert [ids, labels[: len(ids)]] in ours
    for theirs, computed in found["losses"]:
        assert theirs == pytest.approx(computed, abs=2e-5)
