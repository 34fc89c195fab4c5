"""exactness: which tokenizers the fast backend may be used for."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from toys import SAMPLE_TOKENIZER

from sftprep.tokenization.gigatoken_support import parts, why_not_exact
from sftprep.tokenization.tokenizer import load_tokenizer

State = dict[str, Any]

SPLIT = {"type": "Split", "pattern": {"Regex": " ?"}, "behavior": "Isolated", "invert": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
REGEX = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
SPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def sequence(*steps: State, key: str = "pretokenizers") -> State:
    """Steps one after the other."""
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
    """A copy of a tokenizer with something changed."""
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
        (lambda s: s["model"].update(type="Unigram"), "its model is Unigram, not BPE"),
        (lambda s: s["model"].update(dropout=0.1), "its model has a dropout"),
        (
            lambda s: s["model"].update(end_of_word_suffix="</w>"),
            "its model has a end_of_word_suffix",
        ),
        (
            lambda s: s["model"]["merges"].append(s["model"]["merges"][0]),
            "its model has a merge twice",
        ),
        (
            lambda s: s["model"]["merges"].append(["", "a"]),
            "its model merges something with nothing",
        ),
        (lambda s: s["model"]["merges"].append("a "), "its model merges something with nothing"),
        (lambda s: s["model"]["vocab"].update(a=0), "two of its tokens have one id"),
        (lambda s: s["model"]["vocab"].pop("Ċ"), "its vocabulary lacks a byte"),
        (lambda s: s["added_tokens"].append(token(" ", rstrip=True)), "its token ' ' is rstrip"),
        (
            lambda s: s["added_tokens"].extend([token("  "), token("   ", normalized=True)]),
            "some of its added tokens are normalized, some not",
        ),
        (
            lambda s: (
                s.update(normalizer={"type": "NFC"}),
                s["added_tokens"].append(token("\u3000")),
            ),
            "it normalizes, and has an added token that is not ASCII",
        ),
        (lambda s: s.update(normalizer={"type": "NFKC"}), "it normalizes by NFKC"),
        (lambda s: s.update(pre_tokenizer=BYTES), "its pre-tokenizer splits nothing"),
        (
            lambda s: s.update(pre_tokenizer=sequence(SPLIT, REGEX)),
            "its pre-tokenizer splits, and splits or adds a space again",
        ),
        (
            lambda s: s.update(pre_tokenizer=sequence({"type": "Digits"}, BYTES)),
            "its pre-tokenizer has a Digits besides",
        ),
        (
            lambda s: s.update(pre_tokenizer=sequence(REGEX, {"type": "Digits"})),
            "its pre-tokenizer ends with Digits",
        ),
        (
            lambda s: s.update(pre_tokenizer=sequence(SPLIT | {"behavior": "Contiguous"}, BYTES)),
            "its pre-tokenizer splits in another way than Isolated",
        ),
        *(
            (
                lambda s, regex=regex: s.update(
                    pre_tokenizer=sequence(SPLIT | {"pattern": {"Regex": regex}}, BYTES)
                ),
                "its pre-tokenizer's pattern is one that the two read differently",
            )
            for regex in (r"\p{N}{1,3}+", r"\p{L}+|\s*[\r\n]|\s+")
        ),
    ],
)
def test_byte_level(byte_level: State, change: Callable[[State], object], reason: str) -> None:
    """Byte-level tokenizers: what is known to agree has no reason against it, all else has one."""
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
            "it puts a space first and normalizes besides",
        ),
        (
            lambda s: s["model"].update(ignore_merges=True),
            "it is neither byte-level nor SentencePiece with byte fallback",
        ),
        (
            lambda s: s["model"].update(byte_fallback=False),
            "it is neither byte-level nor SentencePiece with byte fallback",
        ),
        (lambda s: s["model"]["vocab"].pop("<0x0A>"), "its vocabulary lacks a byte"),
        (
            lambda s: s.update(pre_tokenizer={"type": "Whitespace"}),
            "its pre-tokenizer is Whitespace",
        ),
    ],
)
def test_sentencepiece(pieces: State, change: Callable[[State], object], reason: str) -> None:
    """SentencePiece-style tokenizers: the same."""
    assert reason == why_not_exact(changed(pieces, change))


def test_parts() -> None:
    """Nested steps come out flat, in order; no step is none."""
    nested = sequence(SPLIT, sequence(REGEX, BYTES))

    assert parts(nested, "pretokenizers") == [SPLIT, REGEX, BYTES]
    assert parts(None, "pretokenizers") == []
