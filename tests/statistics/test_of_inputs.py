"""of_inputs: the figures are those of the dataset that prepare writes from the same options."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, recipe, write_jsonl

from sftprep import prepare
from sftprep.data.limits import LIMITS, STRATEGIES
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.recipe import Recipe
from sftprep.statistics.figures import Statistics
from sftprep.statistics.of_dataset import of_dataset
from sftprep.statistics.of_inputs import of_inputs

LONG = "Word by word, the text becomes longer than what a row may hold. "


def chats(path: Path) -> Path:
    """Write chats of one to four exchanges; many are longer than 512 tokens, some than 1024."""
    records = []
    for number in range(40):
        turns: list[dict[str, str]] = []
        if number % 3 == 0:
            turns.append({"role": "system", "content": "Be brief. " * (1 + 20 * (number % 7))})
        for turn in range(1 + number % 4):
            question, answer = (number * 7 + turn) % 23, (number * 5 + turn) % 29
            turns += [
                {"role": "user", "content": LONG * question + f"And {number}?"},
                {"role": "assistant", "content": LONG * answer + "Yes."},
            ]
        records.append({"messages": turns})
    return write_jsonl(path, records)


def both(made: Recipe, folder: Path) -> tuple[Statistics, Statistics]:
    """Return the figures of inputs, and those of the dataset that prepare writes."""
    found = of_inputs(made, batch_size=8)
    prepare(replace(made, output=str(folder), on_error="quarantine"))
    return found, of_dataset(folder, batch_size=8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"truncation": "oldest-turns", "max_length": 700},
        {"truncation": "balanced", "max_length": 700, "dedup": "exact", "validation": "20%"},
        {"shuffle": True, "pack": True, "pack_length": 3000, "repeat": ("*=2.5",)},
        {"dedup": "normalized", "test": "30%", "sample": "50%", "per_turn": True},
        {"pad": "multiple-of:64", "max_length": 640},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_figures_are_those_of_the_dataset(options: dict[str, Any], tmp_path: Path) -> None:
    """Rows, splits, inputs, losses, packs, duplicates and steps, whatever is arranged."""
    path = chats(tmp_path / "in.jsonl")

    found, written = both(
        recipe(path, tmp_path / "o", template="chatml", **options), tmp_path / "out"
    )

    assert found.rows == written.rows
    assert found.splits == written.splits
    assert found.sources == written.sources
    assert found.losses == written.losses
    assert found.packs == written.packs
    assert found.packing == written.packing
    assert found.duplicates == written.duplicates
    assert found.epoch == written.epoch
    assert found.shards.count == written.shards.count
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("template", ["chatml", "vicuna"])
def test_what_other_limits_would_do(template: str, tmp_path: Path) -> None:
    """The rows that each strategy keeps, cuts and drops at 512 are those of prepare."""
    path = chats(tmp_path / "in.jsonl")
    made = recipe(path, tmp_path / "o", template=template, max_length=10**6, on_error="quarantine")
    found = of_inputs(made, batch_size=1)
    limits = {limit.max_length: limit.strategies for limit in found.lengths.limits}
    assert list(limits) == list(LIMITS)

    limit = 512
    for strategy in STRATEGIES:
        out = tmp_path / f"{limit}-{strategy}"
        real = prepare(
            replace(made, output=str(out), max_length=limit, truncation=strategy)
        ).manifest.counts
        fate = limits[limit][strategy]
        assert fate.kept + fate.cut == real["written"], strategy
        assert fate.dropped == sum(real["dropped"].values()), strategy
        assert (fate.kept_share, fate.cut_share, fate.dropped_share) == tuple(
            round(part / 40, 6) for part in (fate.kept, fate.cut, fate.dropped)
        )
        if strategy != "oldest-turns":
            assert fate.cut == real["truncated"], strategy
            assert fate.tokens_kept == real["tokens"], strategy
        elif fate.tokens_kept is not None:
            assert fate.tokens_kept == real["tokens"]
    assert all(fate.dropped == 0 and fate.cut == 0 for fate in limits[32768].values())


def test_the_dataset_tells_the_same_of_its_rows(tmp_path: Path) -> None:
    """What other limits would do is found from the index of a dataset as well."""
    made = recipe(chats(tmp_path / "in.jsonl"), tmp_path / "o", template="chatml", max_length=32768)
    found, written = both(made, tmp_path / "out")
    assert written.lengths == found.lengths


def test_a_sample(tmp_path: Path) -> None:
    """A sample has as many records as asked for; with another seed, others."""
    made = recipe(chats(tmp_path / "in.jsonl"), tmp_path / "o", template="chatml")

    first, again, other, every = (
        of_inputs(made, batch_size=1, sample=count, seed=seed)
        for count, seed in ((10, 1), (10, 1), (10, 2), (100, 1))
    )

    assert first.sample is not None
    assert (first.sample.records, first.sample.of, first.losses.read) == (10, 40, 10)
    assert first.rows == again.rows
    assert first.rows != other.rows
    assert every.rows == of_inputs(made, batch_size=1).rows
    assert first.shards.count == every.shards.count == 1


@pytest.mark.parametrize("name", ["instruction_zh.json", "instruction.jsonl"])
def test_a_sample_of_all_records_is_all_records(name: str, tmp_path: Path) -> None:
    """The records of an array and of lines are the same when they are chosen one by one."""
    made = recipe(SAMPLE_DATA / name, tmp_path / "o", template="alpaca")
    sampled = of_inputs(made, batch_size=1, sample=10**6)
    every = of_inputs(made, batch_size=1)
    assert sampled.rows == every.rows
    assert sampled.losses == every.losses


def test_bad_records_are_counted(tmp_path: Path) -> None:
    """A bad record never ends the work, and no file is written for it."""
    path = write_jsonl(tmp_path / "in.jsonl", [{"prompt": "a", "completion": "b"}, {"prompt": "a"}])

    found = of_inputs(recipe(path, tmp_path / "o", template="chatml"), batch_size=1)

    assert (found.losses.read, found.losses.written) == (2, 1)
    assert sum(found.losses.rejected.values()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]


@pytest.mark.parametrize(
    "options",
    [{}, {"target": "olmo-core"}, {"target": "streaming"}, {"loss_mask": "completion_mask"}],
    ids=lambda options: " ".join(options.values()),
)
def test_estimates(tmp_path: Path, options: dict[str, Any]) -> None:
    """The size of the shard is that of the dataset; the time is more than nothing."""
    made = recipe(chats(tmp_path / "in.jsonl"), tmp_path / "o", template="chatml", **options)
    found, written = both(made, tmp_path / "out")
    assert found.shards.estimated
    assert found.shards.bytes == pytest.approx(written.shards.bytes, rel=0.01)
    assert found.shards.index_bytes == pytest.approx(written.shards.index_bytes, rel=0.01)
    assert found.seconds is not None
    assert found.seconds > 0


def test_nothing_to_count(tmp_path: Path) -> None:
    """No record, or no record that gives a row."""
    empty = write_jsonl(tmp_path / "empty.jsonl", [])
    with pytest.raises(NoInputError, match="no records"):
        of_inputs(recipe(empty, tmp_path / "o", template="chatml"), batch_size=1)
    bad = write_jsonl(tmp_path / "bad.jsonl", [{"x": 1}])
    with pytest.raises(DataError, match="none of 1 records gives a row"):
        of_inputs(recipe(bad, tmp_path / "o", template="chatml"), batch_size=1)


def test_near_duplicates_are_not_looked_for(tmp_path: Path) -> None:
    """Stats keeps no tokens."""
    made = recipe(chats(tmp_path / "in.jsonl"), tmp_path / "o", template="chatml", dedup="near")
    with pytest.raises(UsageError, match="--dedup near"):
        of_inputs(made, batch_size=1)
