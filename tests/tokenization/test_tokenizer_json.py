"""The parts of a ``tokenizer.json`` come out in one form, however they are written."""

import json

import pytest
from toys import byte_hf, piece_hf

from sftprep.tokenization.tokenizer_json import (
    State,
    merges,
    normalizer_steps,
    only_rewrites_spaces,
    pre_tokenizer_steps,
)

PREPEND = {"type": "Prepend", "prepend": "▁"}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def test_nested_steps_are_flattened() -> None:
    """Sequences inside sequences come out as one list, in order."""
    split, digits, level = {"type": "Split"}, {"type": "Digits"}, {"type": "ByteLevel"}
    inner = {"type": "Sequence", "pretokenizers": [digits, level]}
    state = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, inner]}}
    assert pre_tokenizer_steps(state) == [split, digits, level]
    assert normalizer_steps({"normalizer": {"type": "Sequence", "normalizers": [PREPEND]}}) == [
        PREPEND
    ]


@pytest.mark.parametrize("state", [{}, {"normalizer": None, "pre_tokenizer": None}])
def test_no_steps(state: State) -> None:
    """A tokenizer without a normalizer or pre-tokenizer has no steps."""
    assert normalizer_steps(state) == pre_tokenizer_steps(state) == []


def test_steps_of_hf() -> None:
    """The steps of real tokenizers are found."""
    byte_level = json.loads(byte_hf().to_str())
    pieces = json.loads(piece_hf("normalizer").to_str())
    assert [step["type"] for step in pre_tokenizer_steps(byte_level)] == ["ByteLevel"]
    assert [step["type"] for step in normalizer_steps(pieces)] == ["Prepend", "Replace"]


def test_merges() -> None:
    """A merge may be a string or a pair; a side may hold spaces only in a pair."""
    state = {"model": {"merges": ["a b", "ab c", [" ", "d e"]]}}
    assert merges(state) == [("a", "b"), ("ab", "c"), (" ", "d e")]
    assert merges(json.loads(byte_hf(merges=[(" ", "b")]).to_str())) == [("Ġ", "b")]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (PREPEND, True),
        (REPLACE, True),
        ({**REPLACE, "pattern": {"String": "aa"}}, False),
        ({**REPLACE, "pattern": {"Regex": " "}}, False),
        ({"type": "NFC"}, False),
    ],
)
def test_only_rewrites_spaces(step: State, expected: bool) -> None:
    """Adding a space in front and replacing spaces changes no other character."""
    assert only_rewrites_spaces(step) == expected
