"""OLMo-core packs our documents, and keeps their borders and masks."""

from pathlib import Path

import pytest
from consumers import ask
from prepared import documents, lines_for, make, without_first

pytestmark = pytest.mark.trainers


def test_packs(tmp_path: Path) -> None:
    """With the printed lines, its dataset finds each document whole, also of several turns."""
    folder = make(tmp_path / "out", "olmo-core", shard_size="16KiB")
    assert len(list((folder / "train").glob("token_ids_part_*.npy"))) > 1
    (lines,) = lines_for(folder)
    found = ask("olmo-core-3.0", "olmo", {"lines": lines, "output": str(tmp_path / "work")})
    ours = [without_first(document) for document in documents(make(tmp_path / "hf"))]
    assert sorted(map(tuple, found)) == sorted(ours)
