"""MDS shards: arrays, and turns for LLM Foundry.

MosaicML's own reader reads them in ``tests/trainers/test_streaming.py``.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import many_rows, three_rows
from hypothesis import given
from hypothesis import strategies as st

from sftprep.data.arranged import ArrangedRows
from sftprep.data.columns import ANY_COLUMNS, Columns, ListColumn
from sftprep.data.ragged import Ragged
from sftprep.errors import UsageError
from sftprep.formats import mds, mds_turns
from sftprep.formats.chunks import ShardError
from sftprep.formats.places import Described
from sftprep.formats.table import shard_chunks
from sftprep.targets.table import DECLARED

ARRAYS = DECLARED["streaming"].unpacked
TURNS = DECLARED["llm-foundry"].unpacked


def write(path: Path, kind: Any, groups: list[Columns]) -> bytes:
    """Write a shard; return its bytes."""
    with path.open("x+b") as file:
        writer = kind.Writer(file)
        for group in groups:
            writer.write(group)
        writer.close()
        assert file.tell() == path.stat().st_size
    return path.read_bytes()


def rows_of(path: Path, kind: Any) -> dict[str, list[list[int]]]:
    """Read a shard."""
    with path.open("rb") as file:
        chunks = list(kind.chunks(file, ANY_COLUMNS))
    names = list(chunks[0].columns)
    return {
        name: [row.tolist() for c in chunks for row in map(c.columns[name].row, range(len(c)))]
        for name in names
    }


def test_the_bytes_of_a_shard(tmp_path: Path) -> None:
    """Count, offsets, description; then sizes, shape and values of each array."""
    data = write(tmp_path / "a", mds, [ARRAYS.columns_of(ArrangedRows.of(three_rows()), -100)])
    count, *offsets = np.frombuffer(data[:20], "<u4").tolist()
    assert (count, offsets[-1]) == (3, len(data))
    found = json.loads(data[20 : offsets[0]])
    assert found["column_names"] == ["input_ids", "labels"]
    assert found["column_encodings"] == ["ndarray:int32", "ndarray:int32"]
    first = data[offsets[0] : offsets[1]]
    assert first == (
        np.array([14, 14], "<u4").tobytes()
        + b"\x04\x03" + np.array([1, 2, 3], "<i4").tobytes()
        + b"\x04\x03" + np.array([-100, 2, 3], "<i4").tobytes()
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, 255, 256, 65535, 65536])
def test_the_length_of_an_array(tmp_path: Path, length: int) -> None:
    """It has as few bytes as it needs."""
    column = ListColumn(np.arange(length, dtype=np.int32), np.array([0, length]))
    write(tmp_path / "a", mds, [{"input_ids": column}])
    assert rows_of(tmp_path / "a", mds) == {"input_ids": [list(range(length))]}


def test_many_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header is put in front of samples that are longer than what is moved at a time."""
    monkeypatch.setattr(mds, "BLOCK_BYTES", 1000)
    batch = many_rows(3000)
    batch = batch.keep_rows(batch.lengths > 0)
    rows = [ArrangedRows.of(batch.rows(n, n + 400)) for n in range(0, len(batch), 400)]
    write(tmp_path / "a", mds, [ARRAYS.columns_of(part, -100) for part in rows])
    found = rows_of(tmp_path / "a", mds)
    ids = Ragged(batch.input_ids, batch.offsets)
    assert found["input_ids"] == [ids.row(n).tolist() for n in range(len(batch))]


@given(data=st.binary(max_size=60), size=st.integers(0, 60), by=st.integers(1, 9))
def test_bytes_are_moved(data: bytes, size: int, by: int) -> None:
    """The first bytes stand later, and what they covered before is free."""
    file = io.BytesIO(data)
    mds.move_back(file, min(size, len(data)), by)
    assert file.getvalue()[by : by + min(size, len(data))] == data[: min(size, len(data))]


def test_the_index_of_a_split() -> None:
    """Each shard is listed with its rows, its bytes and its columns."""
    shards = {"train": [Described("train/shard.00000.mds", 3, 99, "")]}
    ((path, data),) = mds.describing_files(shards, ARRAYS.kinds).items()
    assert path == "train/index.json"
    index = json.loads(data)
    (entry,) = index["shards"]
    assert index["version"] == 2
    assert (entry["samples"], entry["zip_data"]) == (3, None)
    assert entry["raw_data"] == {"basename": "shard.00000.mds", "bytes": 99, "hashes": {}}
    assert entry["column_names"] == ["input_ids", "labels"]


# --- turns --------------------------------------------------------------------------------------


def turns(ids: list[list[int]], mask: list[list[int]]) -> Columns:
    """Return the columns of rows."""
    columns = {"input_ids": Ragged.of(ids), "loss_mask": Ragged.of(mask)}
    return {n: ListColumn(c.values.astype(TURNS.kinds[n]), c.offsets) for n, c in columns.items()}


def test_turns(tmp_path: Path) -> None:
    """Runs without loss and with it come in turn; each pair is a turn."""
    group = turns([[1, 2, 3, 4, 5, 6], [7, 8]], [[0, 1, 1, 0, 0, 1], [0, 1]])
    data = write(tmp_path / "a", mds_turns, [group])
    offsets = np.frombuffer(data[4:16], "<u4")
    assert json.loads(data[offsets[0] + 4 : offsets[1]]) == [
        {"input_ids": [1], "labels": [2, 3]},
        {"input_ids": [4, 5], "labels": [6]},
    ]
    assert rows_of(tmp_path / "a", mds_turns) == {
        "input_ids": [[1, 2, 3, 4, 5, 6], [7, 8]],
        "loss_mask": [[0, 1, 1, 0, 0, 1], [0, 1]],
    }


def test_tokens_behind_the_last_trained_one(tmp_path: Path) -> None:
    """They are kept in the last turn, under a key that LLM Foundry does not read."""
    rows = {"input_ids": [[1, 2, 3, 4], [7, 8]], "loss_mask": [[0, 1, 0, 0], [0, 1]]}
    data = write(tmp_path / "a", mds_turns, [turns(rows["input_ids"], rows["loss_mask"])])
    offsets = np.frombuffer(data[4:16], "<u4")
    assert json.loads(data[offsets[0] + 4 : offsets[1]]) == [
        {"input_ids": [1], "labels": [2], "rest": [3, 4]}
    ]
    assert rows_of(tmp_path / "a", mds_turns) == rows


@pytest.mark.parametrize(
    "text",
    [
        b"7", b"[]", b"[7]", b'[{"input_ids":[1]}]', b'[{"input_ids":[1],"labels":[2],"x":[3]}]',
        b'[{"input_ids":[1],"labels":[2],"rest":[3]},{"input_ids":[1],"labels":[2]}]',
        b'[{"input_ids":[true],"labels":[2]}]', b'[{"input_ids":[1.5],"labels":[2]}]',
        b'[{"input_ids":7,"labels":[2]}]', b'[{"input_ids":[9999999999],"labels":[2]}]', b"{",
    ],
)  # fmt: skip
def test_what_is_no_turns(tmp_path: Path, text: bytes) -> None:
    """A sample that holds anything else is damage."""
    sample = mds.sample_of([text])
    description = json.dumps(mds.description_of(["turns"], "json"), sort_keys=True).encode()
    ends = np.array([12 + len(description), 12 + len(description) + len(sample)], "<u4")
    data = np.array([1], "<u4").tobytes() + ends.tobytes() + description + sample
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as file, pytest.raises(ShardError):
        list(shard_chunks(file, "mds-turns", ANY_COLUMNS))


def test_a_shard_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with the option that makes shards smaller."""
    monkeypatch.setattr(mds, "MOST_BYTES", 50)
    with pytest.raises(UsageError, match="Pass a smaller --shard-size"):
        write(tmp_path / "a", mds, [ARRAYS.columns_of(ArrangedRows.of(three_rows()), -100)])


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [mds, mds_turns])
def test_damage_is_noticed(tmp_path: Path, kind: Any) -> None:
    """A file that is cut off, or has other sizes or columns, is never read as rows."""
    form = ARRAYS if kind is mds else TURNS
    rows = ArrangedRows(
        np.array([1, 2, 3, 4], np.int32), np.array([0, 1, 0, 1], np.bool_), np.array([0, 2, 4])
    )
    data = write(tmp_path / "a", kind, [form.columns_of(rows, -100)])
    head = 4 + 4 * 3
    damaged = {
        "cut": data[:-1],
        "longer": data + b"\0",
        "count": b"\xff\xff\xff\xff" + data[4:],
        "columns": data.replace(b'"mds"', b'"abc"'),
        "sizes": data.replace(np.array([10], "<u4").tobytes(), np.array([9], "<u4").tobytes()),
        "header": data[:head],
    }
    for name, changed in damaged.items():
        if changed == data:
            continue
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(ShardError):
            rows_of(tmp_path / name, kind)
