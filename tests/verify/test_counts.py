"""The manifest's counts by reason are those of the indexes, in plain and in arranged datasets."""

from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, recipe
from verify.arranged_datasets import make
from verify.datasets import (
    SECOND,
    MakeDataset,
    change_index,
    edit_manifest,
    problems,
    setting,
)

from sftprep import prepare
from sftprep.dataset.manifest import load_manifest

NAMES = ("omitted", "control_strings", "tokens_as_text")


def reasons(*names: str) -> Any:
    """Return a change of an index that counts its first document under these names."""
    return lambda rows: rows[0].update(reasons=list(names))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rewritten_histories", "rewritten_history"),
        ("unclean_boundaries", "unclean_boundary"),
        ("shortened", "shortened"),
        ("records_with_control_strings", "control_string"),
        *((f"{name}['x']", f"{start}:x") for name, start in zip(
            NAMES, ("omitted", "control_string", "token_as_text"), strict=True)),
    ],
)  # fmt: skip
def test_a_reason_that_is_not_counted(dataset: MakeDataset, name: str, reason: str) -> None:
    """An index that counts a document which the manifest does not count contradicts it."""
    folder = dataset()
    change_index(folder, reasons(reason, "ignored_field:y"), SECOND)
    assert problems(folder) == [f"manifest.json: counts.{name} is 0; the indexes have 1"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("answers_without_stop", "answer_without_stop"),
        ("empty_think_blocks", "empty_think_block"),
        ("trained_think_blocks", "trained_think_block"),
    ],
)
def test_a_row_may_have_several(dataset: MakeDataset, name: str, reason: str) -> None:
    """A count of answers is at least the number of rows with such an answer."""
    folder = dataset()
    change_index(folder, reasons(reason))
    change_index(folder, reasons(reason), SECOND)
    for count in (3, 2):
        edit_manifest(folder, setting("counts", name, to=count))
        assert problems(folder) == []
    edit_manifest(folder, setting("counts", name, to=1))
    expected = f"manifest.json: counts.{name} is 1; the indexes have 2 rows with one"
    assert problems(folder) == [expected]


def test_a_count_that_is_less_than_its_rows(dataset: MakeDataset) -> None:
    """In each row of this dataset the answer follows its prompt without a space."""
    folder = dataset()
    edit_manifest(folder, setting("counts", "glued_answers", to=3))
    expected = "manifest.json: counts.glued_answers is 3; the indexes have 4 rows with one"
    assert problems(folder) == [expected]


@pytest.mark.parametrize("name", ["truncated", "truncated_trained", "exchanges_dropped"])
@pytest.mark.parametrize("arrangement", ["", "packed"])
def test_a_count_of_no_row(dataset: MakeDataset, name: str, arrangement: str) -> None:
    """The manifest counts what no index has; the numbers of each row give some of the counts."""
    folder = make(dataset, arrangement) if arrangement else dataset()
    edit_manifest(folder, setting("counts", name, to=7))
    assert problems(folder) == [f"manifest.json: counts.{name} is 7; the indexes have 0"]


@pytest.mark.parametrize("name", NAMES)
def test_a_count_by_name_of_no_row(dataset: MakeDataset, name: str) -> None:
    """The name may be anything."""
    folder = dataset()
    edit_manifest(folder, setting("counts", name, "a\x1b", to=2))
    assert problems(folder) == [f"manifest.json: counts.{name}['a\\x1b'] is 2; the indexes have 0"]


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 60, "truncation": "balanced"},
        {"max_length": 90, "truncation": "oldest-turns"},
        {"max_length": 60, "truncation": "completion-end", "pack": True},
    ],
)
def test_what_a_run_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """The counts of a run are those of its indexes."""
    monkeypatch.chdir(tmp_path)
    data = SAMPLE_DATA / "messages.jsonl"
    prepare(recipe(data, tmp_path / "out", template="chatml", **options))
    counts = load_manifest(tmp_path / "out").counts
    assert counts["truncated"] + counts["shortened"]
    assert problems(Path("out")) == []
