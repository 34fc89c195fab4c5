"""Whole rows of small cases, token by token, compared with files that a person has read.

A case is a folder in ``golden/`` with ``input.jsonl``, ``recipe.yaml`` and ``expected.txt``, and
perhaps a template of its own, ``template.yaml``. ``expected.txt`` has one token per line, after the
word ``trained`` or a dot. ``pytest --update-golden`` writes these files again: read the difference
before you commit it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as HfTokenizer
from toys import SAMPLE_TOKENIZER, byte_names

from sftprep import Recipe, load_manifest, prepare, read_shard

CASES = sorted(path.parent for path in Path(__file__).parent.glob("golden/*/recipe.yaml"))


def build(case: Path, out: Path) -> str:
    """Run a case; give its rows and its lost records as text."""
    flags = {
        "inputs": [str(case / "input.jsonl")],
        "output": str(out),
        "tokenizer": str(SAMPLE_TOKENIZER),
        "on_error": "quarantine",
        "workers": 1,
    }
    if (own := case / "template.yaml").exists():
        flags["template"] = str(own)
    prepare(Recipe.from_sources(str(case / "recipe.yaml"), flags))
    hf = HfTokenizer.from_file(str(out / "tokenizer" / "tokenizer.json"))
    lines: list[str] = []
    for shard in load_manifest(out).shards:
        rows = read_shard(out / shard["name"], "parquet")
        for index in range(len(rows.input_ids.lengths)):
            start, end = rows.input_ids.offsets[index : index + 2]
            lines.append(f"== row {index + 1}: {end - start} tokens")
            for token, label in zip(
                rows.input_ids.row(index).tolist(), rows.labels[start:end].tolist(), strict=True
            ):
                assert label in (token, -100)
                lines.append(f"{'.' if label == -100 else 'trained':8}{shown(hf, token)}")
    for name in ("dropped", "rejects"):
        if (path := out / f"{name}.jsonl").exists():
            for line in path.read_bytes().splitlines():
                lost = json.loads(line)
                lines.append(f"== {name}: line {lost['line']}, {lost['reason']}")
    return "\n".join(lines) + "\n"


BYTES = {name: byte for byte, name in byte_names().items()}


def shown(hf: Any, token: int) -> str:
    """Show a token: its text in quotes, a control token bare, a part of a character as bytes."""
    name = hf.id_to_token(token)
    if token in hf.get_added_tokens_decoder():
        return str(name)
    data = bytes(BYTES[c] for c in name)
    try:
        return json.dumps(data.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return repr(data)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_golden(case: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A case gives exactly the tokens in its file, each trained or not as the file says."""
    found = build(case, tmp_path / "out")
    expected = case / "expected.txt"
    if request.config.getoption("--update-golden"):
        expected.write_text(found, encoding="utf-8")
    assert expected.read_text(encoding="utf-8") == found


def test_there_are_cases() -> None:
    """The cases are found: a wrong path would make the test above pass with none."""
    assert len(CASES) >= 10
