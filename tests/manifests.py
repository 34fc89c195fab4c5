"""Manifests for tests: small, with values that can be read."""

from typing import Any

from sftprep.dataset.manifest import Manifest


def counts(**changed: Any) -> dict[str, Any]:
    """Make the counts of a manifest: 0 of everything, but for what is given."""
    zero = (
        "read", "extra_examples", "blank_lines", "written", "truncated", "truncated_trained",
        "shortened", "exchanges_dropped", "tokens", "trained_tokens", "rewritten_histories",
        "unclean_boundaries", "records_with_control_strings", "answers_without_stop",
        "glued_answers", "empty_think_blocks", "trained_think_blocks",
        "fitting_length",
    )  # fmt: skip
    none = ("dropped", "rejected", "control_strings", "output_fields", "omitted", "other_stops",
            "tokens_as_text", "ignored_fields", "fields", "roles", "loss_flags")  # fmt: skip
    return dict.fromkeys(zero, 0) | {name: {} for name in none} | changed


def manifest(**changed: Any) -> Manifest:
    """Make a small manifest."""
    values: dict[str, Any] = {
        "format_version": 7, "recipe": {"max_length": 9}, "inputs": [], "tokenizer": {},
        "template": {"name": "价"}, "counts": {}, "shards": [], "input_shards": [],
        "ledgers": {}, "files": {}, "digest_of_rows": "0" * 32, "arrangement": {},
        "libraries": {}, "fingerprint": "f",
    }  # fmt: skip
    return Manifest(**values | changed)
