"""A finished dataset becomes staged rows again, whatever was done to it."""

from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from staged_rows import documents, stage

from sftprep.arrange.arrange import arrange
from sftprep.arrange.options import Arrangement, Pad, PadTo, Repeat, Share
from sftprep.arrange.plan import Plan
from sftprep.data.batch import Batch
from sftprep.dataset.arranged_shards import ArrangedShards, output_shards
from sftprep.dataset.gather import Gatherer, Layout
from sftprep.dataset.index import IndexWriter
from sftprep.dataset.staged_rows import StagedRows
from sftprep.dataset.unpack import Unpacked, unpack
from sftprep.errors import DataError
from sftprep.formats.staged import decoded
from sftprep.formats.table import FORMATS
from sftprep.targets import hf
from sftprep.targets.names import TARGET_FORMATS

PACK = Arrangement(pack=True, pack_length=20)
ARRANGEMENTS = {
    "plain": Arrangement(),
    "shuffled": Arrangement(shuffle=True),
    "split": Arrangement(shuffle=True, validation=Share(rows=20), test=Share(rows=5)),
    "packed": PACK,
    "padded": Arrangement(pad=Pad(PadTo.LONGEST)),
    "padded on the left": Arrangement(shuffle=True, pad=Pad(PadTo.MULTIPLE, 4, "left")),
    "packed and padded": Arrangement(
        shuffle=True, pack=True, pack_length=24, pad=Pad(PadTo.MAX_LENGTH, 24, "left")
    ),
    "sampled": Arrangement(sample=Share(fraction=Fraction(1, 2)), pack=True, pack_length=30),
    "repeated": Arrangement(
        shuffle=True,
        validation=Share(rows=10),
        repeat=(Repeat(frozenset({1}), Fraction(5, 2)),),
        pack=True,
        pack_length=20,
    ),
}


class Dataset:
    """A dataset that was arranged from rows in a random order of sources and answers."""

    def __init__(self, folder: Path, options: Arrangement, format_name: str) -> None:
        batches = [documents(50), documents(40, source=1), documents(30, source=2)]
        self.whole = Batch.concatenate(batches)
        assert self.whole.facts is not None
        self.facts = self.whole.facts
        self.facts.offset[90:] = -1  # the rows of a table
        self.facts.offset[10:13] = self.facts.offset[10]  # three answers of one record
        self.facts.answer[10:13] = range(3)
        (folder / "rows").mkdir()
        rows = stage(folder / "rows", self.whole.rows(0, 50), self.whole.rows(50, 120))
        self.plan: Plan = arrange(rows.columns(), options)
        (folder / "dataset").mkdir()
        writing = ArrangedShards(
            folder,
            output_shards(self.plan, 150, format_name),
            Gatherer(
                rows,
                Layout(
                    options.pack, options.pad.to is not PadTo.NONE, 199, options.pad.side == "left"
                ),
                partial(hf.columns_of, ignore_index=-5),
            ),
            FORMATS[format_name],
            IndexWriter,
        )
        writing.begin(resume=False)
        list(writing.write(2))
        recipe = {
            "ignore_index": -5,
            "pack": options.pack,
            "pad": options.pad.to.value,
            "format": format_name,
            "target": "hf",
            "loss_mask": None,
        }
        entries = writing.entries(self.plan.facts["digests"]["splits"])
        self.manifest: Any = SimpleNamespace(shards=entries, recipe=recipe)
        self.folder = folder / "dataset"
        self.unpacked = folder / "unpacked"
        self.unpacked.mkdir()

    def unpack(self, workers: int = 2) -> Unpacked:
        """Unpack the dataset."""
        return unpack(self.folder, self.manifest, self.unpacked, workers)


def check_rows(rows: StagedRows, whole: Batch, kept: Any) -> None:
    """Check that rows are those of a batch, with these numbers."""
    assert whole.facts is not None
    ids, mask = decoded(rows.tokens(np.arange(len(rows))).values)
    expected = whole.keep_rows(np.isin(np.arange(len(whole)), kept))
    assert rows.column("tokens").tolist() == expected.lengths.tolist()
    assert rows.column("trained_tokens").tolist() == expected.trained().tolist()
    assert ids.tolist() == expected.input_ids.tolist()
    assert mask.tolist() == expected.loss_mask.tolist()
    assert expected.facts is not None
    for name in ("source", "line", "offset", "answer", "record_key"):
        assert rows.column(name).tolist() == getattr(expected.facts, name).tolist()


HARD = ("packed and padded", "repeated")
"""The arrangements that the default suite tries in every format. CI tries all."""


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        pytest.param(
            name,
            format_name,
            marks=() if format_name == "parquet" or name in HARD else pytest.mark.conformance,
        )
        for format_name in TARGET_FORMATS["hf"]
        for name in ARRANGEMENTS
    ],
)
def test_rows_come_back(tmp_path: Path, name: str, format_name: str) -> None:
    """Tokens, loss and facts are those that were arranged; rows are in input order, each once."""
    dataset = Dataset(tmp_path, ARRANGEMENTS[name], format_name)
    rows, splits = dataset.unpack()
    planned = np.concatenate([split.rows for split in dataset.plan.splits])
    kept = np.unique(planned)
    check_rows(rows, dataset.whole, kept)
    assert list(splits) == [split.name for split in dataset.plan.splits]
    for split in dataset.plan.splits:
        times = np.bincount(split.rows, minlength=120)[kept]
        assert splits[split.name].tolist() == times.tolist()


@pytest.mark.parametrize("kind", ["data", "index"])
@pytest.mark.parametrize("how", ["changed", "missing", "a link"])
def test_a_damaged_dataset_is_refused(tmp_path: Path, kind: str, how: str) -> None:
    """A file that is not as the manifest says is named; nothing of it is read."""
    dataset = Dataset(tmp_path, PACK, "parquet")
    entry = dataset.manifest.shards[1]
    path = dataset.folder / (entry["name"] if kind == "data" else entry["index"]["name"])
    data = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(data[:-1] + b"x")
    elif how == "a link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError) as caught:
        dataset.unpack()
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("Run sftprep verify on the dataset, and build it again.")


def test_a_shard_with_other_rows_than_its_index(tmp_path: Path) -> None:
    """Files that do not fit each other are refused, also if their hashes are right."""
    dataset = Dataset(tmp_path, PACK, "parquet")
    first, second = dataset.manifest.shards[:2]
    mixed = {**first, "index": second["index"]}
    dataset.manifest.shards[:2] = [mixed, second]
    with pytest.raises(DataError, match=r"documents of its index|its rows have"):
        dataset.unpack(1)
