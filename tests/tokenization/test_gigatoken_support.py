"""For which tokenizers gigatoken may be used: only those that were compared with HF."""

import copy
import json
from collections.abc import Callable

import pytest
from toys import SAMPLE_TOKENIZER

from sftprep.tokenization.gigatoken_support import why_not_exact
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.tokenizer_json import State

SPLIT = {"type": "Split", "pattern": {"Regex": " ?"}, "behavior": "Isolated", "invert": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
REGEX = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
SPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def sequence(*steps: State, key: str = "pretokenizers") -> State:
    """A sequence of steps."""
    return {"type": "Sequence", key: list(steps)}


def token(content: str, **flags: bool) -> State:
    """An added token."""
    names = ("special", "lstrip", "rstrip", "single_word", "normalized")
    return {"content": content, "id": 1} | {name: flags.get(name, False) for name in names}


@pytest.fixture
def byte_level() -> State:
    """The sample tokenizer, without its control tokens."""
    state: State = json.loads(load_tokenizer(str(SAMPLE_TOKENIZER)).stripped_json())
    return state


@pytest.fixture
def pieces() -> State:
    """A SentencePiece-style tokenizer with every byte."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    model = {"type": "BPE", "byte_fallback": True, "vocab": vocabulary, "merges": []}
    return {"model": model, "added_tokens": [], "normalizer": None, "pre_tokenizer": dict(SPACE)}


def changed(state: State, change: Callable[[State], object]) -> State:
    """A changed copy of a tokenizer."""
    state = copy.deepcopy(state)
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: None, ""),
        (lambda s: s.update(normalizer={"type": "NFC"}), ""),
        (lambda s: s.update(normalizer=sequence(key="normalizers")), ""),
        (lambda s: s.update(pre_tokenizer=sequence(SPLIT, SPLIT, BYTES)), ""),
        (lambda s: s["added_tokens"].append(token("  ")), ""),
        (lambda s: s["model"].update(type="Unigram"), "the tokenizer's model is Unigram, not BPE"),
        (lambda s: s["model"].update(dropout=0.1), "the tokenizer's model sets dropout"),
        (
            lambda s: s["model"].update(end_of_word_suffix="</w>"),
            "the tokenizer's model sets end_of_word_suffix",
        ),
        (
            lambda s: s["model"]["merges"].append(s["model"]["merges"][0]),
            "the tokenizer's model lists a merge twice",
        ),
        (
            lambda s: s["model"]["merges"].append(["", "a"]),
            "the tokenizer's model has a merge with an empty side",
        ),
        (
            lambda s: s["model"]["merges"].append("a "),
            "the tokenizer's model has a merge with an empty side",
        ),
        (lambda s: s["model"]["vocab"].update(a=0), "two tokens of the tokenizer have the same id"),
        (lambda s: s["model"]["vocab"].pop("Ċ"), "the tokenizer's vocabulary lacks a byte"),
        (
            lambda s: s["added_tokens"].append(token(" ", rstrip=True)),
            "the tokenizer's token ' ' is rstrip",
        ),
        (
            lambda s: s["added_tokens"].extend([token("  "), token("   ", normalized=True)]),
            "some of the tokenizer's added tokens are normalized and some are not",
        ),
        (
            lambda s: (
                s.update(normalizer={"type": "NFC"}),
                s["added_tokens"].append(token("\u3000")),
            ),
            "the tokenizer normalizes text and has an added token that is not ASCII",
        ),
        (lambda s: s.update(normalizer={"type": "NFKC"}), "the tokenizer normalizes text by NFKC"),
        (lambda s: s.update(pre_tokenizer=BYTES), "the tokenizer's pre-tokenizer splits nothing"),
        (
            lambda s: s.update(pre_tokenizer=sequence(SPLIT, REGEX)),
            "the tokenizer's pre-tokenizer splits twice, or splits and adds a space",
        ),
        (
            lambda s: s.update(pre_tokenizer=sequence({"type": "Digits"}, BYTES)),
            "the tokenizer's pre-tokenizer also has a Digits step",
        ),
        (
            lambda s: s.update(pre_tokenizer=sequence(REGEX, {"type": "Digits"})),
            "the tokenizer's pre-tokenizer ends with Digits",
        ),
        (
            lambda s: s.update(pre_tokenizer=sequence(SPLIT | {"behavior": "Contiguous"}, BYTES)),
            "the tokenizer's pre-tokenizer splits in another way than Isolated",
        ),
        *(
            (
                lambda s, regex=regex: s.update(
                    pre_tokenizer=sequence(SPLIT | {"pattern": {"Regex": regex}}, BYTES)
                ),
                "gigatoken reads the pattern of the tokenizer's pre-tokenizer differently",
            )
            for regex in (r"\p{N}{1,3}+", r"\p{L}+|\s*[\r\n]|\s+")
        ),
    ],
)
def test_byte_level(byte_level: State, change: Callable[[State], object], reason: str) -> None:
    """For a byte-level tokenizer that was not compared there is a reason against gigatoken."""
    assert reason == why_not_exact(changed(byte_level, change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: None, ""),
        (
            lambda s: s.update(
                normalizer=sequence(
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                    key="normalizers",
                )
            ),
            "",
        ),
        (
            lambda s: s.update(
                normalizer={"type": "Replace", "pattern": {"String": "aa"}, "content": "a"}
            ),
            "the tokenizer adds a space in front of a text and also normalizes it",
        ),
        (
            lambda s: s["model"].update(ignore_merges=True),
            "the tokenizer is neither byte-level nor SentencePiece with byte fallback",
        ),
        (
            lambda s: s["model"].update(byte_fallback=False),
            "the tokenizer is neither byte-level nor SentencePiece with byte fallback",
        ),
        (lambda s: s["model"]["vocab"].pop("<0x0A>"), "the tokenizer's vocabulary lacks a byte"),
        (
            lambda s: s.update(pre_tokenizer={"type": "Whitespace"}),
            "the tokenizer's pre-tokenizer is Whitespace",
        ),
    ],
)
def test_sentencepiece(pieces: State, change: Callable[[State], object], reason: str) -> None:
    """For a SentencePiece-style tokenizer that was not compared there is a reason as well."""
    assert reason == why_not_exact(changed(pieces, change))
