"""Conversations that were once cut in the wrong place, from the folder ``shared``.

Each runs with a Jinja and a YAML template that write the same text, and both must give the row that
the manual's page on truncation describes. If the folder is missing, the tests are skipped.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from sftprep import DataError, Recipe, prepare, read_shard

pytestmark = pytest.mark.conformance

REPO = Path(__file__).resolve().parents[2]
CASES = REPO.parent / "shared" / "cases"
LONG = 2000


def case(name: str) -> Path:
    """Return a file of the shared folder, or skip the test."""
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return path


@pytest.fixture(params=["bos.jinja", "bos.yaml"])
def template(request: pytest.FixtureRequest) -> Path:
    """The same template, as Jinja and as YAML."""
    return case(request.param)


def row_of(data: str, template: Path, out: Path, **options: Any) -> tuple[list[int], list[int]]:
    """Return ids and labels of the only row; two empty lists if the record was dropped."""
    try:
        prepare(
            Recipe(
                inputs=(str(case(data)),),
                output=str(out),
                tokenizer=str(REPO / "sample_data" / "tokenizer"),
                template=str(template),
                add_token=("bos=<|bos|>",),
                format="jsonl",
                workers=1,
                **options,
            )
        )
    except DataError as error:
        if "(1 cut_to_nothing)" not in str(error):
            raise
        return [], []
    rows = read_shard(next(out.rglob("train-*.jsonl")), "jsonl")
    return rows.input_ids.values.tolist(), rows.labels.tolist()


@pytest.mark.parametrize("strategy", ["prompt-start", "balanced"])
@pytest.mark.parametrize("data", ["two-answers-with-system.jsonl", "two-answers.jsonl"])
def test_bos_and_system_turn_stay(data: str, strategy: str, template: Path, tmp_path: Path) -> None:
    """BOS and the whole system turn stay; the prompt loses its start after them."""
    ids, labels = row_of(data, template, tmp_path / "whole", max_length=LONG)
    saved = json.loads((tmp_path / "whole" / "tokenizer" / "tokenizer.json").read_text())
    names = {token["content"]: token["id"] for token in saved["added_tokens"]}
    assert ids[0] == names["<|bos|>"]
    kept = 1
    if "system" in data:
        kept = ids.index(names["<|im_end|>"]) + 2  # with the newline after it
    cut = row_of(data, template, tmp_path / "cut", truncation=strategy, max_length=60)
    rest = kept - 60
    assert cut == (ids[:kept] + ids[rest:], labels[:kept] + labels[rest:])


def test_completion_end_keeps_the_prompt(template: Path, tmp_path: Path) -> None:
    """A prompt that leaves no room for the answer is not cut: the record is dropped."""
    data = "long-second-prompt.jsonl"
    ids, labels = row_of(data, template, tmp_path / "whole", max_length=LONG)
    answer = max(i for i, label in enumerate(labels) if label == -100 and i < len(ids) - 1) + 1
    for limit in (40, answer, answer + 1, answer + 2):
        options = {"truncation": "completion-end", "max_length": limit}
        cut = row_of(data, template, tmp_path / f"cut-{limit}", **options)
        expected = ([], []) if limit <= answer else (ids[:limit], labels[:limit])
        assert cut == expected
