"""What the readers of trainers make of datasets, in environments of their own."""

from pathlib import Path

import pytest
from consumers import ask
from toys import SAMPLE_DATA, recipe

from sftprep import prepare, read_shard
from sftprep.data.columns import ListColumn, rows_in
from sftprep.formats import arrow_folder
from sftprep.targets.hf import UNPACKED

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
    shard = read_shard(build(tmp_path / "hf", "hf"), "parquet")
    ids = shard.input_ids
    columns = {
        "input_ids": ListColumn(ids.values, ids.offsets),
        "labels": ListColumn(shard.labels, ids.offsets),
    }
    kinds = {name: UNPACKED[name] for name in columns}
    path = arrow_folder.shard_path("train", 0, 1)
    folder = tmp_path / "saved"
    (folder / "train").mkdir(parents=True)
    with (folder / path).open("xb") as file:
        writer = arrow_folder.Writer(file)
        writer.write(columns)
        writer.close()
    for name, data in arrow_folder.describing_files({"train": [path]}, kinds).items():
        (folder / name).write_bytes(data)
    data_files = "  data_files:\n  - split: train\n    path: train/*.arrow"
    card = f"---\nconfigs:\n- config_name: default\n{data_files}\n---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    from_disk, loaded = ask("datasets-3.6", "saved_folder", str(folder))
    assert from_disk == loaded
    assert from_disk["train"]["input_ids"] == [ids.row(n).tolist() for n in range(rows_in(columns))]
