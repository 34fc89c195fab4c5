"""Two identities are compared, and the first difference is named."""

from typing import Any

import pytest

from sftprep.dataset.identity import ORDER, difference, fingerprint, identity

IDENTITY: dict[str, Any] = {
    "format_version": 4,
    "recipe": {"max_length": 10, "add_token": [], "system": None, "per_turn": False},
    "tokenizer": "t",
    "special_tokens": {"eos": {"token": "</s>", "id": 1}},
    "stop_tokens": ["</s>"],
    "template": "u",
    "libraries": {"orjson": "3.1", "pyarrow": "20"},
    "inputs": ["a", "b"],
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ""),
        ({"format_version": 1}, "the format version was 4 and is 1"),
        ({"tokenizer": "x"}, "the tokenizer differs"),
        ({"template": "x"}, "the template differs"),
        ({"special_tokens": {}}, "the choice of special tokens differs"),
        (
            {"stop_tokens": ["<x>", "</s>"]},
            "the list of stop tokens was '</s>' and is '<x>', '</s>'",
        ),
        ({"inputs": ["a", "x"]}, "input 2 of 2 differs"),
        ({"inputs": ["b", "a"]}, "input 1 of 2 differs"),
        ({"inputs": ["a"]}, "the number of inputs was 2 and is 1"),
        ({"inputs": ["a"] * 1234}, "the number of inputs was 2 and is 1,234"),
        (
            {"libraries": {"orjson": "3.1", "pyarrow": "21"}},
            "the version of pyarrow was '20' and is '21'",
        ),
        ({"libraries": {"orjson": "3.1"}}, "the version of pyarrow was '20' and is null"),
        (
            {"libraries": {"orjson": "3.1", "pyarrow": "20", "x": "1"}},
            "the version of x was null and is '1'",
        ),
        ({"recipe": IDENTITY["recipe"] | {"max_length": 11}}, "--max-length was 10 and is 11"),
        ({"recipe": IDENTITY["recipe"] | {"system": ""}}, "--system was null and is ''"),
        ({"recipe": IDENTITY["recipe"] | {"per_turn": True}}, "--per-turn was false and is true"),
        (
            {"recipe": IDENTITY["recipe"] | {"add_token": ["<x>", "pad=\a"]}},
            "--add-token was none and is '<x>', 'pad=\\x07'",
        ),
        (
            {"recipe": IDENTITY["recipe"] | {"max_length": 1, "system": "a"}, "tokenizer": "x"},
            "--max-length was 10 and is 1; --system was null and is 'a'; the tokenizer differs",
        ),
        (
            {"tokenizer": "x", "template": "x", "inputs": []},
            "the tokenizer differs; the template differs; the number of inputs was 2 and is 0",
        ),
        (
            {"format_version": 1, "tokenizer": "x", "recipe": {"length": 10}},
            "the format version was 4 and is 1",
        ),
    ],
)
def test_difference(changed: dict[str, Any], expected: str) -> None:
    """Every difference is named, with both values if they mean something to a reader."""
    assert expected == difference(IDENTITY, IDENTITY | changed)
    assert (expected == "") == (difference(IDENTITY | changed, IDENTITY) == "")


def test_every_part_is_compared() -> None:
    """A difference in any part of the identity is found."""
    parts = identity(
        recipe={},
        tokenizer="t",
        special_tokens={},
        stop_tokens=[],
        template="u",
        libraries={},
        inputs=[],
    )
    assert set(ORDER) == set(parts) == set(IDENTITY)
    for key in parts:
        assert difference(parts, parts | {key: ["other"]})


def test_fingerprint() -> None:
    """A fingerprint depends on keys and values, but not on the order of keys."""
    assert fingerprint({"a": 1, "b": [1, {"c": 2, "d": 3}]}) == fingerprint(
        {"b": [1, {"d": 3, "c": 2}], "a": 1}
    )
    values: list[dict[str, Any]] = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}]
    assert len(values) == len({fingerprint(f) for f in values})
