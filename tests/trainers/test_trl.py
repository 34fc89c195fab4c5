"""TRL trains on our rows as they are, with the lines that the summary prints."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from consumers import HERE_TOO, ask
from prepared import documents, lines_for, make, without_first

import sftprep
from sftprep import load_manifest

pytestmark = [
    pytest.mark.trainers,
    pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs TRL"),
]
PACKED: dict[str, Any] = {"pack": True, "pack_length": 800}


class Case(NamedTuple):
    """How rows are made, and the options of TRL that read them."""

    made: dict[str, Any]
    printed: str  # options in the printed lines
    options: str = ""  # others in their place


CASES = {
    "plain": Case({}, "max_length=400"),
    "packed": Case(PACKED, "padding_free=True, max_length=None"),
    "completion mask": Case(
        {"loss_mask": "completion_mask"}, "max_length=400, completion_only_loss=True"
    ),
    "packed with assistant masks": Case(
        {"loss_mask": "assistant_masks", **PACKED}, "padding_free=True, max_length=None"
    ),
}
MORE = {
    "packed, not prepared": Case(
        PACKED,
        "padding_free=True, max_length=None",
        'packing=True, max_length=800, dataset_kwargs={"skip_prepare_dataset": True}',
    ),
    "packed by TRL": Case({}, "max_length=400", "packing=True, max_length=800"),
    "padded": Case({"pad": "max-length"}, "max_length=400"),
}


def train(folder: Path, cases: dict[str, Case]) -> dict[str, Any]:
    """Run the lines of each case; return what was seen."""
    questions = []
    for number, case in enumerate(cases.values()):
        dataset = make(folder / f"{number}", "trl", **case.made)
        (lines,) = lines_for(dataset)
        assert case.printed in lines
        questions.append(
            {
                "tokenizer": str(dataset / "tokenizer"),
                "lines": lines.replace(case.printed, case.options or case.printed),
                "model": "llama",
                "attention": "sdpa",
                "rows": 2,
                "output": str(folder / "trainer"),
            }
        )
    return dict(zip(cases, ask(HERE_TOO, "printed_lines", questions), strict=True))


def check(found: dict[str, Any], folder: Path) -> None:
    """Check what was seen in one case."""
    ours = [without_first(document) for document in documents(make(folder / "hf"))]
    assert len(found["documents"]) == 3
    for ids, labels in [document for batch in found["documents"] for document in batch]:
        # TRL takes padding that it finds for text without labels.
        own = next(own for own in ours if ids[: len(own[0])] == own[0])
        assert without_first((own[0], labels[: len(own[0])])) == own
        assert set(labels[len(own[0]) :]) <= {-100}
    for theirs, computed in found["losses"]:
        assert theirs == pytest.approx(computed, abs=2e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen in the cases of CI."""
    return train(tmp_path_factory.mktemp("trained"), CASES)


@pytest.fixture(scope="module")
def more_trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen in the other cases."""
    return train(tmp_path_factory.mktemp("more"), MORE)


@pytest.mark.parametrize("name", CASES)
def test_three_steps(trained: dict[str, Any], tmp_path: Path, name: str) -> None:
    """Batches hold our documents token for token, and the loss is theirs, each seen alone."""
    check(trained[name], tmp_path)


@pytest.mark.trainers_slow
@pytest.mark.parametrize("name", MORE)
def test_three_steps_of_more_cases(more_trained: dict[str, Any], tmp_path: Path, name: str) -> None:
    """The same, with other options of TRL, and with padding."""
    check(more_trained[name], tmp_path)


@pytest.mark.trainers_slow
def test_the_script_of_the_manual(tmp_path: Path) -> None:
    """It trains a model on CPU; its lines are the printed ones."""
    page = (Path(sftprep.__file__).parent / "docs" / "targets.md").read_text(encoding="utf-8")
    script = page.split("<!-- not run: it needs TRL -->\n```python\n")[1].split("```")[0]
    folder = make(tmp_path / "out", "trl", max_length=2048)
    (lines,) = lines_for(folder)
    assert lines.replace(str(folder), "out") in script
    model = tmp_path / "model"
    size = load_manifest(folder).tokenizer["vocabulary_size"]
    short = "max_length=2048, max_steps=1, use_cpu=True, bf16=False, report_to=[]"
    script = (
        script.replace('"out', f'"{folder}')
        .replace('"MODEL"', f'"{model}"')
        .replace('"trained"', f'"{tmp_path / "trained"}"')
        .replace("max_length=2048", short)
    )
    assert ask(HERE_TOO, "saved_model", {"folder": str(model), "size": size, "then": script}) > 0
