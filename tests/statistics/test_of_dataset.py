"""of_dataset: the figures are those that plain Python computes from the shards."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from toys import SAMPLE_DATA, recipe, write_jsonl

from sftprep import prepare
from sftprep.errors import DataError, NoInputError
from sftprep.statistics.figures import PERCENTILES, Spread
from sftprep.statistics.of_dataset import of_dataset

INPUTS = ("messages.jsonl", "sharegpt.jsonl")


def build(folder: Path, **options: Any) -> Path:
    """Prepare the sample chats."""
    made = recipe(SAMPLE_DATA / INPUTS[0], folder, template="chatml", **options)
    inputs = tuple(str(SAMPLE_DATA / name) for name in INPUTS)
    prepare(type(made)(**{**made.__dict__, "inputs": inputs}))
    return folder


def rows_of(folder: Path, split: str) -> list[tuple[list[int], list[int]]]:
    """Read the ids and the labels of the rows of a split, from its shards."""
    rows = []
    for path in sorted((folder / "data").glob(f"{split}-*.parquet")):
        table = pq.read_table(path)
        ids, labels = (table.column(name).to_pylist() for name in ("input_ids", "labels"))
        rows += list(zip(ids, labels, strict=True))
    return rows


def trained(labels: list[int]) -> int:
    """Count the tokens that have a loss: a model predicts no first token."""
    return sum(label != -100 for label in labels[1:])


def check_spread(found: Spread | None, values: list[int]) -> None:
    """Compare a spread with one computed value by value."""
    assert found is not None
    ordered = sorted(values)
    assert found.total == sum(values)
    assert found.mean == round(sum(values) / len(values), 2)
    assert (found.least, found.most) == (ordered[0], ordered[-1])
    for percent in PERCENTILES:
        place = math.ceil(len(values) * percent / 100) - 1
        assert found.percentiles[str(percent)] == ordered[place]
    assert sum(bar.count for bar in found.histogram) == len(values)
    for bar in found.histogram:
        assert bar.count == sum(bar.low <= value <= bar.high for value in values)


def test_lengths_are_those_of_the_shards(tmp_path: Path) -> None:
    """Rows, tokens and trained tokens, in all and by split, as the shards have them."""
    folder = build(tmp_path / "out", validation="20%", shard_size="8KB")

    found = of_dataset(folder, batch_size=8)

    splits = {name: rows_of(folder, name) for name in ("train", "validation")}
    every = [row for rows in splits.values() for row in rows]
    assert found.rows.rows == len(every)
    check_spread(found.rows.tokens, [len(ids) for ids, _ in every])
    check_spread(found.rows.trained, [trained(labels) for _, labels in every])
    assert [split.name for split in found.splits] == list(splits)
    for split, rows in zip(found.splits, splits.values(), strict=True):
        check_spread(split.tokens, [len(ids) for ids, _ in rows])
        check_spread(split.trained, [trained(labels) for _, labels in rows])
    assert [source.name for source in found.sources] == list(INPUTS)
    assert sum(source.rows for source in found.sources) == len(every)
    train = splits["train"]
    assert found.epoch.steps == math.ceil(len(train) / 8)
    assert found.epoch.tokens == sum(len(ids) for ids, _ in train)
    assert found.epoch.trained_tokens == sum(trained(labels) for _, labels in train)


def test_shards_are_those_of_the_folder(tmp_path: Path) -> None:
    """The number and the sizes of the shards and of their indexes."""
    folder = build(tmp_path / "out", shard_size="8KB")

    shards = of_dataset(folder, batch_size=1).shards

    data, index = (
        [path.stat().st_size for path in sorted((folder / name).iterdir())]
        for name in ("data", "index")
    )
    assert (shards.count, shards.bytes, shards.index_bytes) == (len(data), sum(data), sum(index))
    assert (shards.smallest, shards.largest, shards.estimated) == (min(data), max(data), False)


PACKED = {"pack": True, "pack_length": 1000}


@pytest.mark.parametrize(
    ("target", "options"),
    [("together", {}), ("torchtune", {"format": "jsonl"}), ("trl", PACKED), ("hf", PACKED)],
)
def test_figures_do_not_depend_on_the_target(
    target: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """Documents are the same in each target; the packs of a packed dataset are counted."""
    plain = of_dataset(build(tmp_path / "plain"), batch_size=4)

    found = of_dataset(build(tmp_path / "out", target=target, **options), batch_size=4)

    assert found.rows == plain.rows
    assert found.duplicates == plain.duplicates
    assert found.lengths == plain.lengths
    assert found.packing == plain.packing
    if options is PACKED:
        [packs] = found.packs
        assert found.rows.tokens is not None
        assert packs.efficiency == round(found.rows.tokens.total / (packs.packs * 1000), 6)
        assert found.epoch.rows == packs.packs


def test_the_packs_are_those_that_export_makes(tmp_path: Path) -> None:
    """What packing would give at a length is what a packed dataset of this length has."""
    would = of_dataset(build(tmp_path / "plain", max_length=512), batch_size=1)
    is_packed = of_dataset(
        build(tmp_path / "packed", max_length=512, pack=True, pack_length=1024), batch_size=1
    )

    [packing] = [packing for packing in would.packing if packing.pack_length == 1024]
    [packs] = is_packed.packs
    assert (packing.packs, packing.efficiency) == (packs.packs, packs.efficiency)


def exchange(prompt: str, answer: str) -> dict[str, str]:
    """Make a record."""
    return {"prompt": prompt, "completion": answer}


def test_duplicates(tmp_path: Path) -> None:
    """Equal rows; and prompts with several answers, with all of their rows."""
    records = [
        exchange("a", "1"), exchange("b", "1"), exchange("a", "1"), exchange("a", "2"),
        exchange("c", "x"), exchange("c", "x"), exchange("d", "y"),
    ]  # fmt: skip
    path = write_jsonl(tmp_path / "in.jsonl", records)
    prepare(recipe(path, tmp_path / "out", template="chatml"))

    found = of_dataset(tmp_path / "out", batch_size=1).duplicates

    assert (found.rows, found.share) == (2, round(2 / 7, 6))
    assert (found.prompts_with_several_answers, found.rows_of_such_prompts) == (1, 3)


def test_copies_on_purpose_are_no_duplicates(tmp_path: Path) -> None:
    """The copies that --repeat makes are counted as repeated, and not as duplicates."""
    path = write_jsonl(tmp_path / "in.jsonl", [exchange("a", "1"), exchange("b", "1")])
    prepare(recipe(path, tmp_path / "out", template="chatml", repeat=("*=3",)))

    found = of_dataset(tmp_path / "out", batch_size=1)

    assert (found.losses.written, found.losses.repeated) == (6, 4)
    assert (found.duplicates.rows, found.duplicates.share) == (0, 0.0)


@pytest.mark.parametrize("strategy", ["drop", "keep-start", "oldest-turns", "error"])
def test_lengths_before_the_cut(strategy: str, tmp_path: Path) -> None:
    """The length that fits 99 % counts rows as they were before they were cut or dropped."""
    whole = [len(ids) for ids, _ in rows_of(build(tmp_path / "whole", max_length=10000), "train")]
    options: dict[str, Any] = {"on_error": "quarantine"} if strategy == "error" else {}
    folder = build(tmp_path / "out", max_length=150, truncation=strategy, **options)

    found = of_dataset(folder, batch_size=1)

    lengths = found.lengths
    assert lengths.rows == len(whole)
    assert lengths.limits_of == "rows"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert found.losses.dropped == manifest["counts"]["dropped"]
    assert found.losses.rejected == manifest["counts"]["rejected"]
    assert found.losses.truncated == manifest["counts"]["truncated"]
    assert lengths.unknown == manifest["counts"]["shortened"]
    if not lengths.unknown:
        assert lengths.longest == max(whole)
        assert lengths.fits_99 == sorted(whole)[math.ceil(len(whole) * 0.99) - 1]


def test_a_folder_without_a_dataset(tmp_path: Path) -> None:
    """There is nothing to count."""
    with pytest.raises(NoInputError, match="holds no dataset"):
        of_dataset(tmp_path, batch_size=1)


def test_a_damaged_index(tmp_path: Path) -> None:
    """The file is named."""
    folder = build(tmp_path / "out")
    index = next((folder / "index").iterdir())
    index.write_bytes(index.read_bytes()[:100])

    with pytest.raises(DataError, match=f"{index.name}.*build it again"):
        of_dataset(folder, batch_size=1)


def test_rows_of_each_input(tmp_path: Path) -> None:
    """The rows of each input are those that the manifest counts."""
    folder = build(tmp_path / "out", dedup="exact")
    written = Counter(
        {
            entry["name"]: entry["written"]
            for entry in json.loads((folder / "manifest.json").read_text())["inputs"]
        }
    )
    found = of_dataset(folder, batch_size=1)
    assert Counter({source.name: source.rows for source in found.sources}) == written
