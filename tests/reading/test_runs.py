"""Runs on inputs of every format: resumed, unchanged, verified and previewed like JSON Lines."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_forms import ALL, json_lines, parquet
from toys import recipe, tree

from sftprep import Recipe, load_manifest, prepare
from sftprep.data.result import BlockResult
from sftprep.dataset.accounting import Accounting
from sftprep.errors import DataError, OutputError
from sftprep.verify.check import verify
from sftprep.views.choice import Choice
from sftprep.views.preview import preview
from sftprep.views.token_text import Look

Write = Callable[[str, str | bytes], Path]

SOME = ["csv-gzip", "objects", "wrapped", "parquet", "parquet-gzip", "arrow-file", "zip", "tar-gz"]
ROWS = [
    {"prompt": f"{n}", "completion": "b" * (n % 5 and n)} for n in range(1, 61)
]  # every fifth completion is empty
OPTIONS: dict[str, Any] = {"on_error": "quarantine", "shard_size": "300B", "format": "jsonl"}


def stop_after(monkeypatch: pytest.MonkeyPatch, results: int) -> None:
    """Interrupt the run after some results."""
    left = [results]
    real = Accounting.add

    def add(self: Accounting, result: BlockResult) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(self, result)

    monkeypatch.setattr(Accounting, "add", add)


@pytest.mark.parametrize("name", SOME)
def test_a_run_is_resumed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A resumed run gives the bytes of an undisturbed run, and then there is nothing to do."""
    file, content = ALL[name]
    path = write(file, content(ROWS))
    prepare(recipe(path, tmp_path / "expected", **OPTIONS))
    made: Recipe = recipe(path, tmp_path / "out", resume=True, **OPTIONS)
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            prepare(made)
    assert prepare(made).status == "resumed"
    assert tree(tmp_path / "out") == tree(tmp_path / "expected")
    assert prepare(made).status == "unchanged"
    report = verify(str(tmp_path / "out"), against=[str(path)], workers=1)
    assert [str(problem) for problem in report.problems] == []


@pytest.mark.parametrize("name", ["parquet", "csv-gzip", "zip"])
def test_a_changed_input_is_found(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Resuming, reusing and verifying notice that a row has changed."""
    file, content = ALL[name]
    path = write(file, content(ROWS))
    made: Recipe = recipe(path, tmp_path / "out", resume=True, **OPTIONS)
    prepare(recipe(path, tmp_path / "whole", **OPTIONS))
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            prepare(made)
    path.write_bytes(content([{"prompt": "x", "completion": "b"}, *ROWS[1:]]))
    with pytest.raises(OutputError, match="is not what the interrupted run read"):
        prepare(made)
    with pytest.raises(OutputError, match="the content of input"):
        prepare(recipe(path, tmp_path / "whole", **OPTIONS))
    report = verify(str(tmp_path / "whole"), against=[str(path)], workers=1)
    assert ": SHA-256 is " in str(report.problems[0])


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.faults)])
@pytest.mark.parametrize("name", ["parquet", "csv", "arrow-stream"])
def test_places_are_rows(write: Write, tmp_path: Path, name: str, workers: int) -> None:
    """Messages, ledgers and the preview name rows."""
    file, content = ALL[name]
    path = write(file, content(ROWS))
    options = OPTIONS | {"workers": workers, "shard_size": "1MiB"}
    result = prepare(recipe(path, tmp_path / "out", **options), block_bytes=200)
    lines = (tmp_path / "out/rejects.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["row"] for entry in entries] == [*range(5, 61, 5)]
    assert entries[0] == {
        "file": file,
        "row": 5,
        "reason": "empty_completion",
        "message": entries[0]["message"],
        "cure": entries[0]["cure"],
        "raw": '{"prompt":"5","completion":""}',
    }
    (cause,) = result.causes
    assert cause.places == [f"{path}: row {n}" for n in (5, 10, 15)]
    assert cause.records == 12
    with pytest.raises(DataError) as caught:
        prepare(recipe(path, tmp_path / "failed", format="jsonl"))
    assert str(caught.value).endswith(
        f"The same in 11 more records: {path}: row 10, {path}: row 15, ..."
    )
    text = preview(recipe(path, tmp_path / "none"), Choice(2), Look())
    assert [f"{file}: row {n}" in text for n in (1, 2, 3)] == [True, True, False]


def test_several_formats_in_one_run(write: Write, tmp_path: Path) -> None:
    """Inputs of different formats are one dataset, and shards go on over them."""
    rows = [{"prompt": f"{n}", "completion": "b" * n} for n in range(1, 31)]
    parts = [rows[:10], rows[10:20], rows[20:]]
    names = ["jsonl", "parquet", "csv"]
    paths = [
        str(write(f"{n}{ALL[name][0]}", ALL[name][1](part)))
        for n, (name, part) in enumerate(zip(names, parts, strict=True))
    ]
    one = recipe(write("x.jsonl", json_lines(rows)), tmp_path / "one", format="jsonl")
    prepare(one)
    options: dict[str, Any] = {
        "output": str(tmp_path / "all"),
        "tokenizer": one.tokenizer,
        "format": "jsonl",
    }
    prepare(Recipe(inputs=tuple(paths), **options))
    shard = "data/train-00000-of-00001.jsonl"
    assert tree(tmp_path / "one")[shard] == tree(tmp_path / "all")[shard]
    assert [entry["read"] for entry in load_manifest(tmp_path / "all").inputs] == [10, 10, 10]


def test_parquet_from_a_pipe(write: Write, tmp_path: Path) -> None:
    """Parquet that cannot be read in any order is copied to a temporary file first."""
    rows = [{"prompt": f"{n}", "completion": "b"} for n in range(1, 31)]
    data = parquet(rows)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(data))
    thread.start()
    prepare(recipe(pipe, tmp_path / "out"))
    thread.join()
    prepare(recipe(write("a.parquet", data), tmp_path / "expected"))
    inputs = [load_manifest(tmp_path / name).inputs[0] for name in ("out", "expected")]
    assert inputs[0] | {"name": ""} == inputs[1] | {"name": ""}


def test_hints_are_kept_in_the_dataset(write: Write, tmp_path: Path) -> None:
    """Verifying a dataset reads the inputs with the options of the build."""
    rows = [{"prompt": "a", "completion": "b"}]
    csv = write("a.txt", "prompt;completion\na;b\n")
    prepare(recipe(csv, tmp_path / "csv", delimiter=";"))
    wrapped = write("a.json", json.dumps({"x": {"y": rows}}))
    prepare(recipe(wrapped, tmp_path / "json", json_path="x.y"))
    for name, path in (("csv", csv), ("json", wrapped)):
        report = verify(str(tmp_path / name), against=[str(path)], workers=1)
        assert (report.problems, report.rows) == ([], 1)
    with pytest.raises(OutputError, match="--delimiter was ';' and is null"):
        prepare(recipe(csv, tmp_path / "csv"))
