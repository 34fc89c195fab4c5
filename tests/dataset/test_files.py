"""The paths in a dataset, and which paths a dataset can have."""

import pytest

from sftprep.dataset.files import SPLITS, is_ours, number_of, shard_files, shard_folders
from sftprep.formats.table import FORMATS


@pytest.mark.parametrize(
    ("split", "number", "name", "path"),
    [
        ("train", 0, "parquet", "data/train-00000-of-00012.parquet"),
        ("validation", 1, "arrow", "data/validation-00001-of-00012.arrow"),
        ("test", 2, "jsonl", "data/test-00002-of-00012.jsonl"),
        ("train", 3, "megatron-parquet", "data/train-00003-of-00012.idx.parquet"),
        ("validation", 4, "arrow-folder", "validation/data-00004-of-00012.arrow"),
    ],
)
def test_names(split: str, number: int, name: str, path: str) -> None:
    """A shard's path says its split and its number; its index has them in every format."""
    files = shard_files(split, number, 12, name)
    assert files.names == (path,)
    assert files.index_file == f"index/{split}-{number:05d}-of-00012.parquet"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("split", SPLITS)
def test_the_number_of_a_file(name: str, split: str) -> None:
    """Every file of a shard says which shard it belongs to."""
    files = shard_files(split, 7, 12, name)
    found = [number_of(path, name) for path in (*files.names, files.index_file)]
    assert found == [(7, place) for place in (*range(len(files.names)), None)]
    assert {path.split("/")[0] for path in files.names} <= shard_folders(name)
    assert number_of("data/thesis.txt", name) is None


def ours(path: str, *tokenizer_files: str, form: str = "", is_old: bool = False) -> bool:
    """Return whether a dataset can have this path; a path that ends with "/" is a folder."""
    return is_ours(
        path.rstrip("/"),
        is_folder=path.endswith("/"),
        tokenizer_files={f"tokenizer/{name}" for name in tokenizer_files},
        format_name=form,
        is_old=is_old,
    )


@pytest.mark.parametrize(
    "path",
    [
        "data/", "data/train-00000-of-00004.parquet", "data/test-00000-of-00001.jsonl",
        "index/", "index/validation-00000-of-00001.parquet",
        "tokenizer/", "tokenizer/tokenizer.json", "tokenizer/additional_chat_templates/",
        "tokenizer/additional_chat_templates/rag.jinja",
        "README.md", "rejects.jsonl", "dropped.jsonl", "manifest.json",
        "data",  # a symbolic link in place of the folder
        "train/", "test/data-00000-of-00001.arrow", "train/state.json", "dataset_dict.json",
    ],
)  # fmt: skip
def test_ours(path: str) -> None:
    """Every file and folder of a dataset is recognized, also if the manifest is damaged."""
    assert ours(path)


@pytest.mark.parametrize(
    "path",
    [
        "thesis.txt", "train-00000-of-00004.parquet", "data/thesis.txt", "data/mine/",
        "data/train-00000-of-00004.parquet/", "data/train-00000-of-00004.parquet.bak",
        "data/dev-00000-of-00001.parquet", "index/README.md", "tokenizer/thesis.txt",
        "mine/", "README.md/", "manifest.json/", "data/manifest.json", "DATA/",
        "train/train-00000-of-00004.parquet", "train/mine/", "train/thesis.txt", "state.json",
    ],
)  # fmt: skip
def test_foreign(path: str) -> None:
    """Everything else is foreign, whatever it is beside."""
    assert not ours(path)


def test_the_manifest_names_the_format() -> None:
    """Where the manifest names the format, only the paths of this format are ours."""
    for path in ("train/", "train/data-00000-of-00001.arrow", "dataset_dict.json"):
        assert ours(path, form="arrow-folder")
        assert not ours(path, form="parquet")
    assert not ours("data/train-00000-of-00001.parquet", form="arrow-folder")
    assert ours("index/train-00000-of-00001.parquet", form="arrow-folder")


def test_the_manifest_names_the_tokenizer_files() -> None:
    """Where the manifest names the tokenizer's files, these are ours and no others."""
    assert ours("tokenizer/own.model", "own.model", "tokenizer.json")
    assert ours("tokenizer/a/", "a/x.jinja")
    assert not ours("tokenizer/vocab.json", "own.model", "tokenizer.json")
    assert not ours("tokenizer/additional_chat_templates/", "tokenizer.json")


def test_old_datasets() -> None:
    """The shards of format versions up to 6 lay beside the manifest."""
    assert ours("train-00000-of-00004.parquet", is_old=True)
    assert not ours("validation-00000-of-00004.parquet", is_old=True)
