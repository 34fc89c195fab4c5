"""Tokenizers and their encodings are recalled from the disk cache, unchanged."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, piece_tokenizer, recipe, tree

from sftprep import prepare
from sftprep.tokenization.cached import resolve_content_encoding, resolve_tokenizer, versions
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.proof import prove_content_encoding
from sftprep.tokenization.tokenizer import Tokenizer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SFTPREP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def never(*_: Any, **__: Any) -> Any:
    """Stands for a computation that must not happen."""
    raise AssertionError("it was computed again")


@pytest.mark.parametrize("source", [SAMPLE_TOKENIZER, SAMPLE_TOKENIZER / "tokenizer.json"])
@pytest.mark.parametrize("added", [[], ["<|new|>", "pad=<|other|>"]])
@pytest.mark.usefixtures("cache")
def test_recalled_tokenizer(source: Path, added: list[str]) -> None:
    """A recalled tokenizer equals the loaded one in every field, without loading it again."""
    loaded = load_tokenizer(str(source), add_tokens=added)
    assert resolve_tokenizer(str(source), add_tokens=added) == loaded
    recalled = resolve_tokenizer(str(source), add_tokens=added, load=never)
    assert recalled == loaded
    assert recalled.sha256 == loaded.sha256
    assert recalled.controls == loaded.controls
    with pytest.raises(AssertionError):  # with another token it is another tokenizer
        resolve_tokenizer(str(source), add_tokens=["<|third|>"], load=never)


@pytest.mark.usefixtures("cache")
def test_recalled_encoding() -> None:
    """A recalled encoding equals the proven one; other options are proven again."""
    tokenizer = load_tokenizer(str(SAMPLE_TOKENIZER))
    proven = prove_content_encoding(tokenizer, ["<|im_end|>"], "auto")
    assert resolve_content_encoding(tokenizer, ["<|im_end|>"], "auto") == proven
    assert resolve_content_encoding(tokenizer, ["<|im_end|>"], "auto", prove=never) == proven
    for allowed, backend in (([], "auto"), (["<|im_end|>"], "hf")):
        with pytest.raises(AssertionError):
            resolve_content_encoding(tokenizer, allowed, backend, prove=never)


@pytest.mark.usefixtures("cache")
def test_recalled_encoding_with_two_variants() -> None:
    """Both variants of a SentencePiece-style tokenizer and its token breaks are recalled."""
    tokenizer = piece_tokenizer("first")
    proven = resolve_content_encoding(tokenizer, [], "auto")
    assert proven.continuing is not None
    assert proven.breaks.merged_pairs
    assert resolve_content_encoding(tokenizer, [], "auto", prove=never) == proven


def change_merges(folder: Path) -> None:
    """Remove the tokenizer's last merge."""
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text())
    state["model"]["merges"].pop()
    path.write_text(json.dumps(state))


@pytest.mark.parametrize(
    "change",
    [
        change_merges,
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
        lambda folder: (folder / "config.json").write_text('{"model_type": "gpt2"}'),
        lambda folder: folder.rename(folder.with_name("renamed")),
    ],
)
@pytest.mark.usefixtures("cache")
def test_changed_files_are_another_tokenizer(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """Another file that transformers may read, or another folder name, is another tokenizer."""
    folder = tmp_path / "own"
    shutil.copytree(SAMPLE_TOKENIZER, folder)
    loaded = resolve_tokenizer(str(folder))
    change(folder)
    folder = folder if folder.exists() else folder.with_name("renamed")

    def load(*_: Any, **__: Any) -> Tokenizer:
        return replace(loaded, name="loaded again")

    assert resolve_tokenizer(str(folder), load=load).name == "loaded again"


@pytest.mark.usefixtures("cache")
def test_other_files_do_not_matter(tmp_path: Path) -> None:
    """Files that do not belong to a tokenizer, such as weights, make no difference."""
    folder = tmp_path / "own"
    shutil.copytree(SAMPLE_TOKENIZER, folder)
    loaded = resolve_tokenizer(str(folder))
    (folder / "model.safetensors").write_bytes(b"weights")
    assert resolve_tokenizer(str(folder), load=never) == loaded


@pytest.mark.parametrize(
    ("revision", "entries"), [(None, 0), ("main", 0), ("a" * 40, 1), ("a" * 39, 0)]
)
def test_hub_ids(cache: Path, revision: str | None, entries: int) -> None:
    """A tokenizer of a hub is stored only if its revision is a commit: a branch may move."""
    loaded = load_tokenizer(str(SAMPLE_TOKENIZER))
    asked: list[Any] = []

    def load(source: str, **options: Any) -> Tokenizer:
        asked.append((source, options))
        return loaded

    for _ in range(2):
        assert resolve_tokenizer("owner/name", revision=revision, load=load) == loaded
    assert entries == len(list(cache.glob("tokenizer-*")))
    expected = ("owner/name", {"revision": revision, "add_tokens": ()})
    assert asked == [expected] * (2 - entries)


def test_versions() -> None:
    """The versions are those of the installed libraries."""
    import numpy as np

    assert versions("numpy") == {"numpy": np.__version__}


def test_same_bytes_with_and_without(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cache, with an empty one and with a filled one, the dataset is the same."""

    def dataset(name: str, where: str) -> dict[str, bytes]:
        monkeypatch.setenv("SFTPREP_CACHE", where)
        source = SAMPLE_DATA / "messages.jsonl"
        prepare(recipe(source, tmp_path / name, template="chatml"))
        return tree(tmp_path / name)

    none = dataset("none", "")
    assert none == dataset("empty", str(cache)) == dataset("filled", str(cache))
    assert len(none) == 7
