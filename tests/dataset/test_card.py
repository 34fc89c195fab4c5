"""The card of a dataset: what hubs and ``datasets`` read in it, and what people read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import counts, manifest
from toys import byte_hf, recipe, save_folder, write_jsonl

from sftprep import prepare
from sftprep.dataset.card import card
from sftprep.dataset.manifest import Manifest
from sftprep.targets.names import TARGET_FORMATS


def shard(split: str, rows: int, **values: Any) -> dict[str, Any]:
    """Describe a shard."""
    name = f"data/{split}-00000-of-00001.parquet"
    entry = {"name": name, "split": split, "rows": rows, "documents": rows, "tokens": 10 * rows}
    return {**entry, "trained_tokens": 3 * rows, "bytes": 100, **values}


def described(**changed: Any) -> Manifest:
    """Make the manifest of a dataset, as far as the card needs it."""
    values: dict[str, Any] = {
        "recipe": {
            "max_length": 9, "format": "parquet", "truncation": "drop", "train_on": "completion",
            "ignore_index": -100, "target": "trl", "loss_mask": None, "pack": False, "pad": "none",
        },
        "tokenizer": {"name": "gpt2", "vocabulary_size": 50257, "added_tokens": {},
                      "stop_tokens": ["<|endoftext|>"], "special_tokens": {}},
        "template": {"name": "chatml"},
        "counts": counts(read=1000, written=1000),
        "inputs": [{"name": "a.jsonl", "read": 1000, "written": 1000, "sha256": "00"}],
        "shards": [shard("train", 900), shard("validation", 100)],
        "libraries": {"sftprep": "0.1.0"},
    }  # fmt: skip
    return manifest(**values | changed)


def metadata(text: str) -> dict[str, Any]:
    """Return the block that hubs read."""
    start, block, _ = text.split("---\n", 2)
    assert start == ""
    return dict(yaml.safe_load(block))


def test_metadata() -> None:
    """Hubs find the shards of each split, their rows, and their columns."""
    assert metadata(card(described(), "sftprep prepare")) == {
        "task_categories": ["text-generation"],
        "tags": ["sft", "tokenized"],
        "size_categories": ["1K<n<10K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "data/train-*.parquet"},
                    {"split": "validation", "path": "data/validation-*.parquet"},
                ],
            }
        ],
        "dataset_info": {
            "features": [
                {"name": "input_ids", "sequence": "int32"},
                {"name": "labels", "sequence": "int32"},
            ],
            "splits": [
                # Two columns of four bytes, and ten tokens in each row.
                {"name": "train", "num_bytes": 72_000, "num_examples": 900},
                {"name": "validation", "num_bytes": 8_000, "num_examples": 100},
            ],
            "download_size": 200,
            "dataset_size": 80_000,
        },
    }


def test_text() -> None:
    """A person reads what the dataset holds, how it was made, and how to make it again."""
    text = card(described(), "sftprep prepare a.jsonl")
    for part in (
        "1,000 rows of token ids, made from 1,000 records by sftprep `0.1.0` with the template "
        "`chatml` and the tokenizer `gpt2`. The loss is on the answers, each with the token that "
        "ends it.\n",
        "| train | 900 | 900 | 9,000 | 2,700 | 1 |\n",
        "- At most 9 tokens for each record. If a record was longer, it was dropped.\n",
        "- 1,000 records read, 1,000 documents written.\n",
        "```text\nsftprep prepare a.jsonl\n```\n",
        "| `a.jsonl` | 1,000 | 1,000 | `00` |\n",
        "| `labels` | list of int32 | the id of each trained token, -100 for the others |\n",
        "    args=SFTConfig(output_dir=OUTPUT, max_length=9),\n",
        '    eval_dataset=rows["validation"],\n',
    ):
        assert part in text


def test_losses() -> None:
    """What was cut, dropped and rejected is said with its reasons."""
    changed = counts(
        read=10, extra_examples=2, written=7, truncated=3,
        dropped={"too_long": 2}, rejected={"invalid_json": 3},
    )  # fmt: skip
    recipe = {**described().recipe, "truncation": "keep-end", "train_on": "user,assistant"}
    text = card(described(counts=changed, recipe=recipe), "x")
    assert "If a record was longer, its start was cut off: 3 documents.\n" in text
    assert (
        "- 10 records read, which gave 2 more, 7 documents written, 2 dropped (2 `too_long`), 3 "
        "rejected (3 `invalid_json`).\n"
    ) in text
    assert "The loss is on the messages of `user`, `assistant`." in text


def test_packed() -> None:
    """Rows that are packs say how many documents they hold."""
    text = card(described(shards=[shard("train", 10, documents=35)]), "x")
    assert "10 rows of token ids, which hold 35 documents, made from 1,000 records" in text


def test_names_do_not_act() -> None:
    """No name from the data becomes Markdown, HTML or metadata."""
    name = "a`|<b>\n---\nlicense: x\x1b[2J"
    inputs = [{"name": name, "read": 1, "written": 1, "sha256": "00"}] * 25
    tokenizer = {**described().tokenizer, "name": name, "added_tokens": {"<pad>": 1}}
    text = card(described(inputs=inputs, tokenizer=tokenizer), "x ``` y")
    assert metadata(text) == metadata(card(described(), ""))
    assert "| `a'\\|<b>\\n---\\nlicense: x\\x1b[2J` | 1 | 1 | `00` |\n" in text
    assert "````text\nx ``` y\n````\n" in text
    assert "\nand 5 more inputs\n" in text
    assert "\x1b" not in text


def test_it_is_the_same_anywhere(tmp_path: Path) -> None:
    """The card does not tell the folder, and has no time."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    tokenizer = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>")
    texts = set()
    for name in ("one", "two"):
        found = prepare(recipe(source, tmp_path / name / "out", tokenizer)).manifest
        texts.add((tmp_path / name / "out" / "README.md").read_text())
        assert list(found.files) == ["README.md"]
    (text,) = texts
    assert str(tmp_path) not in text
    assert "sftprep prepare a.jsonl \\\n  --output DIR \\\n  --tokenizer t" in text


@pytest.mark.parametrize("name", TARGET_FORMATS["hf"])
@pytest.mark.parametrize("pack", [False, True])
def test_datasets_loads_the_splits(
    tmp_path: Path, name: str, pack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets.load_dataset(DIR)`` gives each split with its rows, and nothing else."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    source = write_jsonl(
        tmp_path / "a.jsonl",
        [{"prompt": f"{n}:", "completion": "x" * (n % 7 + 1)} for n in range(60)]
        + [{"prompt": ""}, {"prompt": "", "completion": "y" * 100}],
    )
    tokenizer = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>")
    out = tmp_path / "out"
    options: dict[str, Any] = {
        "format": name, "shard_size": "500B", "on_error": "quarantine", "max_length": 50,
        "validation": "10", "test": "10", "pack": pack,
    }  # fmt: skip
    made = prepare(recipe(source, out, tokenizer, **options)).manifest
    assert {"dropped.jsonl", "rejects.jsonl"} < {path.name for path in out.iterdir()}
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train", "validation", "test"]
    for split, rows in loaded.items():
        entries = [entry for entry in made.shards if entry["split"] == split]
        assert len(rows) == sum(entry["rows"] for entry in entries)
        ids = [token for row in rows["input_ids"] for token in row]
        assert len(ids) == sum(entry["tokens"] for entry in entries)
        assert rows.features["input_ids"].feature.dtype == "int32"
    names = ["input_ids", "attention_mask", "labels"]
    packed = ["input_ids", "labels", "position_ids", "seq_lengths"]
    assert loaded["train"].column_names == (packed if pack else names)
    assert list(json.loads((out / "manifest.json").read_bytes())["files"])[-1] == "README.md"
