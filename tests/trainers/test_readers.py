"""What the readers of trainers make of datasets, in environments of their own."""

from pathlib import Path
from typing import Any

import pytest
from consumers import HERE_TOO, ask
from prepared import LONGEST, Document, documents, lines_for, make, without_first
from toys import SAMPLE_DATA, recipe

from sftprep import load_manifest, prepare, read_shard

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


PACKED: dict[str, Any] = {"pack": True, "pack_length": 800, "pad": "max-length"}


def ours(folder: Path) -> list[Document]:
    """Return the documents of the sample data, as they are trained everywhere, in order."""
    return sorted(without_first(document) for document in documents(make(folder / "hf")))


def test_skyrl(tmp_path: Path) -> None:
    """SkyRL's loader finds our tokens, and trains the same of them."""
    shard = make(tmp_path / "out", "skyrl") / "data" / "train-00000-of-00001.parquet"
    found = ask("skyrl-0.4", "skyrl", {"file": str(shard), "longest": LONGEST})
    assert sorted(map(tuple, found)) == ours(tmp_path)


def test_skyrl_refuses_the_folder_of_the_dataset(tmp_path: Path) -> None:
    """The target warns of it: there are files of two formats below the folder."""
    folder = make(tmp_path / "out", "skyrl")
    with pytest.raises(AssertionError, match="mix of data formats"):
        ask("skyrl-0.4", "skyrl", {"file": str(folder), "longest": LONGEST})


@pytest.mark.parametrize("made", [{}, PACKED], ids=["plain", "packed"])
def test_automodel(tmp_path: Path, made: dict[str, Any]) -> None:
    """Automodel's collaters keep our documents apart, and its loss is theirs."""
    folder = make(tmp_path / "out", "automodel", **made)
    size = load_manifest(folder).tokenizer["vocabulary_size"]
    question = {"folder": str(folder), "packed": "pack" in made, "size": size}
    found = ask("automodel-0.7", "automodel", question)
    assert sorted(map(tuple, found["documents"])) == ours(tmp_path)
    assert len(found["losses"]) == 3
    for theirs, computed in found["losses"]:
        assert theirs == pytest.approx(computed, abs=2e-5)


@pytest.mark.parametrize("made", [{}, PACKED], ids=["plain", "packed"])
def test_torchtune(tmp_path: Path, made: dict[str, Any]) -> None:
    """The collators of torchtune keep our documents apart, with the printed component."""
    folder = make(tmp_path / "out", "torchtune", **made)
    component, _ = lines_for(folder)
    question = {"component": component, "packed": "pack" in made}
    found = ask("torchtune-0.6", "torchtune_rows", question)
    trained = [without_first(document) for document in found]
    padding = [document for document in trained if set(document[1]) == {-100}]
    assert sorted(d for d in trained if d not in padding) == ours(tmp_path)
    assert bool(padding) == ("pad" in made)


@pytest.mark.parametrize("made", [{}, {"pack": True, "pack_length": 800}], ids=["plain", "packed"])
def test_megatron_bridge(tmp_path: Path, made: dict[str, Any]) -> None:
    """Megatron-Bridge's dataset for packed files keeps our documents apart."""
    folder = make(tmp_path / "out", "megatron-bridge", **made)
    eos = load_manifest(folder).tokenizer["special_tokens"]["eos"]["id"]
    question = {"files": str(folder / "data" / "*.idx.parquet"), "longest": 800, "eos": eos}
    found = ask("megatron-bridge-0.6", "megatron_bridge", question)
    assert sorted(map(tuple, found)) == ours(tmp_path)


@pytest.mark.parametrize("made", [{}, PACKED], ids=["plain", "packed"])
def test_llama_factory(tmp_path: Path, made: dict[str, Any]) -> None:
    """LLaMA-Factory opens the folder, and its collator keeps our documents apart."""
    folder = make(tmp_path / "out", "llama-factory", **made)
    (lines,) = lines_for(folder)
    question = {"lines": lines, "tokenizer": str(folder / "tokenizer"), "attention": "sdpa"}
    found = ask("llama-factory-0.9", "llama_factory", question)
    assert sorted(without_first(d) for d in found["documents"]) == ours(tmp_path)
    assert len(found["losses"]) == 3
    for theirs, computed in found["losses"]:
        assert theirs == pytest.approx(computed, abs=2e-5)


@pytest.mark.parametrize("shorter", [0, 100])
def test_axolotl(tmp_path: Path, shorter: int) -> None:
    """Axolotl takes our rows for token ids; it drops those over its own limit, as we warn."""
    folder = make(tmp_path / "out", "axolotl", validation="4")
    (lines,) = lines_for(folder)
    changed = lines.replace(f"sequence_len: {LONGEST}", f"sequence_len: {LONGEST - shorter}")
    assert (changed != lines) == bool(shorter)
    found = ask("axolotl-0.19", "axolotl_rows", {"lines": changed})
    kept = [row for row in documents(folder, "train") if len(row[0]) <= LONGEST - shorter]
    assert list(map(tuple, found)) == kept
    assert (len(kept) < len(documents(folder, "train"))) == bool(shorter)


def test_verl(tmp_path: Path) -> None:
    """The printed class gives verl our tokens, each row's positions, and its mask."""
    folder = make(tmp_path / "out", "verl")
    found = ask(HERE_TOO, "verl_rows", {"lines": lines_for(folder)})
    assert sorted(map(tuple, found)) == ours(tmp_path)
