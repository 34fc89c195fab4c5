"""The number of bytes of each token, and the tokenizers for which it is not known."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import models, normalizers, pre_tokenizers
from toys import Merges, Token, byte_hf, named, piece_hf

from sftprep.data.ragged import Ragged
from sftprep.data.runs import Chains, Places, TextRuns
from sftprep.tokenization.token_bytes import (
    NOT_KNOWN,
    UNKNOWN,
    ByteCounter,
    TokenBytes,
    place_in_characters,
    token_bytes,
)

MERGES: Merges = [(" ", "a"), ("a", "b"), (b"\xc3", b"\xa9")]
BYTES = byte_hf(merges=MERGES)


def known(hf: Any, **changed: Any) -> TokenBytes:
    """What is known of an HF tokenizer; ``changed`` are entries of its model."""
    state = json.loads(hf.to_str())
    state["model"].update(changed)
    return token_bytes(state, hf.get_vocab_size())


def lengths(hf: Any) -> dict[str, int]:
    """The number of bytes of each token of an HF tokenizer, by its text."""
    found = np.frombuffer(known(hf).lengths, np.int32)
    return {token: int(found[number]) for token, number in hf.get_vocab().items()}


def test_byte_level() -> None:
    """Each character of a token is a byte; an added token stands for its own text."""
    hf = byte_hf(["\n\n", "é"], MERGES)
    found = lengths(hf)
    assert {found[named(text)] for text in (b"\x00", " ", b"\xff")} == {1}
    assert (found[named(" a")], found[named("é")]) == (2, 2)
    assert (found["\n\n"], found["é"]) == (2, 2)
    assert known(hf).adds_space is False


def test_sentencepiece() -> None:
    """A space is written in another way; a byte that stands for itself is one; unknown is none."""
    hf = piece_hf("first")
    state = json.loads(hf.to_str())
    state["added_tokens"] = []
    found = token_bytes(state, hf.get_vocab_size())
    by_id = np.frombuffer(found.lengths, np.int32)
    of = {
        token: int(by_id[hf.token_to_id(token)]) for token in ("▁", "▁ab", "a", "<0xE4>", "<unk>")
    }
    assert of == {"▁": 1, "▁ab": 3, "a": 1, "<0xE4>": 1, "<unk>": UNKNOWN}
    assert found.adds_space is True
    assert known(piece_hf("never")).adds_space is False


def with_parts(hf: Any, **parts: Any) -> Any:
    """A copy of an HF tokenizer with other parts."""
    copy = HfTokenizer.from_str(hf.to_str())
    for name, part in parts.items():
        setattr(copy, name, part)
    return copy


LEVEL = pre_tokenizers.ByteLevel
REMOVED = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(" ", "removed"), LEVEL(add_prefix_space=False)]
)
SPACED = pre_tokenizers.Sequence([pre_tokenizers.Digits(), LEVEL(add_prefix_space=True)])


@pytest.mark.parametrize(
    ("hf", "changed"),
    [
        (with_parts(BYTES, normalizer=normalizers.Lowercase()), {}),
        (with_parts(BYTES, normalizer=normalizers.Replace("a", "")), {}),
        (with_parts(BYTES, pre_tokenizer=REMOVED), {}),
        (with_parts(BYTES, pre_tokenizer=SPACED), {}),
        (byte_hf([Token("<x>", lstrip=True)]), {}),
        (BYTES, {"end_of_word_suffix": "</w>"}),
        (BYTES, {"vocab": {"a": 0}}),
        (piece_hf("first", ["<x>"]), {}),
        (with_parts(piece_hf("never"), normalizer=normalizers.NFKC()), {}),
        (with_parts(piece_hf("never"), pre_tokenizer=pre_tokenizers.Whitespace()), {}),
        (piece_hf("never"), {"merges": [["<0xE4>", "a"]]}),
        (HfTokenizer(models.WordLevel({"a": 0}, unk_token="a")), {}),
    ],
)  # fmt: skip
def test_not_known(hf: Any, changed: dict[str, Any]) -> None:
    """A tokenizer that may change, remove or add characters is asked itself."""
    assert known(hf, **changed) == NOT_KNOWN


def starts(hf: Any, *texts: str, continued: bool = False) -> list[list[int] | None]:
    """Where the tokens of each text start, in bytes; None if it is not known."""
    state = json.loads(hf.to_str())
    state["added_tokens"] = []
    plain = HfTokenizer.from_str(json.dumps(state))
    ids = Ragged.of([plain.encode(text, add_special_tokens=False).ids for text in texts])
    numbers = np.arange(len(texts))
    nothing = np.zeros(0, np.int64)
    flags = np.full(len(texts), continued)
    runs = TextRuns(list(texts), flags, flags, Chains(nothing, nothing))
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    places = Places(
        runs, numbers, numbers, sizes, ids.offsets[:-1], ids.offsets[1:], nothing, nothing
    )
    counter = ByteCounter(token_bytes(state, plain.get_vocab_size()))
    before, first, is_known = counter.starts(places, ids.values)
    return [
        (before[a:b] - zero).tolist() if knows else None
        for a, b, zero, knows in zip(places.first, places.last, first, is_known, strict=True)
    ]


def test_starts() -> None:
    """The tokens of a text follow each other; a space that was added is in front of the text."""
    assert starts(BYTES, "ab a", "", "éa") == [[0, 2], [], [0, 2]]
    spaced = with_parts(BYTES, pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True))
    assert starts(spaced, "ab", " ab", "") == [[-1, 1], [0, 2], []]
    assert starts(piece_hf("always"), "ab", "éa") == [[-1], [-1, 0, 1, 2]]


def test_texts_that_change() -> None:
    """A text in another Unicode form, with unknown characters or a written ``▁`` is not known."""
    composing = with_parts(BYTES, normalizer=normalizers.NFC())
    assert starts(composing, "e\u0301", "é", "ab", "\u0958") == [None, [0], [0], None]
    assert starts(piece_hf("first"), "a▁b") == [None]
    unknown = piece_hf("first")
    unknown.model.byte_fallback = False
    assert starts(unknown, "a中b", "ab") == [None, [-1]]
    assert starts(piece_hf("always"), "ab", continued=True) == [None]  # no space may be added


@given(st.text(max_size=20))
def test_as_hf_places_the_tokens(text: str) -> None:
    """A byte-level token starts in the character at which HF says that it does."""
    (found,) = starts(BYTES, text)
    assert found is not None
    offsets = BYTES.encode(text, add_special_tokens=False).offsets
    assert [len(text.encode()[:start].decode(errors="ignore")) for start in found] == [
        start for start, _ in offsets
    ]


def test_place_in_characters() -> None:
    """Places are between characters."""
    assert [place_in_characters("é中a", size) for size in (0, 2, 5, 6)] == [0, 1, 2, 3]
