"""encode: two backends with one result, and no control token out of plain text."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import models, normalizers, pre_tokenizers
from toys import (
    Token,
    add,
    byte_hf,
    byte_names,
    byte_tokenizer,
    described,
    piece_hf,
    piece_tokenizer,
)

from sftprep.errors import TokenizerError
from sftprep.recipe import allowed_values
from sftprep.tokenization import encoder as encode
from sftprep.tokenization.backends import GigatokenBackend, HfBackend
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.proof import SELF_CHECK
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
    """Tokenizers that both backends can do."""
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
    """HF's tokenizer, whole; for texts that continue another, with its prefix switched off."""
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
    """Every backend gives what HF gives for the whole tokenizer, where no control string is met."""
    hf = reference(TOKENIZERS[name], continued=continued)
    expected = [hf.encode(text, add_special_tokens=False).ids for text in TEXTS]
    found = encoded(Encoder(TOKENIZERS[name], backend=backend), TEXTS, [continued] * len(TEXTS))
    assert dict(zip(TEXTS, expected, strict=True)) == dict(zip(TEXTS, found, strict=True))


@pytest.mark.parametrize(
    ("name", "text"), [("bytes", "a\U00016ea0"), ("nfc", "a\u07fd\u0301b \u0323\u0899a")]
)
def test_the_libraries_differ(name: str, text: str) -> None:
    """Without the guard the fast backend would give other ids: the guard is not for nothing."""
    stripped = TOKENIZERS[name].stripped_json()
    fast, slow = (backend(stripped).encode([text]) for backend in (GigatokenBackend, HfBackend))
    assert fast.values.tolist() != slow.values.tolist()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_fast_backend_is_used(name: str) -> None:
    """The tokenizers of these tests are within the fast backend's reach, or they test nothing."""
    assert Encoder(TOKENIZERS[name]).why_not_fast == ""


@pytest.mark.parametrize("backend", allowed_values("backend"))
def test_rows_keep_their_order(backend: str) -> None:
    """Fresh and continuing texts, with and without doubtful characters, come back in order."""
    encoder = Encoder(piece_tokenizer("first"), backend=backend)
    texts = ["ab", "\u0378", "ab", "", "b", "\u0378"]
    continued = [False, True, True, False, True, False]
    alone = [encoded(encoder, [t], [c])[0] for t, c in zip(texts, continued, strict=True)]
    assert alone == encoded(encoder, texts, continued)


@pytest.mark.parametrize("backend", [HfBackend, GigatokenBackend])
def test_no_texts(backend: Any) -> None:
    """No texts are no rows."""
    ragged = backend(TOKENIZERS["bytes"].stripped_json()).encode([])
    assert (ragged.values.tolist(), ragged.offsets.tolist()) == ([], [0])


def test_bytes_are_their_ids() -> None:
    """The tests' own tokenizer gives a text's bytes, so that expected ids can be read."""
    encoder = Encoder(byte_tokenizer())
    assert [[*b"Hi!"], [], [*"价".encode()]] == encoded(encoder, ["Hi!", "", "价"])


# --- SentencePiece ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["first", "always", "normalizer"])
def test_continuation(scheme: str) -> None:
    """A text that continues another gets no space put in front, one that begins a text does."""
    tokenizer = piece_tokenizer(scheme)
    vocabulary = json.loads(tokenizer.json)["model"]["vocab"]
    ids = encoded(Encoder(tokenizer), ["ab", "ab", " a", " a"], [False, True, False, True])
    again = ["▁", "▁a"] if scheme == "normalizer" else ["▁a"]  # Metaspace never puts a second one
    expected = [["▁ab"], ["ab"], again, ["▁a"]]
    assert [[vocabulary[piece] for piece in row] for row in expected] == ids


def test_never() -> None:
    """A tokenizer that puts no space in front gives the same for both."""
    encoder = Encoder(piece_tokenizer("never"))
    assert encoded(encoder, ["ab"], [True]) == encoded(encoder, ["ab"], [False])
    assert encoder.prefix == ""


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
def test_prefix_behind_a_token(scheme: str, normalized: bool, expected: bool) -> None:
    """Whether a text behind an added token gets a space is as HF has it for the scheme."""
    tokenizer = piece_tokenizer(scheme, [Token("<x>", normalized=normalized)])
    assert expected == Encoder(tokenizer).prefixes_after(tokenizer.controls["<x>"])


def test_byte_level_prefix() -> None:
    """A byte-level tokenizer that puts a space in front does so for fresh texts alone."""
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
    """A control token written in a text is encoded as its characters, however it is flagged."""
    tokens = [Token(c, special=special, normalized=normalized) for c in CONTROLS]
    encoder = Encoder(byte_tokenizer(tokens, special={}), backend=backend)
    texts = [*CONTROLS, "a</s> <s>b", "<s></s>" * 50]
    assert [[*text.encode()] for text in texts] == encoded(encoder, texts)


def test_forbidden_ids() -> None:
    """The ids that text must never become are those of all control tokens, but the allowed."""
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
    """An allowed control token in a text is the token, and the others stay text."""
    tokenizer = byte_tokenizer(["<s>", "</s>"])
    encoder = Encoder(tokenizer, allowed=["</s>"], backend=backend)
    assert [[*b"a<s>", tokenizer.ids["</s>"], *b"b"]] == encoded(encoder, ["a<s></s>b"])


def test_whitespace_tokens_stay() -> None:
    """An added token of white space alone is text, as in the tokenizer itself."""
    tokenizer = byte_tokenizer(["</s>", Token("  ", special=False)])
    assert [[97, tokenizer.ids["  "], 98]] == encoded(Encoder(tokenizer), ["a  b"])


# --- refusals -----------------------------------------------------------------------------------


def unigram() -> Tokenizer:
    """A Unigram model has its control tokens in its own vocabulary."""
    pieces = [("<unk>", 0.0), ("<s>", -1.0), ("</s>", -1.0), ("▁", -2.0), ("a", -2.0), ("b", -3.0)]
    hf = HfTokenizer(models.Unigram(pieces, unk_id=0))
    hf.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    add(hf, ["<unk>", "<s>", "</s>"])
    return described(hf)


def ignoring_merges() -> Tokenizer:
    """A BPE that takes a whole word from its vocabulary without looking at its merges."""
    hf = byte_hf()
    vocabulary = {**{name: byte for byte, name in byte_names().items()}, "stop": 256}
    hf.model = models.BPE(vocab=vocabulary, merges=[], ignore_merges=True)
    add(hf, ["stop"])
    return described(hf)


def merging() -> Tokenizer:
    """A BPE whose merges end in a word that is a control token as well."""
    return described(byte_hf(["he"], [("h", "e")]))


@pytest.mark.parametrize(
    ("make", "token"), [(unigram, "'<s>'"), (ignoring_merges, "'stop'"), (merging, "'he'")]
)
@pytest.mark.parametrize("backend", ["auto", "hf"])
def test_leaking_tokenizer(make: Any, token: str, backend: str) -> None:
    """A tokenizer that makes a control token out of plain text is refused, with the reason."""
    with pytest.raises(TokenizerError) as caught:
        Encoder(make(), backend=backend)
    name = "<unk>" if "'<unk>'" in str(caught.value) else token.strip("'")
    assert (
        f"tokenizer 'toy' turns the plain text '{name}' into a control token even when it does "
        f"not know it as one, so content could forge it. Pass --allow-control '{name}' if that is "
        "meant."
    ) == str(caught.value)


def test_leaking_token_allowed() -> None:
    """What content may be on purpose is no leak."""
    tokenizer = merging()
    assert [[tokenizer.ids["he"]]] == encoded(Encoder(tokenizer, allowed=["he"]), ["he"])


def test_unknown_token_is_no_leak() -> None:
    """Pieces with byte fallback never fall back to ``<unk>``."""
    encoder = Encoder(piece_tokenizer("first"))
    assert not len(encoder.forbidden_in(encoder.encode(TEXTS).values))


def word_level() -> Tokenizer:
    """A model that the fast backend cannot do."""
    hf = HfTokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    hf.pre_tokenizer = pre_tokenizers.Whitespace()
    return described(hf)


def test_fallback() -> None:
    """``auto`` uses HF where the fast backend cannot be used, and says why."""
    encoder = Encoder(word_level())
    assert encoded(encoder, ["a b c"]) == [[0, 1, 2]]
    assert encoder.why_not_fast.startswith("its model is WordLevel, not BPE")


def test_asked_for_the_fast_backend() -> None:
    """``gigatoken`` is refused where it cannot be used: what is asked for is not replaced."""
    with pytest.raises(TokenizerError) as caught:
        Encoder(word_level(), backend="gigatoken")
    text = str(caught.value)
    start = "--backend gigatoken cannot be used with this tokenizer: its model is WordLevel"
    assert text.startswith(start)
    assert text.endswith(". Pass --backend auto.")


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_flagged_tokens_in_text_go_to_hf(flag: str) -> None:
    """An allowed token that changes the text beside it is left to HF."""
    tokenizer = byte_tokenizer(["</s>", Token("<x>", **{flag: True})])
    assert Encoder(tokenizer).why_not_fast == ""
    encoder = Encoder(tokenizer, allowed=["<x>"])
    assert encoder.why_not_fast == f"its token '<x>' is {flag}"


def test_spans() -> None:
    """HF's ids come with the characters that each covers."""
    encoder = Encoder(byte_tokenizer(merges=[(" ", "b")]))
    ids, spans = encoder.spans("a b价", False)
    assert ([97, 256, *"价".encode()], [[0, 1], [1, 3], [3, 4], [3, 4], [3, 4]]) == (
        ids.tolist(),
        spans.tolist(),
    )


def test_count() -> None:
    """The tokens of a text are counted as they would be encoded."""
    encoder = Encoder(byte_tokenizer(merges=[(" ", "b")]))
    assert [encoder.count(text) for text in ("", "a", " ba", "a b")] == [0, 1, 2, 2]


def test_piece_model_is_sentencepiece_style() -> None:
    """The tests' own SentencePiece-style tokenizer falls back to bytes."""
    ids = piece_hf("first").encode("a价").ids
    names = {index: name for name, index in piece_hf("first").get_vocab().items()}
    assert [names[i] for i in ids] == ["▁a", "<0xE4>", "<0xBB>", "<0xB7>"]


def test_words_are_forgotten_where_they_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before all else has taken its memory; the ids stay the same."""
    encoder = Encoder(piece_tokenizer("first"))
    expected = encoded(encoder, TEXTS)
    held, forgotten = [1000], []
    monkeypatch.setattr(encode, "resident", lambda: held[0])
    monkeypatch.setattr(encode, "CACHE_BYTES", 100)
    monkeypatch.setattr(encode, "give_back", lambda: forgotten.append(held[0]))
    for _ in range(encode.SETTLING):
        held[0] += 1000  # the pipeline's, and the writer's
        encoder.trim()
    for size, times in ((7100, 0), (7101, 1), (7201, 1), (7202, 2)):
        held[0] = size
        encoder.trim()
        assert len(forgotten) == times
        assert encoded(encoder, TEXTS) == expected
