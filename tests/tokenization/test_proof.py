"""Whether and how content can be encoded safely is found out once per tokenizer."""

import json
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import models, pre_tokenizers
from toys import Token, add, byte_hf, byte_names, byte_tokenizer, described, piece_tokenizer

from sftprep.errors import TokenizerError
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.proof import ContentEncoding, prefix_kind, prove_content_encoding
from sftprep.tokenization.tokenizer import Tokenizer

# --- refused tokenizers -------------------------------------------------------------------------


def unigram() -> Tokenizer:
    """A Unigram model, which has its control tokens in its own vocabulary."""
    pieces = [("<unk>", 0.0), ("<s>", -1.0), ("</s>", -1.0), ("▁", -2.0), ("a", -2.0), ("b", -3.0)]
    hf = HfTokenizer(models.Unigram(pieces, unk_id=0))
    hf.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    add(hf, ["<unk>", "<s>", "</s>"])
    return described(hf)


def ignoring_merges() -> Tokenizer:
    """A BPE that looks a whole word up in its vocabulary before it applies merges."""
    hf = byte_hf()
    vocabulary = {**{name: byte for byte, name in byte_names().items()}, "stop": 256}
    hf.model = models.BPE(vocab=vocabulary, merges=[], ignore_merges=True)
    add(hf, ["stop"])
    return described(hf)


def merging() -> Tokenizer:
    """A BPE whose merges produce a word that is also a control token."""
    return described(byte_hf(["he"], [("h", "e")]))


@pytest.mark.parametrize(
    ("make", "token"), [(unigram, "'<s>'"), (ignoring_merges, "'stop'"), (merging, "'he'")]
)
@pytest.mark.parametrize("backend", ["auto", "hf"])
def test_leaking_tokenizer(make: Any, token: str, backend: str) -> None:
    """A tokenizer that encodes plain text as a control token is refused, with the reason."""
    with pytest.raises(TokenizerError) as caught:
        prove_content_encoding(make(), backend=backend)
    name = "<unk>" if "'<unk>'" in str(caught.value) else token.strip("'")
    assert (
        f"tokenizer 'toy' turns the plain text '{name}' into a control token even after it was "
        "removed from the added tokens, so content could forge it. Use another tokenizer, or pass "
        f"--allow-control '{name}' if content may hold this token."
    ) == str(caught.value)


def test_leaking_token_allowed() -> None:
    """A control token that content may become is no leak."""
    tokenizer = merging()
    encoding = prove_content_encoding(tokenizer, ["he"])
    assert encoding.forbidden == ()
    ids = Encoder(tokenizer, allowed=["he"], encoding=encoding).encode(["he"])
    assert ids.values.tolist() == [tokenizer.ids["he"]]


def test_unknown_token_is_no_leak() -> None:
    """A tokenizer with byte fallback never encodes anything as ``<unk>``."""
    tokenizer = piece_tokenizer("first")
    assert tokenizer.ids["<unk>"] in prove_content_encoding(tokenizer).forbidden


def test_a_kept_token_must_keep_its_id() -> None:
    """A token whose id changes once others are removed is refused."""
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("a", -2.0)]
    hf = HfTokenizer(models.Unigram(pieces, unk_id=0))
    add(hf, [Token("<x>", special=False), Token("<keep>", special=False)])
    with pytest.raises(TokenizerError) as caught:
        prove_content_encoding(described(hf), ["<keep>"])
    assert str(caught.value) == (
        "tokenizer 'toy' does not give the token '<keep>' its id 4 once other tokens are removed. "
        "Use a tokenizer whose model has that token in its vocabulary."
    )


# --- the backend --------------------------------------------------------------------------------


def word_level() -> Tokenizer:
    """A model that gigatoken does not support."""
    hf = HfTokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    hf.pre_tokenizer = pre_tokenizers.Whitespace()
    return described(hf)


def test_gigatoken_is_used_where_it_is_exact() -> None:
    """With ``auto`` gigatoken is used, and there is no reason against it."""
    encoding = prove_content_encoding(byte_tokenizer())
    assert (encoding.is_fast, encoding.why_not_fast) == (True, "")


def test_hf_was_asked_for() -> None:
    """With ``hf`` gigatoken is not used, and no reason is given."""
    encoding = prove_content_encoding(byte_tokenizer(), backend="hf")
    assert (encoding.is_fast, encoding.why_not_fast) == (False, "")


def test_fallback() -> None:
    """With ``auto`` HF is used if gigatoken cannot be used, and the reason is given."""
    encoding = prove_content_encoding(word_level())
    assert not encoding.is_fast
    assert encoding.why_not_fast == "the tokenizer's model is WordLevel, not BPE"


def test_gigatoken_was_asked_for() -> None:
    """``gigatoken`` is refused if it cannot be used, rather than replaced by HF."""
    with pytest.raises(TokenizerError) as caught:
        prove_content_encoding(word_level(), backend="gigatoken")
    assert str(caught.value) == (
        "--backend gigatoken cannot be used with this tokenizer: the tokenizer's model is "
        "WordLevel, not BPE. Pass --backend auto."
    )


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_flagged_tokens_in_text_go_to_hf(flag: str) -> None:
    """An allowed token that changes the text next to it is left to HF."""
    tokenizer = byte_tokenizer(["</s>", Token("<x>", **{flag: True})])
    assert prove_content_encoding(tokenizer).why_not_fast == ""
    encoding = prove_content_encoding(tokenizer, ["<x>"])
    assert encoding.why_not_fast == f"the tokenizer's token '<x>' is {flag}"


def test_gigatoken_must_encode_the_texts_of_the_self_check_like_hf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A difference in any text of the corpus rules gigatoken out."""
    import gigatoken

    class Wrong:
        """Encodes every text as its last byte."""

        def encode(self, text: str) -> Any:
            return np.frombuffer(text.encode()[-1:], np.uint8).astype(np.uint32)

    monkeypatch.setattr(gigatoken.Tokenizer, "from_json", lambda _: Wrong())
    encoding = prove_content_encoding(byte_tokenizer())
    assert not encoding.is_fast
    assert encoding.why_not_fast == "gigatoken encodes 'Hello, world!' differently"


# --- what is known afterwards -------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
def test_prefix(scheme: str) -> None:
    """A tokenizer that puts a space in front of text has a second variant that does not."""
    encoding = prove_content_encoding(piece_tokenizer(scheme))
    assert encoding.prefix == ("" if scheme == "never" else scheme)
    assert (encoding.continuing is None) == (scheme == "never")


def test_byte_level_prefix() -> None:
    """A byte-level tokenizer may put a space in front as well."""
    hf = byte_hf()
    assert prefix_kind(json.loads(hf.to_str())) == ""
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert prefix_kind(json.loads(hf.to_str())) == "always"


def test_forbidden() -> None:
    """The ids that text must never become are those of all control tokens except the allowed."""
    tokenizer = byte_tokenizer(["<s>", "</s>", Token("<u>", special=False), Token("\n\n"), "  "])
    encoding: ContentEncoding = prove_content_encoding(tokenizer, ["</s>"])
    assert set(encoding.forbidden) == {tokenizer.ids["<s>"], tokenizer.ids["<u>"]}
    assert encoding.size == tokenizer.size
