"""The summary of a run, as a person reads it."""

from typing import Any

from sftprep.cli.summary import summarize
from sftprep.dataset.manifest import Manifest


def manifest(**changed: Any) -> Manifest:
    """Make a small manifest."""
    values: dict[str, Any] = {
        "format_version": 4, "recipe": {"max_length": 9}, "inputs": [], "tokenizer": {},
        "template": {"name": "价"}, "counts": {}, "shards": [], "ledgers": {}, "libraries": {},
        "fingerprint": "f",
    }  # fmt: skip
    return Manifest(**values | changed)


def test_summary() -> None:
    """The summary has one line per subject, with separators in numbers, singular and plural."""
    counts = {
        "read": 8, "extra_examples": 0, "blank_lines": 1, "written": 4,
        "dropped": {"too_long": 1}, "rejected": {"invalid_utf8": 1, "wrong_type": 2},
        "truncated": 1, "shortened": 0, "exchanges_dropped": 0, "tokens": 12345,
        "trained_tokens": 1, "rewritten_histories": 0, "unclean_boundaries": 1,
        "records_with_control_strings": 1, "control_strings": {"<s>": 1},
        "output_fields": {"response": 2},
    }  # fmt: skip
    text = summarize(
        manifest(
            counts=counts,
            recipe={"max_length": 2048, "truncation": "balanced"},
            inputs=[{"schema": "messages"}, {"schema": ""}, {"schema": "instruction"}],
            tokenizer={
                "name": "t", "vocabulary_size": 50257, "added_tokens": {}, "pad_is_eos": False,
                "special_tokens": {"pad": {"token": "<pad>", "id": 0}},
            },
            shards=[{}, {}],
            template={"name": "qa"},
        ),
        "out",
    )  # fmt: skip
    assert text.split("\n") == [
        "out: 4 rows in 2 shards, 12,345 tokens, 0.0% of them trained",
        "  read       8 records (instruction, messages), template qa, at most 2,048 tokens per row",
        "  dropped    1 too_long; listed in dropped.jsonl",
        "  rejected   1 invalid_utf8, 2 wrong_type; kept in rejects.jsonl",
        "  truncated  1 row by balanced",
        "  tokenizer  t, vocabulary 50,257, nothing added",
        "  padding    the pad token is <pad>; rows are not padded",
        "  fields     read as output: response in 2",
        "  boundary   1 row in which prompt and completion do not meet at a token boundary; "
        "end prompts without a space, and start completions with one",
        "  control    1 record with a control token's text (<s> in 1), kept as text; if it is "
        "meant as the token, pass --allow-control '<s>'",
    ]
