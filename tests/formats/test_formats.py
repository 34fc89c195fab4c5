"""shards: what is written can be read again, by sftprep and by ``datasets``."""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import SAMPLE_DATA, byte_hf, recipe, save_folder, write_jsonl

from sftprep import load_manifest, prepare, read_shard
from sftprep.data.batch import Batch
from sftprep.data.ragged import lengths_to_offsets
from sftprep.dataset.shard_writer import WAITING, ShardWriter
from sftprep.formats import jsonl
from sftprep.formats.row_groups import Grouper
from sftprep.formats.table import FORMATS

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
        lengths_to_offsets(np.array([3, 1, 2])),
        np.arange(3, dtype=np.int64),
    )


def save(path: Path, name: str, rows: Batch, ignore_index: int = -100) -> None:
    """Write a shard in one of the formats."""
    with path.open("xb") as file:
        writer = FORMATS[name].Writer(file, ignore_index)
        for group in grouped([rows]):
            writer.write(group)
        writer.close()


def grouped(batches: Sequence[Batch]) -> Iterator[Batch]:
    """The rows of these batches in groups."""
    grouper = Grouper()
    for given in batches:
        yield from grouper.add(given)
    yield from grouper.rest()


def many(rows: int) -> Batch:
    """Rows of 0 to 4 tokens."""
    lengths = np.arange(rows) % 5
    size = int(lengths.sum())
    return Batch(
        np.arange(size, dtype=np.int32),
        np.arange(size) % 3 == 0,
        lengths_to_offsets(lengths),
        np.arange(rows, dtype=np.int64),
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [1, 3, 20_000])
@pytest.mark.parametrize("ignore", [-100, -1])
def test_round_trip(tmp_path: Path, name: str, rows: int, ignore: int) -> None:
    """A shard that was read has the rows that were written, over all of its row groups."""
    written = many(rows)
    save(tmp_path / "shard", name, written, ignore)
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
    save(tmp_path / "a", name, whole)
    save(tmp_path / "b", name, Batch.concatenate(parts))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_jsonl_is_plain(tmp_path: Path) -> None:
    """JSON Lines hold an object a row."""
    save(tmp_path / "shard", "jsonl", batch())
    rows = [json.loads(line) for line in (tmp_path / "shard").read_text().splitlines()]
    assert [{k: v[i] for k, v in EXPECTED.items()} for i in range(3)] == rows


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_schema(tmp_path: Path, name: str) -> None:
    """The columns' types are the small ones that readers expect."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "shard"
    save(path, name, batch())
    table = pq.read_table(path) if name == "parquet" else pa.ipc.open_file(path).read_all()
    small, ids = pa.list_(pa.int8()), pa.list_(pa.int32())
    assert [("input_ids", ids), ("attention_mask", small), ("labels", ids)] == [
        (column.name, pa.list_(column.type.value_type)) for column in table.schema
    ]
    assert table.to_pydict() == EXPECTED


# --- the writer ---------------------------------------------------------------------------------


def written(writer: ShardWriter, path: Path, *batches: Batch | None) -> Any:
    """Write a shard; what becomes of it, or None."""
    shard = writer.shard(path)
    for given in batches:
        shard.add(given)
    return shard.close()


def test_writer(tmp_path: Path) -> None:
    """Rows are collected into their shards, and a shard without rows is no file."""
    with ShardWriter("jsonl", -100) as writer:
        first = written(writer, tmp_path / "a", batch(), None)
        empty = written(writer, tmp_path / "b", None)
        last = written(writer, tmp_path / "c", batch(), batch())
    assert empty is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    data = {name: (tmp_path / name).read_bytes() for name in ("a", "c")}
    assert data["a"] * 2 == data["c"]
    for found, name, rows in ((first, "a", 3), (last, "c", 6)):
        assert found.result() == {
            "rows": rows,
            "tokens": 2 * rows,
            "trained_tokens": rows,
            "bytes": len(data[name]),
            "sha256": hashlib.sha256(data[name]).hexdigest(),
        }


@pytest.mark.parametrize("name", FORMATS)
def test_writer_writes_what_the_format_does(tmp_path: Path, name: str) -> None:
    """A shard that the writer wrote is the format's file, with the label that was asked for."""
    save(tmp_path / "plain", name, batch(), -7)
    with ShardWriter(name, -7) as writer:
        facts = written(writer, tmp_path / "shard", batch()).result()
    data = (tmp_path / "plain").read_bytes()
    assert data == (tmp_path / "shard").read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (facts["bytes"], facts["sha256"])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("workers", [1, 2, 9])
def test_writer_of_many(
    tmp_path: Path, name: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More shards than are written at a time have each their own rows, in order."""
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_ROWS", 7)
    with ShardWriter(name, -100, workers) as writer:
        made = [written(writer, tmp_path / str(n), many(n * 5), many(n)) for n in range(1, 13)]
        assert [n * 6 for n in range(1, 13)] == [future.result()["rows"] for future in made]
    for n in range(1, 13):
        save(tmp_path / "plain", name, Batch.concatenate([many(n * 5), many(n)]))
        assert (tmp_path / "plain").read_bytes() == (tmp_path / str(n)).read_bytes()
        (tmp_path / "plain").unlink()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["file", "link"])
def test_never_over_a_file(tmp_path: Path, name: str, kind: str) -> None:
    """A shard is a new file: what is there is not written to, nor what a link there leads to."""
    (tmp_path / "mine").write_bytes(b"mine")
    if kind == "link":
        (tmp_path / "shard").symlink_to(tmp_path / "mine")
    else:
        (tmp_path / "shard").write_bytes(b"mine")
    with (
        pytest.raises(FileExistsError) as caught,
        ShardWriter(name, -100) as writer,
    ):
        written(writer, tmp_path / "shard", batch())
    assert caught.value.filename == str(tmp_path / "shard")
    assert (tmp_path / "mine").read_bytes() == b"mine" == (tmp_path / "shard").read_bytes()


def test_few_groups_are_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that is behind lets the run wait for it: memory does not follow the input's size."""
    go = threading.Event()
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_ROWS", 3)
    monkeypatch.setattr(jsonl.Writer, "write", lambda *_: go.wait(20))
    taken: list[int] = []

    def give(writer: ShardWriter) -> None:
        shard = writer.shard(tmp_path / "a")
        for index in range(20):
            shard.add(batch())
            taken.append(index)

    with ShardWriter("jsonl", -100, workers=2) as writer:
        giving = threading.Thread(target=give, args=(writer,))
        giving.start()
        giving.join(0.3)
        assert len(taken) == WAITING
        go.set()
        giving.join(20)
        assert len(taken) == 20


@pytest.mark.parametrize("workers", [1, 2])
def test_writer_tells_of_a_failure(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error is the one that the run gets, with the file's name."""
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_ROWS", 3)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonl.Writer, "write", full)

    def write_many() -> None:
        with ShardWriter("jsonl", -100, workers) as writer:
            for index in range(9):
                future = written(writer, tmp_path / f"shard {index}", batch(), batch())
            future.result()

    with pytest.raises(OSError, match="No space left") as caught:
        write_many()
    assert caught.value.filename == str(tmp_path / "shard 0")


def test_a_single_worker_writes_by_itself(tmp_path: Path) -> None:
    """With one worker a shard is written when it is closed."""
    with ShardWriter("jsonl", -100, workers=1) as writer:
        for index in range(3):
            assert written(writer, tmp_path / f"{index}", batch()).done()


# --- groups -------------------------------------------------------------------------------------


def sizes(batches: list[Batch]) -> list[tuple[int, int]]:
    """Rows and tokens of each group."""
    return [(len(group), len(group.input_ids)) for group in grouped(batches)]


def test_groups_end_with_rows_or_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group ends before it has too many rows or tokens; a row that is too long is one."""
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_ROWS", 3)
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_TOKENS", 10)
    lengths = [1, 1, 1, 1, 9, 1, 11, 2, 8, 1, 3, 3]
    rows = Batch.of([[7] * n for n in lengths], [[True] * n for n in lengths])
    expected = [(3, 3), (2, 10), (1, 1), (1, 11), (2, 10), (3, 7)]
    assert sizes([rows]) == expected


@pytest.mark.parametrize("cuts", [[], [1], [5], [1, 2, 3], [0, 4, 4, 11], list(range(12))])
def test_groups_do_not_follow_batches(monkeypatch: pytest.MonkeyPatch, cuts: list[int]) -> None:
    """However rows come in batches, their groups are the same, with the same rows."""
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_ROWS", 3)
    monkeypatch.setattr("sftprep.formats.row_groups.GROUP_TOKENS", 10)
    rows = [[i * 10 + k for k in range(i % 5)] for i in range(12)]
    whole = Batch.of(rows, [[k % 2 == 0 for k in row] for row in rows])
    parts = [whole.rows(start, stop) for start, stop in pairwise([0, *cuts, 12])]
    for one, other in zip(grouped([whole]), grouped(parts), strict=True):
        for field in ("input_ids", "loss_mask", "offsets"):
            assert getattr(one, field).tolist() == getattr(other, field).tolist()
    assert [i for group in grouped(parts) for i in group.input_ids.tolist()] == [
        i for row in rows for i in row
    ]


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
