"""diff: what a user sees of the differences between two datasets, in full."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from toys import recipe
from typer.testing import CliRunner
from views.commands import LEGEND

from sftprep import prepare
from sftprep.cli.app import app


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets: ``new`` and ``old``."""
    folder = tmp_path_factory.mktemp("diff")
    turns = [
        {"role": "user", "content": "Name a colour."},
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "And another?"},
        {"role": "assistant", "content": "Blue."},
    ]
    chats = [turns[:2], turns, [turns[0], {"role": "assistant", "content": "Green. " * 40}]]
    lines = [orjson.dumps({"messages": chat}) + b"\n" for chat in chats]

    def build(name: str, **options: Any) -> None:
        fixed: dict[str, Any] = {"template": "chatml", "truncation": "keep-start", "workers": 1}
        prepare(recipe(folder / "data.jsonl", folder / name, **fixed | options))

    (folder / "data.jsonl").write_bytes(b"".join(lines))
    build("new", max_length=110)
    last = orjson.dumps({"messages": [turns[2], turns[1]]}) + b"\n"
    (folder / "data.jsonl").write_bytes(b"".join([*lines, last]))
    build("old", max_length=120, train_on="last")
    return folder


def diff(*args: str) -> tuple[int, str, str]:
    """The exit code and the output of ``sftprep diff``."""
    ran = CliRunner().invoke(app, ["diff", *args])
    return ran.exit_code, ran.stdout, ran.stderr


def test_whole_output(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, inputs and counts come first; then rows, around the first token that differs."""
    monkeypatch.chdir(here)
    code, out, err = diff("new", "old", "--rows", "2")
    assert (code, err) == (1, "")
    assert (
        out
        == f"""\
new and old differ
  settings   --max-length was 110 and is 120
             --train-on was 'completion' and is 'last'
  inputs     the content of data.jsonl has changed
  rows       3 and 4; 1 row with the same ids and labels
             1 with other ids
             1 with the same ids and other labels
             1 only in old, the first from data.jsonl:4

{LEGEND}
data.jsonl:2: 36 tokens and 36; token 14 is trained only in the first
- … ↵·
  N·ame· a· col·our·.<|im_end|>↵
  <|im_start|>assistant·↵
  ⟦R·ed·.<|im_end|>⟧↵
  <|im_start|>user·↵·
  And· another·?<|im_end|>↵
  <|im_start|>assistant·↵
  ⟦B·l·ue·.<|im_end|>⟧↵
+ … ↵·
  N·ame· a· col·our·.<|im_end|>↵
  <|im_start|>assistant·↵·
  R·ed·.<|im_end|>↵
  <|im_start|>user·↵·
  And· another·?<|im_end|>↵
  <|im_start|>assistant·↵
  ⟦B·l·ue·.<|im_end|>⟧↵

data.jsonl:3: 110 tokens and 120; the second goes on behind token 109
- … ⟦ G·reen·.· G·reen·.· G·reen·.· G·reen·.⟧
+ … ⟦ G·reen·.· G·reen·.· G·reen·.· G·reen·.· G·reen·.· G·reen·.· G·reen·.· G⟧
"""
    )


def test_equal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For equal datasets one line says so, and the exit code is 0."""
    monkeypatch.chdir(here)
    assert diff("new", "new") == (
        0, "new and new hold the same rows\n"
        "  rows       3 and 3; 3 rows with the same ids and labels\n", ""
    )  # fmt: skip
    code, out, _ = diff("new", "new", "--json")
    assert (code, orjson.loads(out)["equal"]) == (0, True)
    code, out, _ = diff("new", "old", "--json")
    assert (code, orjson.loads(out)["equal"]) == (1, False)


def test_no_dataset(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a dataset is refused, with another exit code than a difference."""
    monkeypatch.chdir(here)
    assert diff("new", "gone") == (
        66, "", "error: gone: holds no dataset: there is no manifest.json. Check the path, or run "
        "prepare.\n"
    )  # fmt: skip
