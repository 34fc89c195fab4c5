"""Ledgers and tokenizers that an export copies."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from sftprep.dataset.copied import copy_ledgers, copy_tokenizer
from sftprep.errors import DataError


def line(reason: str, file: str, place: int, **more: Any) -> dict[str, Any]:
    """Return an entry of a ledger."""
    return {"file": file, "line": place, "offset": 10 * place, "reason": reason, **more}


OLD = [line("too_long", "b", 7), line("too_long", "a", 9), line("duplicate", "b", 2),
       line("duplicate", "b", 2, answer=2), line("duplicate", "a", 5)]  # fmt: skip
NEW = [line("not_sampled", "b", 1), line("not_sampled", "b", 2, answer=1),
       line("not_sampled", "a", 6)]  # fmt: skip


def written(path: Path, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a ledger, and return its description."""
    data = b"".join(orjson.dumps(entry) + b"\n" for entry in entries)
    path.write_bytes(data)
    return {"sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def dataset(tmp_path: Path) -> Any:
    """Return a dataset with both ledgers, whose inputs are ``b`` and ``a``."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    ledgers = {
        "dropped.jsonl": written(tmp_path / "old" / "dropped.jsonl", OLD),
        "rejects.jsonl": written(tmp_path / "old" / "rejects.jsonl", OLD[:1]),
    }
    inputs = [{"name": "b"}, {"name": "a"}]
    return SimpleNamespace(ledgers=ledgers, inputs=inputs, tokenizer={"files": {}})


def test_entries_of_arrangements_are_in_input_order(tmp_path: Path, dataset: Any) -> None:
    """Entries of the first half come first, then those of arrangements, old and new, by place."""
    found = copy_ledgers(tmp_path / "old", dataset, tmp_path / "new", NEW, private=False)
    data = (tmp_path / "new" / "dropped.jsonl").read_bytes()
    entries = [orjson.loads(text) for text in data.splitlines()]
    assert entries == [*OLD[:2], NEW[0], OLD[2], NEW[1], OLD[3], OLD[4], NEW[2]]
    assert found["dropped.jsonl"] == {
        "entries": 8, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    same = [(tmp_path / name / "rejects.jsonl").read_bytes() for name in ("old", "new")]
    assert same[0] == same[1]


def test_a_dataset_without_ledgers(tmp_path: Path, dataset: Any) -> None:
    """Without entries there is no file; with new ones there is."""
    dataset.ledgers = {}
    assert copy_ledgers(tmp_path / "old", dataset, tmp_path / "new", [], private=False) == {}
    assert list((tmp_path / "new").iterdir()) == []
    found = copy_ledgers(tmp_path / "old", dataset, tmp_path / "new", NEW, private=False)
    assert list(found) == ["dropped.jsonl"]


def test_a_damaged_ledger_is_not_copied(tmp_path: Path, dataset: Any) -> None:
    """A ledger is compared with its hash before a line of it is used."""
    (tmp_path / "old" / "dropped.jsonl").write_bytes(b"{}\n")
    with pytest.raises(DataError, match=r"dropped\.jsonl: its SHA-256 is not the one"):
        copy_ledgers(tmp_path / "old", dataset, tmp_path / "new", NEW, private=False)


def test_the_tokenizer_is_copied(tmp_path: Path, dataset: Any) -> None:
    """Each file is compared with its hash; one that is missing is named."""
    (tmp_path / "old" / "tokenizer").mkdir()
    (tmp_path / "old" / "tokenizer" / "t.json").write_bytes(b"{}")
    sha256 = hashlib.sha256(b"{}").hexdigest()
    dataset.tokenizer = {"files": {"tokenizer/t.json": sha256}}
    copy_tokenizer(tmp_path / "old", dataset, tmp_path / "new")
    assert (tmp_path / "new" / "tokenizer" / "t.json").read_bytes() == b"{}"
    dataset.tokenizer = {"files": {"tokenizer/t.json": "0" * 64}}
    with pytest.raises(DataError, match="its SHA-256 is not the one"):
        copy_tokenizer(tmp_path / "old", dataset, tmp_path / "new")
    dataset.tokenizer = {"files": {"tokenizer/u.json": sha256}}
    with pytest.raises(DataError, match=r"u\.json: cannot be read"):
        copy_tokenizer(tmp_path / "old", dataset, tmp_path / "new")
