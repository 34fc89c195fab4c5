"""shards: what is written can be read again, by sftprep and by ``datasets``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import SAMPLE_DATA, byte_hf, recipe, save_folder, write_jsonl

from sftprep import load_manifest, prepare, read_shard
from sftprep.records import Batch, ends_to_offsets
from sftprep.shards import FORMATS
from sftprep.shards.writer import ShardWriter

EXPECTED = {
    "input_ids": [[1, 2, 3], [70000], [4, 5]],
    "attention_mask": [[1, 1, 1], [1], [1, 1]],
    "labels": [[-100, 2, 3], [70000], [-100, -100]],
}


def batch() -> Batch:
    """Three rows."""
    return Batch(
        np.array([1, 2, 3, 70000, 4, 5], np.int32),
        np.array([0, 1, 1, 1, 0, 0], np.bool_),
        ends_to_offsets(np.array([3, 1, 2])),
        np.arange(3, dtype=np.int64),
    )


def many(rows: int) -> Batch:
    """Rows of 0 to 4 tokens."""
    lengths = np.arange(rows) % 5
    size = int(lengths.sum())
    return Batch(
        np.arange(size, dtype=np.int32),
        np.arange(size) % 3 == 0,
        ends_to_offsets(lengths),
        np.arange(rows, dtype=np.int64),
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [1, 3, 20_000])
@pytest.mark.parametrize("ignore", [-100, -1])
def test_round_trip(tmp_path: Path, name: str, rows: int, ignore: int) -> None:
    """A shard that was read has the rows that were written, over all of its row groups."""
    written = many(rows)
    FORMATS[name].write(tmp_path / "shard", written, ignore)
    found = read_shard(tmp_path / "shard", name)
    assert written.input_ids.tolist() == found.input_ids.values.tolist()
    assert written.offsets.tolist() == found.input_ids.offsets.tolist()
    assert written.labels(ignore).tolist() == found.labels.tolist()
    assert found.input_ids.values.dtype == np.int32
    assert found.labels.dtype == np.int32


@pytest.mark.parametrize("name", FORMATS)
def test_same_rows_same_bytes(tmp_path: Path, name: str) -> None:
    """The same rows give the same file, however they were put together."""
    whole = many(9000)
    first = np.arange(9000) < 1234
    parts = [whole.keep_rows(first), whole.keep_rows(~first)]
    FORMATS[name].write(tmp_path / "a", whole, -100)
    FORMATS[name].write(tmp_path / "b", Batch.concatenate(parts), -100)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_never_over_a_file(tmp_path: Path, name: str) -> None:
    """A shard is a new file."""
    (tmp_path / "shard").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        FORMATS[name].write(tmp_path / "shard", batch(), -100)
    assert (tmp_path / "shard").read_bytes() == b"mine"


def test_jsonl_is_plain(tmp_path: Path) -> None:
    """JSON Lines hold an object a row."""
    FORMATS["jsonl"].write(tmp_path / "shard", batch(), -100)
    rows = [json.loads(line) for line in (tmp_path / "shard").read_text().splitlines()]
    assert [{k: v[i] for k, v in EXPECTED.items()} for i in range(3)] == rows


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_schema(tmp_path: Path, name: str) -> None:
    """The columns' types are the small ones that readers expect."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "shard"
    FORMATS[name].write(path, batch(), -100)
    table = pq.read_table(path) if name == "parquet" else pa.ipc.open_file(path).read_all()
    small, ids = pa.list_(pa.int8()), pa.list_(pa.int32())
    assert [("input_ids", ids), ("attention_mask", small), ("labels", ids)] == [
        (column.name, pa.list_(column.type.value_type)) for column in table.schema
    ]
    assert table.to_pydict() == EXPECTED


# --- the writer ---------------------------------------------------------------------------------


def test_writer(tmp_path: Path) -> None:
    """Rows are collected into their shards; shards without rows are not written."""
    with ShardWriter(tmp_path, "jsonl", -100) as writer:
        writer.add(0, batch())
        writer.add(0, None)
        writer.add(1, None)
        writer.add(2, batch())
        writer.add(2, batch())
        facts = writer.finish()
    assert [(f["name"], f["rows"], f["tokens"], f["trained_tokens"]) for f in facts] == [
        ("train-00000-of-00002.jsonl", 3, 6, 3),
        ("train-00001-of-00002.jsonl", 6, 12, 6),
    ]
    assert [f["name"] for f in facts] == sorted(path.name for path in tmp_path.iterdir())
    assert [f["bytes"] for f in facts] == [(tmp_path / f["name"]).stat().st_size for f in facts]


def test_writer_of_many(tmp_path: Path) -> None:
    """More shards than are held in memory keep their order."""
    with ShardWriter(tmp_path, "jsonl", -100) as writer:
        for index in range(12):
            writer.add(index, many(index + 1))
        facts = writer.finish()
    assert list(range(1, 13)) == [f["rows"] for f in facts]
    assert [f"train-{i:05d}-of-00012.jsonl" for i in range(12)] == [f["name"] for f in facts]


def test_writer_tells_of_a_failure(tmp_path: Path) -> None:
    """An error in the writing thread reaches the run."""
    with ShardWriter(tmp_path / "gone", "jsonl", -100) as writer:
        writer.add(0, batch())
        with pytest.raises(FileNotFoundError):
            writer.finish()


# --- datasets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_datasets(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``datasets.load_dataset(DIR)`` gives the three columns and all rows, and nothing else."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    source = write_jsonl(
        tmp_path / "a.jsonl",
        [{"prompt": f"{n}:", "completion": "x" * (n % 7 + 1)} for n in range(50)] + [{"prompt": ""}]
        + [{"prompt": "", "completion": "y" * 100}],
    )  # fmt: skip
    tokenizer = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>")
    out = tmp_path / "out"
    options: dict[str, Any] = {
        "format": name, "shard_size": "500B", "on_error": "quarantine", "max_length": 50,
    }  # fmt: skip
    prepare(recipe(source, out, tokenizer, **options))
    assert {"dropped.jsonl", "rejects.jsonl"} < {path.name for path in out.iterdir()}
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    assert loaded["train"].column_names == ["input_ids", "attention_mask", "labels"]
    rows = [
        {
            "input_ids": [*f"{n}:".encode(), *b"x" * (n % 7 + 1), 256],
            "attention_mask": [1] * (len(f"{n}:") + n % 7 + 2),
            "labels": [-100] * len(f"{n}:") + [*b"x" * (n % 7 + 1), 256],
        }
        for n in range(50)
    ]
    assert rows == loaded["train"].to_list()


def test_shards_of_a_run(tmp_path: Path) -> None:
    """The manifest says of each shard what is in it."""
    prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / "out", shard_size="4KB"))
    manifest = load_manifest(tmp_path / "out")
    for shard in manifest.shards:
        rows = read_shard(tmp_path / "out" / shard["name"], "parquet")
        assert (shard["rows"], shard["tokens"], shard["trained_tokens"]) == (
            len(rows.input_ids.lengths),
            len(rows.input_ids.values),
            int((rows.labels != -100).sum()),
        )
