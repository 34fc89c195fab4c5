"""The fixture that makes datasets."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from toys import byte_hf, recipe, save_folder, write_jsonl
from verify.datasets import RECORDS, MakeDataset

from sftprep import prepare


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> MakeDataset:
    """Datasets that are built once and never changed, each in a folder of its own."""
    toy = tmp_path_factory.mktemp("tokenizer")
    save_folder(byte_hf(["</s>"]), toy, eos_token="</s>")
    known: dict[str, Path] = {}

    def make(records: list[Any] | None = None, **options: Any) -> Path:
        key = repr((records, sorted(options.items())))
        if key not in known:
            folder = tmp_path_factory.mktemp("original")
            data = write_jsonl(folder / "data.jsonl", RECORDS if records is None else records)
            chosen = {"tokenizer": toy, "shard_size": "60B", **options}
            prepare(recipe(data, folder / "out", **chosen))
            known[key] = folder
        return known[key]

    return make


@pytest.fixture
def dataset(originals: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeDataset:
    """Puts a copy of a dataset into ``out``, beside its input, in the current folder."""
    monkeypatch.chdir(tmp_path)

    def copy(records: list[Any] | None = None, **options: Any) -> Path:
        shutil.copytree(originals(records, **options), tmp_path, dirs_exist_ok=True)
        return Path("out")

    return copy
