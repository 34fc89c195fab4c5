"""Which tokenizers have token breaks that can be recognized."""

import json
from collections.abc import Callable

import pytest
from toys import SAMPLE_TOKENIZER, piece_tokenizer

from sftprep.tokenization.boundary.known_breaks import KnownBreaks, known_breaks, merged_pairs
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.tokenizer_json import State

NONE = KnownBreaks()


def test_merged_pairs() -> None:
    """The characters that meet in a merge are found, whichever way merges are written."""
    assert merged_pairs({"model": {"merges": ["a b", "ab c", "b c"]}}) == "abbc"
    assert merged_pairs({"model": {"merges": [["▁", "▁"], ["▁▁", "a"]]}}) == "▁a▁▁"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["added_tokens"].append({"content": " "}),
        lambda state: state.update(pre_tokenizer=None, normalizer=None),
        lambda state: state["pre_tokenizer"].update(replacement="_"),
        lambda state: state.update(normalizer={"type": "NFKC"}),
        lambda state: state["model"]["merges"].append(["<0x0A>", "a"]),
    ],
)
def test_merges_of_other_things(change: Callable[[State], object]) -> None:
    """Pairs of characters tell nothing about a tokenizer that does not merge characters."""
    state = json.loads(piece_tokenizer("first").stripped_json())
    assert known_breaks(state) == KnownBreaks("pairs", "ab▁a▁b")
    change(state)
    assert known_breaks(state) == NONE


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": None},
        {"added_tokens": [{"content": " "}]},
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {"Regex": r"\p{N}{1,3}"},
                        "behavior": "Isolated",
                    },
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            }
        },
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": "[a-z ]+"}, "behavior": "Isolated"},
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            }
        },
    ],
)
def test_unknown_patterns(change: dict[str, object]) -> None:
    """A pre-tokenizer whose pattern is not one of the known ones has no known token breaks."""
    state = json.loads(load_tokenizer(str(SAMPLE_TOKENIZER)).stripped_json())
    assert known_breaks(state) == KnownBreaks("words")
    assert known_breaks(state | change) == NONE
