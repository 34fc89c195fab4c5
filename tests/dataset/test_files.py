"""The paths in a dataset, and which paths a dataset can have."""

import pytest

from sftprep.dataset.files import index_name, is_ours, shard_name


def test_names() -> None:
    """A shard's name says its split, its number and its format; its index has the same stem."""
    names = [
        shard_name(split, number, 12, name)
        for number, (split, name) in enumerate(
            [("train", "parquet"), ("validation", "arrow"), ("test", "jsonl")]
        )
    ]
    assert names == [
        "data/train-00000-of-00012.parquet",
        "data/validation-00001-of-00012.arrow",
        "data/test-00002-of-00012.jsonl",
    ]
    assert list(map(index_name, names)) == [
        "index/train-00000-of-00012.parquet",
        "index/validation-00001-of-00012.parquet",
        "index/test-00002-of-00012.parquet",
    ]


def ours(path: str, *tokenizer_files: str, is_old: bool = False) -> bool:
    """Return whether a dataset can have this path; a path that ends with "/" is a folder."""
    return is_ours(
        path.rstrip("/"),
        is_folder=path.endswith("/"),
        tokenizer_files={f"tokenizer/{name}" for name in tokenizer_files},
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
    ],
)  # fmt: skip
def test_foreign(path: str) -> None:
    """Everything else is foreign, whatever it is beside."""
    assert not ours(path)


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
