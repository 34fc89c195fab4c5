"""OLMo-core's arrays. Its own dataset reads them in ``tests/trainers/test_olmo.py``."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import many_rows

from sftprep.data.arranged import ArrangedRows
from sftprep.data.batch import Batch
from sftprep.data.columns import ANY_COLUMNS
from sftprep.formats import olmo
from sftprep.formats.chunks import ShardError
from sftprep.formats.table import shard_chunks, writable
from sftprep.targets.table import DECLARED

FORM = DECLARED["olmo-core"].unpacked


def write(folder: Path, batches: list[Batch], size: int) -> list[Path]:
    """Write a shard; return its files."""
    paths = [folder / name for name in olmo.PLACES.files("train", 0, 1)]
    paths[0].parent.mkdir(parents=True)
    with paths[0].open("xb") as ids, paths[1].open("xb") as mask, paths[2].open("xb") as borders:
        writer = writable("olmo", size).Writer(ids, mask, borders)
        for batch in batches:
            writer.write(FORM.columns_of(ArrangedRows.of(batch), -100))
        writer.close()
    return paths


def read(paths: list[Path]) -> dict[str, list[list[int]]]:
    """Read a shard."""
    with paths[0].open("rb") as ids, paths[1].open("rb") as mask, paths[2].open("rb") as borders:
        chunks = list(shard_chunks(ids, "olmo", ANY_COLUMNS, parts=[mask, borders]))
    return {
        name: [row.tolist() for c in chunks for row in map(c.columns[name].row, range(len(c)))]
        for name in ("input_ids", "loss_mask")
    }


def two_rows() -> Batch:
    """Two rows; the first token of a row is never trained in a mask."""
    return Batch.of([[5, 70000, 6], [7, 8]], [[True, True, False], [False, True]])


@pytest.mark.parametrize(("size", "kind"), [(65536, "uint16"), (65537, "uint32")])
def test_the_files(tmp_path: Path, size: int, kind: str) -> None:
    """Ids have no header and as few bits as will do; masks are bytes; borders are compressed."""
    batch = Batch.of([[5, 9, 6], [7, 8]], [[True, True, False], [False, True]])
    ids, mask, borders = write(tmp_path, [batch, batch], size)
    assert np.fromfile(ids, kind).tolist() == [5, 9, 6, 7, 8] * 2
    assert np.fromfile(mask, np.bool_).tolist() == [False, True, False, False, True] * 2
    assert gzip.decompress(borders.read_bytes()) == b"0,3\n3,5\n5,8\n8,10\n"
    assert [path.name for path in (ids, mask, borders)] == [
        "token_ids_part_0000.npy", "labels_mask_part_0000.npy", "token_ids_part_0000.csv.gz",
    ]  # fmt: skip


def test_its_own_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are read as they were written, some at a time."""
    monkeypatch.setattr(olmo, "CHUNK_TOKENS", 100)
    monkeypatch.setattr(olmo, "TEXT_BYTES", 50)
    batch = many_rows(2000)
    batch = batch.keep_rows(batch.lengths > 0)
    paths = write(tmp_path, [batch], 2**17)
    found = read(paths)
    expected = [part.tolist() for part in np.split(batch.input_ids, batch.offsets[1:-1])]
    assert found["input_ids"] == expected
    flags = batch.loss_mask.astype(int)
    flags[batch.offsets[:-1]] = 0
    assert [flag for row in found["loss_mask"] for flag in row] == flags.tolist()


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    """No file holds a time or a name."""
    first = write(tmp_path / "a", [many_rows(100)], 2**17)
    again = write(tmp_path / "b", [many_rows(100)], 2**17)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0\0\0\0"])
def test_files_that_do_not_belong_together(tmp_path: Path, number: int, change: Any) -> None:
    """A file that is too short or too long is noticed."""
    paths = write(tmp_path, [two_rows()], 2**17)
    paths[number].write_bytes(change(paths[number].read_bytes()))
    with pytest.raises(ShardError, match="not of the same number of tokens"):
        read(paths)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"0,3\n4,5\n", "do not lie one behind the other"),
        (b"0,3\n3,6\n", "do not lie one behind the other"),
        (b"3,0\n0,5\n", "do not lie one behind the other"),
        (b"0,3\n", "end before its tokens"),
        (b"0,3\n3,5", "end in the middle of a line"),
        (b"0,3,3,5\n", "not two numbers in a line"),
        (b"0\n3\n3\n5\n", "not two numbers in a line"),
        (b"0" * 100, "not two numbers in a line"),
        (b"0,x\n", "cannot be read"),
        (b"", "end before its tokens"),
    ],
)
def test_wrong_borders(
    tmp_path: Path, text: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents must lie one behind the other, up to the last token."""
    monkeypatch.setattr(olmo, "TEXT_BYTES", 50)
    paths = write(tmp_path, [two_rows()], 2**17)
    paths[2].write_bytes(gzip.compress(text))
    with pytest.raises(ShardError, match=problem):
        read(paths)


def test_other_files_that_are_not_given(tmp_path: Path) -> None:
    """A shard is not read from one of its three files alone."""
    paths = write(tmp_path, [two_rows()], 2**17)
    with paths[0].open("rb") as ids, pytest.raises(ShardError, match="without its other files"):
        list(shard_chunks(ids, "olmo", ANY_COLUMNS))


def test_a_column_alone(tmp_path: Path) -> None:
    """Only the columns that are asked for are in the chunks."""
    paths = write(tmp_path, [two_rows()], 2**17)
    with paths[0].open("rb") as ids, paths[1].open("rb") as mask, paths[2].open("rb") as borders:
        (chunk,) = shard_chunks(ids, "olmo", FORM.kinds, ["input_ids"], [mask, borders])
    assert list(chunk.columns) == ["input_ids"]
    assert chunk.input_ids.values.tolist() == [5, 70000, 6, 7, 8]
