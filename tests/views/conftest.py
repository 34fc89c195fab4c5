"""Datasets that several tests read."""

from pathlib import Path

import pytest
from toys import SAMPLE_DATA, recipe

from sftprep import prepare


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one dataset per format, each in several shards, from the same records."""
    folder = tmp_path_factory.mktemp("datasets")
    for name in ("parquet", "arrow", "jsonl"):
        prepare(
            recipe(
                SAMPLE_DATA / "messages.jsonl",
                folder / name,
                template="chatml",
                format=name,
                shard_size="4KB",
            )
        )
    return folder
