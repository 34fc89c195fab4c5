"""compare: what differs between two datasets is found, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from toys import SAMPLE_DATA, recipe

from sftprep import prepare, read_shard
from sftprep.comparison.compare import Comparison, compare
from sftprep.errors import DataError, NoInputError, UsageError

Build = Callable[..., str]
LINES = (SAMPLE_DATA / "messages.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a dataset from lines, once for the same lines and options."""
    folder = tmp_path_factory.mktemp("compare")
    built: dict[str, str] = {}

    def make(lines: list[bytes] | None = None, **options: Any) -> str:
        key = repr((lines, options))
        if key not in built:
            source = folder / str(len(built)) / "data.jsonl"
            source.parent.mkdir()
            source.write_bytes(b"".join(LINES if lines is None else lines))
            output = source.parent / "out"
            settings: dict[str, Any] = {"template": "chatml", "workers": 1} | options
            prepare(recipe(source, output, **settings))
            built[key] = str(output)
        return built[key]

    return make


def counts(found: Comparison) -> dict[str, Any]:
    """The counts of a comparison that say that something differs."""
    names = ("other_ids", "other_labels", "moved", "only", "other_split", "other_place")
    values = {name: getattr(found, name) for name in names}
    return {name: value for name, value in values.items() if value not in (0, (0, 0), False)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"format": "jsonl"},
        {"target": "trl"},
        {"shard_size": "3KB"},
        {"backend": "hf"},
        {"pack": True, "pad": "max-length"},
    ],
    ids=repr,
)
def test_equal(build: Build, options: dict[str, Any]) -> None:
    """The form in which rows are stored makes no difference; a setting that differs is told."""
    base = {"pack": True} if options.get("pack") else {}
    found = compare(build(**base), build(**options), examples=3)
    assert found.is_equal
    assert (counts(found), found.unchanged, found.rows, found.changed) == ({}, 30, (30, 30), ())
    named = [setting.partition(" was ")[0] for setting in found.settings]
    assert set(named) <= {f"--{name.replace('_', '-')}" for name in options} | {"--pad-side"}


def test_ids_that_differ(build: Build) -> None:
    """Rows that were cut have other ids; the first token that differs is the first that is gone."""
    old, new = build(), build(max_length=120, truncation="keep-start")
    found = compare(old, new, examples=2)
    rows = [read_shard(next((Path(each) / "data").iterdir()), "parquet") for each in (old, new)]
    lists = [[each.input_ids.row(i).tolist() for i in range(30)] for each in rows]
    differ = [i for i in range(30) if lists[0][i] != lists[1][i]]
    assert not found.is_equal
    assert counts(found) == {"other_ids": len(differ)}
    assert found.settings == (
        "--max-length was 2048 and is 120", "--truncation was 'drop' and is 'keep-start'"
    )  # fmt: skip
    for changed, row in zip(found.changed, differ[:2], strict=True):
        assert changed.old.place == changed.new.place == f"data.jsonl:{row + 1}"
        assert changed.old.ids == lists[0][row]
        assert changed.new.ids == lists[1][row]
        assert changed.first == 120


def test_labels_that_differ(build: Build) -> None:
    """The same ids with other labels are a difference of their own."""
    found = compare(build(), build(train_on="all"), examples=1)
    assert counts(found) == {"other_labels": 30}
    assert found.changed[0].first == 0


def test_rows_that_moved_or_changed(build: Build) -> None:
    """Records are found again by their text, and edited ones by their place."""
    edited = LINES[5].replace(b'"content": "', b'"content": "Well: ', 1)
    assert edited != LINES[5]
    lines = [LINES[0], *LINES[2:5], edited, *LINES[6:], LINES[3]]
    found = compare(build(), build(lines), examples=9)
    # Line 2 is gone, so that all behind it move. Where the edited record now stands, line 5 stood,
    # whose text is found elsewhere: so the edited one has no partner.
    assert counts(found) == {"moved": 27, "only": (2, 2)}
    assert found.only_first == ("data.jsonl:2", "data.jsonl:5")
    assert found.inputs == ("the content of data.jsonl has changed",)
    in_place = [*LINES[:5], edited, *LINES[6:]]
    found = compare(build(), build(in_place), examples=9)
    assert counts(found) == {"other_ids": 1}
    assert found.changed[0].old.place == "data.jsonl:6"


def test_the_arrangement(build: Build) -> None:
    """Splits, order and packs are compared."""
    plain = build()
    assert counts(compare(plain, build(shuffle=True), examples=1)) == {"other_place": True}
    split = counts(compare(plain, build(validation="5"), examples=1))
    assert split == {"other_split": 5, "other_place": True}
    repeated = counts(compare(plain, build(repeat=("*=2",)), examples=1))
    assert repeated == {"other_split": 30, "other_place": True}
    packs = build(pack=True), build(pack=True, pack_length=3000)
    assert counts(compare(*packs, examples=1)) == {"other_place": True}
    sampled = compare(plain, build(sample="10"), examples=1)
    assert counts(sampled) == {"only": (20, 0)}


def test_json(build: Build) -> None:
    """The JSON object has each field, and whether the datasets are equal."""
    found = compare(build(), build(train_on="all"), examples=1)
    data = orjson.loads(found.dump())
    assert data["equal"] is False
    assert data["other_labels"] == 30
    assert data["changed"][0]["old"]["ids"] == found.changed[0].old.ids


def test_bad_input(build: Build, tmp_path: Path) -> None:
    """What cannot be compared is refused."""
    with pytest.raises(NoInputError, match="holds no dataset"):
        compare(build(), str(tmp_path), examples=1)
    with pytest.raises(UsageError, match="--rows is -1; expected 0 or more"):
        compare(build(), build(), examples=-1)
    shutil.copytree(build(), tmp_path / "damaged")
    shard = next((tmp_path / "damaged" / "data").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="its SHA-256 is not the one in manifest"):
        compare(build(), str(tmp_path / "damaged"), examples=1)
