"""The folder that ``datasets.load_from_disk`` opens.

Older versions of ``datasets`` read it in ``tests/trainers/test_folders.py``.
"""

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from batches import THREE_ROWS, three_rows

from sftprep.data.columns import ANY_COLUMNS, Kinds
from sftprep.formats import arrow_folder
from sftprep.formats.places import Described
from sftprep.targets.hf import UNPACKED, columns_of_batch


def described(*paths: str, content: str = "") -> list[Described]:
    """Describe shards of three rows each."""
    return [Described(path, 3, 0, content) for path in paths]


def save_split(folder: Path, split: str, shards: int) -> list[Described]:
    """Write shards of three rows each."""
    paths = [arrow_folder.PLACES.files(split, index, shards)[0] for index in range(shards)]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("xb") as file:
            writer = arrow_folder.Writer(file)
            writer.write(columns_of_batch(three_rows(), -100))
            writer.close()
            assert not file.closed
    return described(*paths)


def save_all(folder: Path) -> None:
    """Write a dataset with two splits, of two shards and of one."""
    splits = {
        "train": save_split(folder, "train", 2),
        "validation": save_split(folder, "validation", 1),
    }
    for path, data in arrow_folder.describing_files(splits, UNPACKED).items():
        (folder / path).write_bytes(data)


def test_datasets_opens_it(tmp_path: Path) -> None:
    """``load_from_disk`` gives the splits, with the rows and types that were written."""
    save_all(tmp_path)
    found = datasets.load_from_disk(tmp_path)
    assert {name: len(rows) for name, rows in found.items()} == {"train": 6, "validation": 3}
    assert found["validation"].to_dict() == THREE_ROWS
    kinds = {name: feature.feature.dtype for name, feature in found["train"].features.items()}
    assert kinds == {name: kind.name for name, kind in UNPACKED.items()}


def test_one_split_is_opened_alone(tmp_path: Path) -> None:
    """The folder of a split can be opened by itself."""
    save_all(tmp_path)
    assert datasets.load_from_disk(tmp_path / "train").to_dict() == {
        name: rows * 2 for name, rows in THREE_ROWS.items()
    }


def test_shards_are_mapped_into_memory(tmp_path: Path) -> None:
    """A shard is a stream that is not compressed, so opening it reads nothing."""
    ((path, *_),) = save_split(tmp_path, "train", 1)
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(tmp_path / path)) as file:
        table = pa.ipc.open_stream(file).read_all()
        assert pa.total_allocated_bytes() == before
        assert table.to_pydict() == THREE_ROWS


def test_its_own_reader(tmp_path: Path) -> None:
    """Chunks hold the rows; the file is read from its start."""
    ((path, *_),) = save_split(tmp_path, "train", 1)
    for expected in (UNPACKED, ANY_COLUMNS):
        with (tmp_path / path).open("rb") as file:
            (chunk,) = arrow_folder.chunks(file, expected)
        assert {
            n: [p.tolist() for p in np.split(c.values, c.offsets[1:-1])]
            for n, c in chunk.columns.items()
        } == THREE_ROWS


def test_the_files_do_not_depend_on_the_folder(tmp_path: Path) -> None:
    """The describing files hold no path outside the dataset, and are the same each time."""
    shards = {"train": described("train/data-00000-of-00001.arrow")}
    files = arrow_folder.describing_files(shards, UNPACKED)
    assert list(files) == ["dataset_dict.json", "train/dataset_info.json", "train/state.json"]
    state = json.loads(files["train/state.json"])
    assert state["_data_files"] == [{"filename": "data-00000-of-00001.arrow"}]
    assert files == arrow_folder.describing_files(shards, UNPACKED)


def test_the_fingerprint_is_that_of_the_rows() -> None:
    """``datasets`` takes two datasets with one fingerprint for the same, wherever they are."""

    def fingerprint(content: str, kinds: Kinds) -> str:
        shards = {"train": described("train/data-00000-of-00001.arrow", content=content)}
        files = arrow_folder.describing_files(shards, kinds)
        return str(json.loads(files["train/state.json"])["_fingerprint"])

    assert len({fingerprint("a", UNPACKED), fingerprint("b", UNPACKED), fingerprint("a", {})}) == 3
