"""What the readers of trainers make of datasets, in environments of their own."""

from pathlib import Path
from typing import Any

import pytest
from consumers import ask
from toys import SAMPLE_DATA, recipe

from sftprep import prepare, read_shard

pytestmark = pytest.mark.trainers


def build(folder: Path, target: str) -> Path:
    """Build a dataset from the sample data; return its only shard."""
    source = SAMPLE_DATA / "messages.jsonl"
    prepare(recipe(source, folder, template="chatml", max_length=200, target=target))
    (shard,) = (folder / "data").iterdir()
    return shard


def test_together_takes_its_own_files_alone(tmp_path: Path) -> None:
    """Together's client accepts the columns of its target, and no others."""
    names = ("together", "hf", "skyrl", "torchtune")
    shards = {str(build(tmp_path / name, name)): name for name in names}
    found = ask("together-3.1", "together", list(shards))
    assert {shards[file] for file, passed in found.items() if passed} == {"together", "hf"}


def test_one_folder_for_both_ways_of_datasets(tmp_path: Path) -> None:
    """``datasets`` 3.6 opens a saved folder with both of its functions, and the same rows."""
    ids = read_shard(build(tmp_path / "hf", "hf"), "parquet").input_ids
    folder = tmp_path / "saved"
    source = SAMPLE_DATA / "messages.jsonl"
    options: dict[str, Any] = {"template": "chatml", "max_length": 200, "target": "llama-factory"}
    prepare(recipe(source, folder, **options))
    from_disk, loaded = ask("datasets-3.6", "saved_folder", str(folder))
    assert from_disk == loaded
    rows = [ids.row(number).tolist() for number in range(len(ids.lengths))]
    assert from_disk["train"]["input_ids"] == rows
