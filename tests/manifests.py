"""Manifests for tests: small, with values that can be read."""

from typing import Any

from sftprep.dataset.manifest import Manifest


def manifest(**changed: Any) -> Manifest:
    """Make a small manifest."""
    values: dict[str, Any] = {
        "format_version": 6, "recipe": {"max_length": 9}, "inputs": [], "tokenizer": {},
        "template": {"name": "价"}, "counts": {}, "shards": [], "ledgers": {}, "libraries": {},
        "fingerprint": "f",
    }  # fmt: skip
    return Manifest(**values | changed)
