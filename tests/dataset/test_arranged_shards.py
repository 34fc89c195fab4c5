"""The shards of an arranged dataset: each written alone, by any thread, and again after a crash."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from staged_rows import documents, stage

from sftprep.arrange.arrange import arrange
from sftprep.arrange.options import Arrangement, Share
from sftprep.arrange.plan import Plan
from sftprep.dataset.arranged_shards import ArrangedShards, output_shards, shards_of
from sftprep.dataset.gather import Gatherer, Layout
from sftprep.dataset.index import IndexWriter
from sftprep.dataset.staged_rows import StagedRows
from sftprep.errors import InternalError
from sftprep.formats.table import FORMATS
from sftprep.targets import hf

OPTIONS = Arrangement(shuffle=True, validation=Share(rows=9), pack=True, pack_length=20)


class Staged:
    """A staging folder with rows, and the plan of what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "rows").mkdir()
        self.rows: StagedRows = stage(folder / "rows", documents(90), documents(30, source=1))
        self.plan: Plan = arrange(self.rows.columns(), OPTIONS)
        self.start_over("dataset")

    def start_over(self, old: str) -> None:
        """Keep the dataset that was written as another folder, and begin an empty one."""
        if (self.folder / "dataset").exists():
            (self.folder / "dataset").rename(self.folder / old)
        (self.folder / "dataset").mkdir()

    def writing(self, columns_of: Any = None) -> ArrangedShards:
        """Return what writes the shards."""
        columns_of = columns_of or partial(hf.columns_of, ignore_index=-100)
        return ArrangedShards(
            self.folder,
            output_shards(self.plan, 100, "jsonl"),
            Gatherer(self.rows, Layout(packed=True, padded=False), columns_of),
            FORMATS["jsonl"],
            IndexWriter,
        )

    def files(self, folder: str = "dataset") -> dict[str, bytes]:
        """Return all files of a dataset."""
        root = self.folder / folder
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.*")}

    def lines(self) -> list[Any]:
        """Return the names of the shards in the journal."""
        data = (self.folder / "arranged.jsonl").read_bytes()
        return [orjson.loads(line)["name"] for line in data.splitlines()]


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """Return rows that are staged."""
    return Staged(tmp_path)


def digests(plan: Plan) -> dict[str, str]:
    """Return the digest that is planned for each split."""
    found: dict[str, str] = plan.facts["digests"]["splits"]
    return found


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_any_number_of_threads_gives_the_same_bytes(staged: Staged, workers: int) -> None:
    """Shards do not depend on the threads; the manifest lists them split by split."""
    first = staged.writing()
    assert first.begin(resume=False) == []
    done = list(first.write(1))
    staged.start_over("one")
    other = staged.writing()
    other.begin(resume=False)
    assert len(list(other.write(workers))) == len(done) > 5
    assert staged.files() == staged.files("one")
    entries = other.entries(digests(staged.plan))
    assert entries == first.entries(digests(staged.plan))
    names = [entry["name"] for entry in entries]
    splits = [name.split("/")[1].split("-")[0] for name in names]
    assert splits == sorted(splits, key=["train", "validation"].index)
    assert splits == [entry["split"] for entry in entries]
    assert sum(entry["documents"] for entry in entries) == 120
    assert sum(entry["tokens"] for entry in entries) == int(staged.rows.column("tokens").sum())
    assert other.counts()["unclean_boundary"] == 60
    assert set(staged.files()) == {*names, *(entry["index"]["name"] for entry in entries)}
    assert sorted(staged.lines()) == sorted(names)


def test_finished_shards_are_kept(staged: Staged) -> None:
    """After a crash only the shards without a line, and damaged ones, are written again."""
    writing = staged.writing()
    writing.begin(resume=False)
    list(writing.write(2))
    whole = staged.files()
    journal = staged.folder / "arranged.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    kept, damaged = orjson.loads(lines[0])["name"], orjson.loads(lines[1])["name"]
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:-9])
    third = orjson.loads(lines[2])["shard"]["index"]["name"]
    (staged.folder / "dataset" / damaged).write_bytes(b"x" * len(whole[damaged]))
    (staged.folder / "dataset" / third).unlink()
    (staged.folder / "dataset" / "data" / "leftover.new").write_bytes(b"")
    again = staged.writing()
    assert [entry["name"] for entry in again.begin(resume=True)] == [kept]
    assert set(staged.files()) == {kept, orjson.loads(lines[0])["shard"]["index"]["name"]}
    assert len(list(again.write(2))) == len(lines) - 1
    assert staged.files() == whole
    assert again.entries(digests(staged.plan)) == writing.entries(digests(staged.plan))
    assert again.counts() == writing.counts()


def test_nothing_is_kept_without_resume(staged: Staged) -> None:
    """A run that starts over removes what it finds."""
    writing = staged.writing()
    writing.begin(resume=False)
    list(writing.write(2))
    assert staged.writing().begin(resume=False) == []
    assert staged.files() == {}
    assert staged.lines() == []


@pytest.mark.parametrize("workers", [1, 4])
def test_a_failure_ends_all_threads(staged: Staged, workers: int) -> None:
    """The first error is raised; shards that were finished before it have their lines."""
    calls = []

    def fail_later(rows: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device", "somewhere")
        return hf.columns_of(rows, -100)

    writing = staged.writing(fail_later)
    writing.begin(resume=False)
    with pytest.raises(OSError, match="No space left"):
        list(writing.write(workers))
    finished = staged.lines()
    assert len(finished) <= 3 + workers
    again = staged.writing()
    assert {entry["name"] for entry in again.begin(resume=True)} == set(finished)
    list(again.write(workers))
    again.entries(digests(staged.plan))


def test_other_documents_than_planned_are_noticed(staged: Staged) -> None:
    """If a split does not hold what was planned, the run fails."""
    writing = staged.writing()
    writing.begin(resume=False)
    list(writing.write(2))
    wrong = digests(staged.plan) | {"validation": "0" * 32}
    with pytest.raises(InternalError, match="validation split do not hold"):
        writing.entries(wrong)


def test_shards_hold_so_many_tokens(staged: Staged) -> None:
    """A shard ends before it has too many tokens; each split has its own numbers."""
    shards = output_shards(staged.plan, 100, "parquet")
    for shard in shards:
        lengths = shard.split.lengths[shard.start : shard.stop]
        assert lengths.sum() <= 100
    names = [shard.name for shard in shards if shard.split.name == "validation"]
    assert names[0] == f"data/validation-00000-of-{len(names):05d}.parquet"
    assert sum(shard.stop - shard.start for shard in shards) == sum(
        len(split.lengths) for split in staged.plan.splits
    )


def test_shards_with_given_borders(staged: Staged) -> None:
    """Without an arrangement, shards keep the rows that they had."""
    split = staged.plan.splits[0]
    shards = shards_of(split, [0, 2, len(split.lengths)], "arrow")
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 2), (2, len(split.lengths))]
    assert np.char.endswith([shard.name for shard in shards], "-of-00002.arrow").all()
