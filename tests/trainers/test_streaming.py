"""MosaicML's ``StreamingDataset`` reads our MDS shards."""

from pathlib import Path

import pytest
from consumers import ask
from prepared import documents, lines_for, make

pytestmark = pytest.mark.trainers


def test_samples(tmp_path: Path) -> None:
    """With the printed lines, all samples are our rows, in our order, over several shards."""
    folder = make(tmp_path / "out", "streaming", shard_size="16KiB")
    assert len(list((folder / "train").glob("*.mds"))) > 1
    (lines,) = lines_for(folder)
    found = ask("streaming-0.13", "streaming_rows", {"lines": lines})
    assert list(map(tuple, found)) == documents(make(tmp_path / "hf"))
