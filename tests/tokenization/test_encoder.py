"""Texts get the ids that HF tokenizers give, whichever backend encodes them."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import normalizers, pre_tokenizers
from toys import Token, byte_hf, byte_tokenizer, described, piece_hf, piece_tokenizer

from sftprep.data.ragged import Ragged
from sftprep.data.runs import Chains, TextRuns
from sftprep.recipe import allowed_values
from sftprep.tokenization.backends import GigatokenBackend, HfBackend
from sftprep.tokenization.encoder import SETTLING_BLOCKS, Encoder
from sftprep.tokenization.proof import SELF_CHECK, prove_content_encoding
from sftprep.tokenization.tokenizer import Tokenizer

MERGES: list[tuple[str, str | bytes]] = [
    (" ", "a"), (" ", "t"), ("h", "e"), (" t", "he"), ("\n", "\n"), (" ", " "), ("a", b"\xf0"),
]  # fmt: skip
TEXTS = [
    *SELF_CHECK,
    "the theme  of\n\n\nthe   thing",
    "ｆｕｌｌ ﬁ ① Å e\u0301\u0323",
    "\u0378\u1c89\ua7cb\U0001fae9\U000105c0\u0897",  # newer than some libraries' Unicode tables
    "a\U00016ea0",  # a letter to one library and not to another: it decides where a word ends
    "a\u07fd\u0301b \u0323\u0899a",  # marks that one library puts in another order
    "a\u0345\u0f73b \ud7a3\u1100\u1161\u11a8",
    "\u200d\ufeff\u2028\u2029\x85\xa0",
    "x" * 300 + " " * 300 + "\n" * 50 + "!?" * 200,
]


def tokenizers() -> dict[str, Tokenizer]:
    """Tokenizers that both backends support."""
    made = {
        "bytes": byte_tokenizer(["<s>", "</s>", "<|im_start|>"], MERGES),
        "spaces": byte_tokenizer(["</s>", Token("  ", special=False), Token("\n\n")], MERGES),
    }
    for scheme in ("first", "always", "never", "normalizer"):
        made[f"pieces {scheme}"] = piece_tokenizer(scheme, ["<|im_start|>"])
    composed = byte_hf(["</s>"], MERGES)
    composed.normalizer = normalizers.NFC()
    made["nfc"] = described(composed)
    return made


TOKENIZERS = tokenizers()


def encoded(encoder: Encoder, texts: list[str], continued: Sequence[bool] | None = None) -> Any:
    """The ids of each text."""
    ragged = encoder.encode(texts, None if continued is None else np.array(continued))
    return [ragged.row(index).tolist() for index in range(len(texts))]


# --- one result ---------------------------------------------------------------------------------


def reference(tokenizer: Tokenizer, *, continued: bool) -> Any:
    """HF's tokenizer with all tokens; for continued texts without the space in front."""
    state = json.loads(tokenizer.json)
    if continued and state["normalizer"] and "normalizers" in state["normalizer"]:
        steps = [n for n in state["normalizer"]["normalizers"] if n["type"] != "Prepend"]
        state["normalizer"]["normalizers"] = steps
    if continued and state["pre_tokenizer"] and state["pre_tokenizer"]["type"] == "Metaspace":
        state["pre_tokenizer"]["prepend_scheme"] = "never"
    return HfTokenizer.from_str(json.dumps(state))


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("continued", [False, True])
@pytest.mark.parametrize("backend", allowed_values("backend"))
def test_backends_agree(name: str, continued: bool, backend: str) -> None:
    """Every backend gives HF's ids for texts without control strings."""
    hf = reference(TOKENIZERS[name], continued=continued)
    expected = [hf.encode(text, add_special_tokens=False).ids for text in TEXTS]
    found = encoded(Encoder(TOKENIZERS[name], backend=backend), TEXTS, [continued] * len(TEXTS))
    assert dict(zip(TEXTS, expected, strict=True)) == dict(zip(TEXTS, found, strict=True))


@pytest.mark.parametrize(
    ("name", "text"), [("bytes", "a\U00016ea0"), ("nfc", "a\u07fd\u0301b \u0323\u0899a")]
)
def test_the_libraries_differ(name: str, text: str) -> None:
    """Without HF, gigatoken would give other ids for these texts."""
    stripped = TOKENIZERS[name].stripped_json()
    fast, slow = (backend(stripped).encode([text]) for backend in (GigatokenBackend, HfBackend))
    assert fast.values.tolist() != slow.values.tolist()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_fast_backend_is_used(name: str) -> None:
    """In these tests gigatoken does encode: they do not compare HF with HF."""
    assert prove_content_encoding(TOKENIZERS[name]).is_fast


@pytest.mark.parametrize("backend", allowed_values("backend"))
def test_rows_keep_their_order(backend: str) -> None:
    """Texts of all kinds, with and without divergent characters, come back in their order."""
    encoder = Encoder(piece_tokenizer("first"), backend=backend)
    texts = ["ab", "\u0378", "ab", "", "b", "\u0378"]
    continued = [False, True, True, False, True, False]
    alone = [encoded(encoder, [t], [c])[0] for t, c in zip(texts, continued, strict=True)]
    assert alone == encoded(encoder, texts, continued)


def test_bytes_are_their_ids() -> None:
    """The ids of the tests' own tokenizer are a text's bytes, so expected ids can be read."""
    encoder = Encoder(byte_tokenizer())
    assert [[*b"Hi!"], [], [*"价".encode()]] == encoded(encoder, ["Hi!", "", "价"])


# --- SentencePiece ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["first", "always", "normalizer"])
def test_continuation(scheme: str) -> None:
    """A text that continues another gets no space in front, any other text gets one."""
    tokenizer = piece_tokenizer(scheme)
    vocabulary = json.loads(tokenizer.json)["model"]["vocab"]
    ids = encoded(Encoder(tokenizer), ["ab", "ab", " a", " a"], [False, True, False, True])
    again = ["▁", "▁a"] if scheme == "normalizer" else ["▁a"]  # Metaspace never puts a second one
    expected = [["▁ab"], ["ab"], again, ["▁a"]]
    assert [[vocabulary[piece] for piece in row] for row in expected] == ids


def test_never() -> None:
    """A tokenizer that never puts a space in front encodes both kinds of text in the same way."""
    encoder = Encoder(piece_tokenizer("never"))
    assert encoded(encoder, ["ab"], [True]) == encoded(encoder, ["ab"], [False])


@pytest.mark.parametrize(
    ("scheme", "normalized", "expected"),
    [
        ("first", False, False),
        ("always", False, True),
        ("always", True, True),
        ("normalizer", False, True),
        ("normalizer", True, False),
        ("never", False, False),
    ],
)
def test_space_after_a_token(scheme: str, normalized: bool, expected: bool) -> None:
    """Whether a text after an added token gets a space follows HF's rules for the scheme."""
    tokenizer = piece_tokenizer(scheme, [Token("<x>", normalized=normalized)])
    assert expected == Encoder(tokenizer).adds_space_after(tokenizer.controls["<x>"])


def test_byte_level_prefix() -> None:
    """A byte-level tokenizer puts a space in front only of a text that continues no other."""
    hf = byte_hf()
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    ids = encoded(Encoder(described(hf)), ["a", "a"], [False, True])
    assert [[*b" a"], [*b"a"]] == ids


# --- control tokens -----------------------------------------------------------------------------

CONTROLS = ["<s>", "</s>", "<|im_end|>", "<｜User｜>", "[INST]"]


@pytest.mark.parametrize("backend", allowed_values("backend"))
@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_control_strings_are_text(backend: str, special: bool, normalized: bool) -> None:
    """The text of a control token is encoded as its characters, whatever its flags."""
    tokens = [Token(c, special=special, normalized=normalized) for c in CONTROLS]
    encoder = Encoder(byte_tokenizer(tokens, special={}), backend=backend)
    texts = [*CONTROLS, "a</s> <s>b", "<s></s>" * 50]
    assert [[*text.encode()] for text in texts] == encoded(encoder, texts)


def test_forbidden_ids() -> None:
    """The ids of control tokens are found in any array, those of allowed tokens are not."""
    tokenizer = byte_tokenizer(["<s>", "</s>", Token("<u>", special=False), Token("\n\n"), "  "])
    encoder = Encoder(tokenizer, allowed=["</s>"])
    every = np.arange(tokenizer.size, dtype=np.int32)
    forbidden = {tokenizer.ids["<s>"], tokenizer.ids["<u>"]}
    assert forbidden == set(encoder.forbidden_in(every).tolist())
    allowed = np.delete(every, sorted(forbidden))
    assert encoder.forbidden_in(allowed).tolist() == encoder.forbidden_in(every[:0]).tolist() == []
    for number in forbidden:
        assert encoder.forbidden_in(np.array([5, number, 5, number], np.int32)).tolist() == [1, 3]


@pytest.mark.parametrize("backend", allowed_values("backend"))
def test_allowed_token(backend: str) -> None:
    """An allowed control token in a text becomes the token; the others stay text."""
    tokenizer = byte_tokenizer(["<s>", "</s>"])
    encoder = Encoder(tokenizer, allowed=["</s>"], backend=backend)
    assert [[*b"a<s>", tokenizer.ids["</s>"], *b"b"]] == encoded(encoder, ["a<s></s>b"])


def test_whitespace_tokens_stay() -> None:
    """An added token of white space is encoded as the tokenizer does: it is no control token."""
    tokenizer = byte_tokenizer(["</s>", Token("  ", special=False)])
    assert [[97, tokenizer.ids["  "], 98]] == encoded(Encoder(tokenizer), ["a  b"])


def test_no_id_of_ordinary_text_is_forbidden() -> None:
    """Texts without control strings give no forbidden id, even with byte fallback."""
    encoder = Encoder(piece_tokenizer("first"))
    assert not len(encoder.forbidden_in(encoder.encode(TEXTS).values))


# --- runs ---------------------------------------------------------------------------------------


def rows(ragged: Ragged) -> list[list[int]]:
    """A ragged array as lists."""
    return [ragged.row(index).tolist() for index in range(len(ragged.lengths))]


def test_runs() -> None:
    """With ``split`` each run is encoded by itself; with ``joint`` an unclean chain is one text."""
    encoder = Encoder(byte_tokenizer(merges=[(" ", "b")]))
    runs = TextRuns(
        ["x:", "y", "a ", "b", "z"],
        np.array([False, True, False, True, False]),
        np.array([False, True, False, True, True]),
        Chains(np.array([0, 2]), np.array([1, 3])),
    )
    split = encoder.encode_runs(runs, joint=False)
    assert rows(split.ids) == [[*b"x:"], [*b"y"], [*b"a "], [*b"b"], [*b"z"]]
    joint = encoder.encode_runs(runs, joint=True)
    assert rows(joint.ids) == [[*b"x:"], [*b"y"], [97, 256], [], [*b"z"]]
    assert split.unclean.tolist() == joint.unclean.tolist() == [False, True]


@pytest.mark.parametrize("continued", [False, True])
def test_spans(continued: bool) -> None:
    """A text that continues another gets no space in front, and the spans fit its ids."""
    tokenizer = piece_tokenizer("first")
    vocabulary = json.loads(tokenizer.json)["model"]["vocab"]
    ids, spans = Encoder(tokenizer).spans("ab.", continued)
    assert ids.tolist() == [vocabulary["ab" if continued else "▁ab"], vocabulary["."]]
    assert spans.tolist() == [[0, 2], [2, 3]]


def test_count() -> None:
    """A text has as many tokens as its encoding has ids."""
    encoder = Encoder(byte_tokenizer(merges=[(" ", "b")]))
    assert [encoder.count_tokens(text) for text in ("", "a", " ba", "a b")] == [0, 1, 2, 2]


def test_piece_model_is_sentencepiece_style() -> None:
    """The tests' own SentencePiece-style tokenizer falls back to bytes."""
    ids = piece_hf("first").encode("a价").ids
    names = {index: name for name, index in piece_hf("first").get_vocab().items()}
    assert [names[i] for i in ids] == ["▁a", "<0xE4>", "<0xBB>", "<0xB7>"]


# --- memory -------------------------------------------------------------------------------------


def test_the_cache_of_words_is_dropped_when_the_process_has_grown() -> None:
    """What is allocated during the first blocks does not count; the ids stay the same."""
    held, dropped_at = [1000], []
    encoder = Encoder(
        piece_tokenizer("first"),
        cache_bytes=100,
        resident=lambda: held[0],
        give_back=lambda: dropped_at.append(held[0]),
    )
    expected = encoded(encoder, TEXTS)
    for _ in range(SETTLING_BLOCKS):
        held[0] += 1000  # the pipeline and the writer allocate
        encoder.limit_memory()
    for size, times in ((7100, 0), (7101, 1), (7201, 1), (7202, 2)):
        held[0] = size
        encoder.limit_memory()
        assert len(dropped_at) == times
        assert encoded(encoder, TEXTS) == expected


def test_warm_up() -> None:
    """Warming up changes nothing about the ids."""
    encoder = Encoder(byte_tokenizer())
    encoder.warm_up()
    assert encoded(encoder, ["Hi"]) == [[*b"Hi"]]
