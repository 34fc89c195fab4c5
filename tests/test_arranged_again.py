"""Rows that could not be arranged as asked are kept, and arranged by a run that resumes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toys import recipe, tree, write_jsonl

from sftprep import prepare
from sftprep.dataset.arranged_shards import ArrangedShards
from sftprep.engine.local.engine import run_blocks
from sftprep.errors import ArrangementError, OutputError, UsageError

RECORDS = [{"prompt": f"question {n // 2}", "completion": f"answer {n}"} for n in range(40)]
KEPT = (
    " The rows are kept: run again with options that fit and --resume, and they are only arranged."
)


class Runs:
    """Runs on one input, with one output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_jsonl(folder / "in.jsonl", [*RECORDS, {"prompt": "no completion"}])

    def prepare(self, output: str = "out", **options: Any) -> str:
        """Run, and return the status."""
        fixed: dict[str, Any] = {"shard_size": "500B", "workers": 1, "on_error": "quarantine"}
        return prepare(recipe(self.data, self.folder / output, **fixed | options)).status

    @property
    def staging(self) -> Path:
        """The staging folder."""
        return self.folder / ".out.sftprep-staging"

    def assert_as_undisturbed(self, **options: Any) -> None:
        """Check that the output is that of one run with these options."""
        assert self.prepare("other", **options) == "written"
        assert tree(self.folder / "out") == tree(self.folder / "other")
        assert not self.staging.exists()


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """An input and its runs."""
    return Runs(tmp_path)


def no_block(*given: Any) -> Iterator[Any]:
    """Take the place of ``run_blocks`` where no block is to be worked on."""
    for result in run_blocks(*given):
        raise AssertionError(result)
    return iter(())


@pytest.mark.parametrize(
    ("wrong", "right", "problem"),
    [
        (
            {"validation": "40"},
            {"validation": "4"},
            "--validation 40 must be at least 1 and less than the 40 rows that there are, or none "
            "would be left for training. Give a smaller number, or a percentage.",
        ),
        (
            {"validation": "0.001%", "shuffle": True},
            {"validation": "20%", "shuffle": True, "seed": 3, "pack": True, "dedup": "exact"},
            "--validation 0.001% of 40 rows is no row: the validation split would be empty. Give a "
            "number of rows (such as --validation 4), or a larger percentage.",
        ),
        (
            {"sample": "0.001%"},
            {"shuffle": True},
            "--sample 0.001% of the 40 rows of the training split is no row.",
        ),
    ],
)
def test_rows_are_kept_for_options_that_fit(
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, Any],
    right: dict[str, Any],
    problem: str,
) -> None:
    """The second run works on no block, and gives what one run would have given."""
    with pytest.raises(UsageError) as caught:
        runs.prepare(**wrong)
    assert str(caught.value).startswith(problem)
    assert str(caught.value).endswith(KEPT)
    assert caught.value.exit_code == 2
    assert not (runs.folder / "out").exists()

    with monkeypatch.context() as patch:
        patch.setattr("sftprep.run.run_blocks", no_block)
        assert runs.prepare(resume=True, **right) == "resumed"
    runs.assert_as_undisturbed(**right)


def test_a_second_refusal(runs: Runs) -> None:
    """The rows are kept as often as it takes."""
    for validation in ("40", "400", "0.001%"):
        with pytest.raises(ArrangementError):
            runs.prepare(validation=validation, resume=True)
    assert runs.prepare(validation="3", resume=True) == "resumed"
    runs.assert_as_undisturbed(validation="3")


def test_without_resume_a_run_starts_over(runs: Runs) -> None:
    """Rows that were kept are removed."""
    with pytest.raises(ArrangementError):
        runs.prepare(validation="40")
    assert runs.prepare(validation="4") == "written"
    assert not runs.staging.exists()


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"max_length": 100}, "--max-length was 2048 and is 100"),
        ({"split_by": "prompt"}, "--split-by was null and is 'prompt'"),
        ({"validation": None, "seed": None, "shuffle": True}, "--validation was '40' and is null"),
        ({"validation": None, "seed": None}, "--validation was '40' and is null"),
    ],
)
def test_other_rows_are_refused(runs: Runs, changed: dict[str, Any], difference: str) -> None:
    """Rows that are made in another way, or compared by other keys, are not those that are kept."""
    with pytest.raises(ArrangementError):
        runs.prepare(validation="40", seed=0)
    with pytest.raises(OutputError) as caught:
        runs.prepare(**dict[str, Any](validation="40", seed=0) | changed, resume=True)
    assert difference in str(caught.value)
    assert caught.value.exit_code == 73
    assert runs.prepare(validation="4", seed=0, resume=True) == "resumed"


def test_shards_of_another_arrangement_are_not_kept(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was interrupted while it wrote shards is resumed with another order."""
    write = ArrangedShards.write

    def interrupted(*given: Any) -> Iterator[Any]:
        written = write(*given)
        yield next(written)
        yield next(written)
        raise KeyboardInterrupt

    def interrupt(**options: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(ArrangedShards, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                runs.prepare(**options)
        assert len((runs.staging / "arranged.jsonl").read_bytes().splitlines()) >= 2

    interrupt(shuffle=True)
    interrupt(shuffle=True, seed=1, resume=True)
    interrupt(pack=True, pack_length=60, max_length=60, resume=False)
    assert runs.prepare(shuffle=True, max_length=60, seed=2, resume=True) == "resumed"
    runs.assert_as_undisturbed(shuffle=True, max_length=60, seed=2)
