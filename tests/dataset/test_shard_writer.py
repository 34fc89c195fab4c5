"""Shards are written while other work goes on: in order, in bounded memory, never over a file."""

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batches import many_rows, save, three_rows

from sftprep.arrange.conservation import digest, text, total
from sftprep.data.batch import Batch
from sftprep.data.columns import Columns
from sftprep.dataset.shard_writer import WAITING_PER_THREAD, ShardPaths, ShardWriter
from sftprep.formats import jsonl
from sftprep.formats.row_groups import Grouper
from sftprep.formats.table import FORMATS
from sftprep.targets.hf import columns_of_batch
from sftprep.targets.names import TARGET_FORMATS

ONCE = digest(np.array([7, 14, 21], np.uint64), np.array([3, 1, 2]), np.array([2, 0, 0]))
DIGESTS = {"a": text(ONCE), "c": text(total(ONCE, ONCE))}
"""Of ``three_rows``, once and twice."""
SMALL_GROUPS = partial(Grouper, max_rows=3)


def labelled(ignore_index: int) -> Callable[[Batch], Columns]:
    """Make the columns of rows, with this label for tokens without loss."""
    return partial(columns_of_batch, ignore_index=ignore_index)


def format_with(write: Any) -> Any:
    """JSON Lines with another ``write``."""
    writer = type("Writer", (jsonl.Writer,), {"write": lambda self, group: write(group)})
    return SimpleNamespace(preload=jsonl.preload, Writer=writer)


def index_path(path: Path) -> Path:
    """Return the path of the index of a shard."""
    return path.with_name(f"{path.name}.index")


def written(writer: ShardWriter, path: Path, *batches: Batch | None) -> Any:
    """Write a shard, and its index beside it; return the future of its info, or None."""
    shard = writer.new_shard(ShardPaths(path, index_path(path)))
    for batch in batches:
        shard.add(batch)
    return shard.close()


def test_shards_and_their_info(tmp_path: Path) -> None:
    """Rows get into their shards, and a shard without rows has no file."""
    with ShardWriter(jsonl, labelled(-100)) as writer:
        first = written(writer, tmp_path / "a", three_rows(), None)
        empty = written(writer, tmp_path / "b", None)
        last = written(writer, tmp_path / "c", three_rows(), three_rows())
    assert empty is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a",
        "a.index",
        "c",
        "c.index",
    ]
    data = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert data["a"] * 2 == data["c"]
    for found, name, rows in ((first, "a", 3), (last, "c", 6)):
        assert found.result() == {
            "rows": rows,
            "documents": rows,
            "tokens": 2 * rows,
            "trained_tokens": rows,
            "bytes": len(data[name]),
            "sha256": hashlib.sha256(data[name]).hexdigest(),
            "digest": DIGESTS[name],
            "index": {
                "name": f"{name}.index",
                "bytes": len(data[f"{name}.index"]),
                "sha256": hashlib.sha256(data[f"{name}.index"]).hexdigest(),
            },
        }


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_the_index_of_a_shard(tmp_path: Path, form: Any) -> None:
    """Each row of a shard has its entry in the index, whatever the groups of the shard."""
    small = partial(Grouper, max_rows=2)
    with ShardWriter(jsonl, labelled(-100), new_grouper=small, index_form=form) as writer:
        written(writer, tmp_path / "a", three_rows(), three_rows()).result()
    path = index_path(tmp_path / "a")
    if form == "parquet":
        found = pq.read_table(path)
    else:
        found = pa.ipc.open_file(path.read_bytes()).read_all()
    columns = ("row", "position", "line", "record_key", "tokens", "trained_tokens")
    assert found.select(columns).to_pylist() == [
        {
            "row": row, "position": 0, "line": row % 3 + 1, "record_key": (row % 3 + 1) * 7,
            "tokens": [3, 1, 2][row % 3], "trained_tokens": [2, 0, 0][row % 3],
        }
        for row in range(6)
    ]  # fmt: skip


@pytest.mark.parametrize("name", TARGET_FORMATS["hf"])
def test_a_shard_has_the_bytes_of_its_format(tmp_path: Path, name: str) -> None:
    """A shard has the bytes that the format's writer gives, with the ignore index asked for."""
    save(tmp_path / "plain", name, three_rows(), -7)
    with ShardWriter(FORMATS[name], labelled(-7)) as writer:
        info = written(writer, tmp_path / "shard", three_rows()).result()
    data = (tmp_path / "plain").read_bytes()
    assert data == (tmp_path / "shard").read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (info["bytes"], info["sha256"])


@pytest.mark.parametrize("name", TARGET_FORMATS["hf"])
@pytest.mark.parametrize("workers", [1, 9])
def test_many_shards_at_a_time(tmp_path: Path, name: str, workers: int) -> None:
    """Each of many shards has its own rows, in order, however many threads write."""
    small = partial(Grouper, max_rows=7)
    with ShardWriter(FORMATS[name], labelled(-100), workers, small) as writer:
        futures = [
            written(writer, tmp_path / str(n), many_rows(n * 5), many_rows(n)) for n in range(1, 13)
        ]
        assert [future.result()["rows"] for future in futures] == [n * 6 for n in range(1, 13)]
    for n in range(1, 13):
        rows = Batch.concatenate([many_rows(n * 5), many_rows(n)])
        save(tmp_path / "plain", name, rows, grouper=small())
        assert (tmp_path / "plain").read_bytes() == (tmp_path / str(n)).read_bytes()
        (tmp_path / "plain").unlink()


@pytest.mark.parametrize("name", TARGET_FORMATS["hf"])
@pytest.mark.parametrize("kind", ["file", "link", "index"])
def test_never_over_a_file(tmp_path: Path, name: str, kind: str) -> None:
    """A shard is a new file: neither a file of that name nor the target of a link is written to."""
    (tmp_path / "mine").write_bytes(b"mine")
    path = index_path(tmp_path / "shard") if kind == "index" else tmp_path / "shard"
    if kind == "link":
        path.symlink_to(tmp_path / "mine")
    else:
        path.write_bytes(b"mine")
    with (
        pytest.raises(FileExistsError) as caught,
        ShardWriter(FORMATS[name], labelled(-100)) as writer,
    ):
        written(writer, tmp_path / "shard", three_rows())
    assert caught.value.filename == str(path)
    assert (tmp_path / "mine").read_bytes() == b"mine" == path.read_bytes()


def test_few_groups_wait_in_memory(tmp_path: Path) -> None:
    """The caller waits for a slow writer, so memory does not grow with the input."""
    go = threading.Event()
    added: list[int] = []

    def add_many(writer: ShardWriter) -> None:
        shard = writer.new_shard(ShardPaths(tmp_path / "a", tmp_path / "b"))
        for index in range(20):
            shard.add(three_rows())
            added.append(index)

    slow = format_with(lambda _: go.wait(20))
    with ShardWriter(slow, labelled(-100), workers=2, new_grouper=SMALL_GROUPS) as writer:
        adding = threading.Thread(target=add_many, args=(writer,))
        adding.start()
        adding.join(0.3)
        assert len(added) == WAITING_PER_THREAD
        go.set()
        adding.join(20)
        assert len(added) == 20


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_failure_is_raised(tmp_path: Path, workers: int) -> None:
    """The caller gets the first error, which names the file that could not be written."""

    def fail(_: Batch) -> None:
        raise OSError(28, "No space left on device")

    def write_many() -> None:
        with ShardWriter(format_with(fail), labelled(-100), workers, SMALL_GROUPS) as writer:
            for index in range(9):
                path = tmp_path / f"shard {index}"
                future = written(writer, path, three_rows(), three_rows())
            future.result()

    with pytest.raises(OSError, match="No space left") as caught:
        write_many()
    assert caught.value.filename == str(tmp_path / "shard 0")


def test_one_worker_waits_for_its_shards(tmp_path: Path) -> None:
    """With one worker a shard is on disk when it is closed."""
    with ShardWriter(jsonl, labelled(-100), workers=1) as writer:
        for index in range(3):
            assert written(writer, tmp_path / f"{index}", three_rows()).done()


def test_a_run_that_failed_closes_its_files(tmp_path: Path) -> None:
    """The files of a run that ends with an error are closed, finished or not."""
    writers: list[Any] = []

    def note(writer: Any, group: Columns) -> None:
        writers.append(writer)
        jsonl.Writer.write(writer, group)

    noting = SimpleNamespace(
        preload=jsonl.preload,
        Writer=type("Writer", (jsonl.Writer,), {"write": note}),
    )

    def fail() -> None:
        with ShardWriter(noting, labelled(-100), new_grouper=SMALL_GROUPS) as writer:
            writer.new_shard(ShardPaths(tmp_path / "a", tmp_path / "b")).add(three_rows())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [writer._file.closed for writer in writers] == [True]
