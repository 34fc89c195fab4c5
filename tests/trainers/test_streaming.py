"""MosaicML's ``StreamingDataset`` and LLM Foundry's collator read our MDS shards."""

from pathlib import Path

import pytest
from consumers import ask
from prepared import IGNORED, LONGEST, documents, lines_for, make, without_first

from sftprep import load_manifest

pytestmark = pytest.mark.trainers


def test_samples(tmp_path: Path) -> None:
    """With the printed lines, all samples are our rows, in our order, over several shards."""
    folder = make(tmp_path / "out", "streaming", shard_size="16KiB")
    assert len(list((folder / "train").glob("*.mds"))) > 1
    (lines,) = lines_for(folder)
    found = ask("llm-foundry-0.22", "streaming_rows", {"lines": lines})
    assert list(map(tuple, found)) == documents(make(tmp_path / "hf"))


def test_turns(tmp_path: Path) -> None:
    """LLM Foundry trains the same tokens; it leaves out an untrained end, and ends with an EOS."""
    folder = make(tmp_path / "out", "llm-foundry", shard_size="16KiB")
    (lines,) = lines_for(folder)
    question = {"lines": lines, "tokenizer": str(folder / "tokenizer")}
    found = ask("llm-foundry-0.22", "llm_foundry", question)
    eos = load_manifest(folder).tokenizer["special_tokens"]["eos"]["id"]
    expected = []
    for ids, labels in map(without_first, documents(make(tmp_path / "hf"))):
        size = max(n for n, label in enumerate(labels) if label != IGNORED) + 1
        added = [] if ids[size - 1] == eos else [eos]
        expected.append((ids[:size] + added, labels[:size] + added))
    # A row of the greatest length has no room for the EOS.
    assert list(map(tuple, found)) == [(ids[:LONGEST], own[:LONGEST]) for ids, own in expected]
