"""plan: a recipe is resolved, or refused before anything is written."""

from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, byte_hf, recipe, save_folder

from sftprep import Recipe, TemplateError, UsageError, prepare
from sftprep.plan import plan

SOURCE = str(SAMPLE_DATA / "prompt_completion.jsonl")


def planned(**options: Any) -> Any:
    """The plan for the sample data and tokenizer."""
    return plan(Recipe(**{"inputs": (SOURCE,), "tokenizer": str(SAMPLE_TOKENIZER), **options}))


def test_defaults_follow_from_the_tokenizer(tmp_path: Path) -> None:
    """The longest row is 2,048 tokens, or the tokenizer's limit if that is less."""
    assert planned().settings.max_length == 2048
    folder = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>", model_max_length=50)
    assert planned(tokenizer=str(folder)).settings.max_length == 50
    assert planned(tokenizer=str(folder), max_length=60).settings.max_length == 60


def test_the_separator(tmp_path: Path) -> None:
    """The separator is the one given, else the sep token that ``--add-token`` names, else none."""
    assert planned().settings.separator == ""
    assert planned(add_token=("sep=<|sep|>",)).settings.separator == "<|sep|>"
    assert planned(add_token=("sep=<|sep|>",), separator="\n").settings.separator == "\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ()}, "no input. Name files, globs or folders, or - for standard input."),
        ({"tokenizer": None}, "no tokenizer. Pass --tokenizer with a folder, a tokenizer.json"),
        ({"allow_control": ("<x>",)}, "--allow-control '<x>': tokenizer 'tokenizer' has no such"),
        (
            {"template": "chatml", "separator": "x"},
            "--separator cannot be used: template 'chatml' does not contain {separator}",
        ),
        ({"template": "tokenizer:other"}, "tokenizer 'tokenizer' has no chat template 'other'"),
        ({"template": "llama3"}, "template 'llama3' needs '<|start_header_id|>', "),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    """A recipe that cannot work is refused before a record is read."""
    with pytest.raises(UsageError) as caught:
        planned(**options)
    assert str(caught.value).startswith(message)


def test_missing_tokens_are_named_with_their_flags() -> None:
    """The error lists the flags that add what a template needs and the tokenizer lacks."""
    with pytest.raises(TemplateError, match=r"Pass --add-token '<\|start_header_id\|>' "):
        planned(template="llama3")


def test_the_identity_holds_resolved_options() -> None:
    """Sizes are in bytes, the template has its name, and no path or machine is part of it."""
    found = planned(shard_size="1MB").identity(["a", "b"])
    assert found["inputs"] == ["a", "b"]
    assert (found["recipe"]["shard_size"], found["recipe"]["max_length"]) == (10**6, 2048)
    assert {"workers", "output", "inputs", "tokenizer", "backend"} & set(found["recipe"]) == set()
    assert set(found["libraries"]) >= {"sftprep", "tokenizers", "transformers"}


def test_fingerprint_follows_what_decides_the_bytes(tmp_path: Path) -> None:
    """Options that change the shards change the fingerprint; workers and backend do not."""
    base: dict[str, Any] = {"shard_size": "1MB"}
    variants: list[dict[str, Any]] = [
        {}, {"workers": 2}, {"backend": "hf"},
        {"max_length": 77}, {"template": "qa"}, {"train_on": "all"}, {"boundary": "joint"},
        {"ignore_index": -1}, {"format": "arrow"}, {"shard_size": "2MB"}, {"add_token": ["<x>"]},
        {"truncation": "keep-end"}, {"separator": "\n"},
    ]  # fmt: skip
    prints = [
        prepare(
            recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / str(n), **base | v)
        ).manifest.fingerprint
        for n, v in enumerate(variants)
    ]
    assert prints[0] == prints[1] == prints[2]
    assert len(variants) - 2 == len(set(prints))
