"""Tokenizer -> Encoding: what content is encoded with, and the proof that this is safe.

In     a loaded tokenizer, the control tokens that content may be, the backend asked for.
Out    ``Encoding``: plain data, to be kept and to be sent to workers; making it costs as much as
       loading the tokenizer a few times, using it does not.
Keeps  exactly what HF tokenizers give for the resolved tokenizer without its control tokens. The
       fast backend (gigatoken) is used for the kinds of tokenizers that ``exactness`` lists, and
       is checked here on a small corpus.
Raises TokenizerError: the tokenizer yields a control token from plain text, or ``gigatoken`` was
       asked for and cannot do this tokenizer.

SentencePiece-style tokenizers put a space in front of a text. A text that *continues* another gets
none: it is encoded with a variant of the tokenizer that has this switched off.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sftprep.errors import TokenizerError
from sftprep.text import shown
from sftprep.tokenization.backends import GigatokenBackend, HfBackend
from sftprep.tokenization.gigatoken_support import crossings, locality, parts, why_not_exact
from sftprep.tokenization.tokenizer import Tokenizer

SELF_CHECK = (
    "",
    " ",
    "a",
    "Hello, world!",
    "  two  spaces ",
    "line\n\nline\r\n\ttab \n",
    "don't I'LL we've 1234567 3.14",
    "naïve café Ünïcödé ſ K",
    "价格是 1234 元，对吗？",
    "日本語 テキスト 한국어",
    "Привет, мир! مرحبا नमस्ते",
    "😀👩‍👩‍👧 🇨🇳 e\u0301 \u200b\u00a0\u3000",
    'def f(x):\n    return {"a": [1, 2]}  # ok\n',
    "https://example.org/?q=1&r=2",
    "\x00\x01\x7f\ufeff",
    "\n\n\n a\r\n\r\n\n\tb  \n \n",
    "12345678901234567 a1234b",
    "#" * 70 + " " * 70 + "a" * 70,
)
"""Texts that the fast backend must encode as HF does before it is trusted with a tokenizer."""


@dataclass(frozen=True)
class Variant:
    """One way to encode: a tokenizer without control tokens, and whether the fast backend can."""

    json: str
    is_fast: bool
    why_not: str = ""  # why the fast backend is not used, where it was asked for


@dataclass(frozen=True)
class Encoding:
    """How content is encoded."""

    first: Variant
    continuing: Variant | None  # for a text that continues another; None: no different
    prefix: str  # where a space is put in front of text; see ``prefix_kind``
    normalizes: bool
    locality: str  # how it is known where text is always cut; see ``exactness.locality``
    crossings: str  # and where text is not, if that is known of pairs of characters
    forbidden: tuple[int, ...]  # the ids of control tokens, which text must never become
    size: int  # one more than the largest id


def prove(tokenizer: Tokenizer, allowed: Iterable[str] = (), backend: str = "auto") -> Encoding:
    """Find out how to encode content for a tokenizer.

    Args:
        tokenizer: the resolved tokenizer.
        allowed: control tokens that text may become.
        backend: ``auto``, ``gigatoken`` or ``hf``.
    """
    allowed = frozenset(allowed)
    stripped = tokenizer.stripped_json(allowed)
    reference = HfBackend(stripped)
    forbidden = tuple(t.id for t in tokenizer.controls.values() if t.content not in allowed)
    first = _variant(stripped, backend, reference)
    _check_kept(tokenizer, allowed, reference)
    _refuse_leaks(tokenizer, allowed, forbidden, reference)
    if backend == "gigatoken" and first.why_not:
        raise TokenizerError(
            f"--backend gigatoken cannot be used with this tokenizer: {first.why_not}. "
            "Pass --backend auto."
        )
    state = json.loads(stripped)
    prefix = prefix_kind(state)
    continuing = None
    if prefix:
        other = json.dumps(_without_prefix(json.loads(stripped)))
        continuing = _variant(other, backend, HfBackend(other))
    normalizes = bool(parts(state.get("normalizer"), "normalizers"))
    near = "" if why_not_exact(state) else locality(state)
    return Encoding(
        first=first,
        continuing=continuing,
        prefix=prefix,
        normalizes=normalizes,
        locality=near,
        crossings=crossings(state) if near == "pairs" else "",
        forbidden=forbidden,
        size=tokenizer.size,
    )


def _variant(tokenizer_json: str, backend: str, reference: HfBackend) -> Variant:
    """The fast backend where it is safe, else HF."""
    if backend == "hf":
        return Variant(tokenizer_json, is_fast=False)
    state = json.loads(tokenizer_json)
    why_not = why_not_exact(state) or _why_not_fast(tokenizer_json, state, reference)
    return Variant(tokenizer_json, is_fast=not why_not, why_not=why_not)


def _why_not_fast(tokenizer_json: str, state: dict[str, Any], reference: HfBackend) -> str:
    """Why gigatoken cannot be used; "" where it can."""
    try:
        fast = GigatokenBackend(tokenizer_json)
    except Exception as error:  # of any kind: it cannot read this tokenizer
        return f"gigatoken cannot read it: {' '.join(str(error).split())[:200]}"
    added = [token["content"] for token in state["added_tokens"]]
    texts = [*SELF_CHECK, *added, *(f"a{token}b" for token in added)]
    ours, theirs = fast.encode(texts), reference.encode(texts)
    for index, text in enumerate(texts):
        if ours.row(index).tolist() != theirs.row(index).tolist():
            return f"gigatoken encodes {shown(text)} differently"
    return ""


def _check_kept(tokenizer: Tokenizer, allowed: frozenset[str], reference: HfBackend) -> None:
    """Added tokens that stay must still have their ids."""
    kept = [t for t in tokenizer.added if t.content in allowed or not t.content.strip()]
    encoded = reference.encode([t.content for t in kept])
    for index, token in enumerate(kept):
        if token.id not in encoded.row(index):
            raise TokenizerError(
                f"tokenizer {shown(tokenizer.name)} does not give the token "
                f"{shown(token.content)} its id {token.id} when other tokens are taken out. "
                "Use a tokenizer whose model knows that token."
            )


def _refuse_leaks(
    tokenizer: Tokenizer, allowed: frozenset[str], forbidden: tuple[int, ...], reference: HfBackend
) -> None:
    tokens = [token for token in tokenizer.controls if token not in allowed]
    encoded = reference.encode(tokens)
    for index, token in enumerate(tokens):
        if np.isin(encoded.row(index), forbidden).any():
            raise TokenizerError(
                f"tokenizer {shown(tokenizer.name)} turns the plain text {shown(token)} into a "
                "control token even when it does not know it as one, so content could forge "
                f"it. Pass --allow-control {shown(token)} if that is meant."
            )


def prefix_kind(state: dict[str, Any]) -> str:
    """Where a space is put in front of text.

    Returns:
        ``"normalizer"`` or ``"always"``: of each text between added tokens; ``"first"``: only where
        the whole text begins; ``""``: nowhere.
    """
    if any(n["type"] == "Prepend" for n in parts(state.get("normalizer"), "normalizers")):
        return "normalizer"
    for node in parts(state.get("pre_tokenizer"), "pretokenizers"):
        if node["type"] == "Metaspace" and node.get("prepend_scheme", "always") != "never":
            return str(node.get("prepend_scheme", "always"))
        if node["type"] == "ByteLevel" and node.get("add_prefix_space"):
            return "always"
    return ""


def _without_prefix(state: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer with its prefix switched off."""
    steps = parts(state.get("normalizer"), "normalizers")
    kept = [step for step in steps if step["type"] != "Prepend"]
    if len(kept) < len(steps):
        state["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    for node in parts(state.get("pre_tokenizer"), "pretokenizers"):
        if node["type"] == "Metaspace":
            node["prepend_scheme"] = "never"
        if node["type"] == "ByteLevel":
            node["add_prefix_space"] = False
    return state
