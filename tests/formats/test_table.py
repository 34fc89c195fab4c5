"""What every file format must do; a format that is added to the table is tested here as well."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import THREE_ROWS, many_rows, save, three_rows
from toys import SAMPLE_DATA, byte_hf, recipe, save_folder, write_jsonl

from sftprep import load_manifest, prepare, read_shard
from sftprep.data.arranged import ArrangedRows
from sftprep.data.batch import Batch
from sftprep.data.columns import ANY_COLUMNS, ListColumn
from sftprep.data.ragged import Ragged
from sftprep.formats.chunks import ShardError
from sftprep.formats.table import FORMATS, shard_chunks
from sftprep.targets.hf import PACKED, UNPACKED, columns_of
from sftprep.targets.names import TARGET_FORMATS

each_format = pytest.mark.parametrize("name", [*TARGET_FORMATS["hf"], "mds"])
"""The formats that hold any columns; the others have tests of their own."""


@each_format
@pytest.mark.parametrize("rows", [1, 3, 20_000])
@pytest.mark.parametrize("ignore_index", [-100, -1])
def test_rows_are_read_as_they_were_written(
    tmp_path: Path, name: str, rows: int, ignore_index: int
) -> None:
    """A shard has the rows that were written, over all of its row groups, in order."""
    written = many_rows(rows)
    save(tmp_path / "shard", name, written, ignore_index)
    found = read_shard(tmp_path / "shard", name)
    assert found.input_ids.values.tolist() == written.input_ids.tolist()
    assert found.input_ids.offsets.tolist() == written.offsets.tolist()
    assert found.labels.tolist() == written.labels(ignore_index).tolist()
    assert found.input_ids.values.dtype == np.int32
    assert found.labels.dtype == np.int32


@each_format
def test_chunks_have_all_columns(tmp_path: Path, name: str) -> None:
    """Chunks hold the three columns, row by row."""
    save(tmp_path / "shard", name, three_rows())
    with (tmp_path / "shard").open("rb") as file:
        (chunk,) = shard_chunks(file, name, UNPACKED)
    found = {
        column: [ragged.row(index).tolist() for index in range(3)]
        for column, ragged in chunk.columns.items()
    }
    assert found == THREE_ROWS


@each_format
def test_columns_of_other_lengths(tmp_path: Path, name: str) -> None:
    """Columns keep their names and order, also where their rows have different lengths."""
    rows = ArrangedRows(
        np.array([5, 6, 7, 8], np.int32),
        np.array([False, True, False, True]),
        np.array([0, 3, 4]),
        seq_lengths=Ragged.of([[2, 1], [1]]),
    )
    with (tmp_path / "shard").open("w+b") as file:
        writer = FORMATS[name].Writer(file)
        writer.write(columns_of(rows, -100))
        writer.close()
        for expected in (PACKED, ANY_COLUMNS):
            file.seek(0)
            (chunk,) = shard_chunks(file, name, expected)
            found = {n: [r.row(0).tolist(), r.row(1).tolist()] for n, r in chunk.columns.items()}
            assert list(found.items()) == [
                ("input_ids", [[5, 6, 7], [8]]),
                ("labels", [[-100, 6, -100], [8]]),
                ("position_ids", [[0, 1, 0], [0]]),
                ("seq_lengths", [[2, 1], [1]]),
            ]
            assert len(chunk) == 2
        file.seek(0)
        with pytest.raises(ShardError, match="expected input_ids"):
            list(shard_chunks(file, name, UNPACKED))
    assert read_shard(tmp_path / "shard", name).labels.tolist() == [-100, 6, -100, 8]


@each_format
def test_a_shard_without_labels_cannot_be_shown(tmp_path: Path, name: str) -> None:
    """A file with other columns is refused with the column that it lacks."""
    with (tmp_path / "shard").open("w+b") as file:
        writer = FORMATS[name].Writer(file)
        writer.write({"input_ids": ListColumn(np.zeros(2, np.int32), np.array([0, 2]))})
        writer.close()
    with pytest.raises(ShardError, match="has no column labels"):
        read_shard(tmp_path / "shard", name)


@each_format
def test_chunks_are_small(tmp_path: Path, name: str) -> None:
    """A shard of many rows is read in several chunks, which have all rows in order."""
    written = many_rows(35_000)
    save(tmp_path / "shard", name, written)
    with (tmp_path / "shard").open("rb") as file:
        chunks = list(shard_chunks(file, name, UNPACKED))
    assert len(chunks) > 1
    assert max(len(chunk.labels.lengths) for chunk in chunks) < 30_000
    ids = np.concatenate([chunk.input_ids.values for chunk in chunks])
    assert ids.tolist() == written.input_ids.tolist()


@each_format
def test_same_rows_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    """A file does not depend on how its rows were divided into batches."""
    whole = many_rows(9000)
    first = np.arange(9000) < 1234
    parts = [whole.keep_rows(first), whole.keep_rows(~first)]
    save(tmp_path / "a", name, whole)
    save(tmp_path / "b", name, Batch.concatenate(parts))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@each_format
def test_damage_is_a_shard_error(tmp_path: Path, name: str) -> None:
    """A file that is cut off, or is something else, raises only a ``ShardError``."""
    path = tmp_path / "shard"
    save(path, name, many_rows(100))
    data = path.read_bytes()
    for damaged in (data[:-20], data[: len(data) // 2], b"no shard", b"\0" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ShardError):
            read_shard(path, name)


@each_format
def test_a_failure_of_the_system_stays_one(name: str) -> None:
    """An error of the operating system is not mistaken for damage."""

    class Failing(io.BytesIO):
        """A file on a disk that fails."""

        def _fail(self, *_: object) -> Any:
            raise OSError(5, "Input/output error")

        read = readinto = readline = readlines = _fail

    with pytest.raises(OSError, match="Input/output error") as caught:
        list(shard_chunks(Failing(b"x" * 1000), name, UNPACKED))
    assert caught.value.errno == 5


def test_rows_need_as_many_labels_as_ids(tmp_path: Path) -> None:
    """Labels that cannot be matched with their ids are damage."""
    path = write_jsonl(
        tmp_path / "shard",
        [
            {"input_ids": [1], "attention_mask": [1], "labels": [1]},
            {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [1]},
        ],
    )
    with pytest.raises(ShardError) as caught:
        read_shard(path, "jsonl")
    assert str(caught.value) == "row 1: has different numbers of input_ids and labels"


@pytest.mark.parametrize("name", TARGET_FORMATS["hf"])
def test_datasets_loads_the_output(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_the_manifest_describes_each_shard(tmp_path: Path) -> None:
    """The manifest's numbers are those of the rows in the file."""
    prepare(recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / "out", shard_size="4KB"))
    manifest = load_manifest(tmp_path / "out")
    assert len(manifest.shards) > 1
    for shard in manifest.shards:
        rows = read_shard(tmp_path / "out" / shard["name"], "parquet")
        assert (shard["rows"], shard["tokens"], shard["trained_tokens"]) == (
            len(rows.input_ids.lengths),
            len(rows.input_ids.values),
            int((rows.labels != -100).sum()),
        )
