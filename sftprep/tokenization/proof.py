"""Find out how content can be encoded safely with a tokenizer, and prove it.

In     a loaded tokenizer, the control tokens that content may become, and the requested backend.
Out    ``ContentEncoding``: plain data, stored between runs and sent to worker processes. Computing
       it takes a few times as long as loading the tokenizer; using it costs no time.
Keeps  the ids that HF tokenizers gives for the resolved tokenizer without its control tokens. The
       fast backend, gigatoken, is used only if ``gigatoken_support`` lists this kind of tokenizer,
       and if gigatoken encodes a small corpus as HF does.
Raises TokenizerError: the tokenizer turns plain text into a control token, or ``gigatoken`` was
       requested and cannot encode exactly with this tokenizer.

SentencePiece-style tokenizers put a space in front of a text. A text that *continues* another text
must not get one, so it is encoded with a variant of the tokenizer that adds no space.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sftprep.errors import TokenizerError
from sftprep.text import shown
from sftprep.tokenization.backends import GigatokenBackend, HfBackend
from sftprep.tokenization.boundary.known_breaks import KnownBreaks, known_breaks
from sftprep.tokenization.gigatoken_support import why_not_exact
from sftprep.tokenization.token_bytes import NOT_KNOWN, TokenBytes, token_bytes
from sftprep.tokenization.tokenizer import Tokenizer
from sftprep.tokenization.tokenizer_json import State, normalizer_steps, pre_tokenizer_steps

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
"""Texts that gigatoken must encode as HF does before it is used with a tokenizer."""


@dataclass(frozen=True)
class Variant:
    """A tokenizer without control tokens, and whether gigatoken encodes with it exactly."""

    json: str
    is_fast: bool
    why_not_fast: str = ""  # why gigatoken is not used; "" if it is, or if ``hf`` was requested


@dataclass(frozen=True)
class ContentEncoding:
    """How content is encoded with a tokenizer."""

    starting: Variant  # for a text that does not continue another
    continuing: Variant | None  # for a text that does; None to use ``starting``
    prefix: str  # where the tokenizer puts a space in front of text: see ``prefix_kind``
    normalizes: bool
    breaks: KnownBreaks
    forbidden: tuple[int, ...]  # the ids of control tokens, which text must never become
    size: int  # one more than the largest id
    token_bytes: TokenBytes = NOT_KNOWN

    @property
    def is_fast(self) -> bool:
        """Whether gigatoken is used."""
        return self.starting.is_fast

    @property
    def why_not_fast(self) -> str:
        """Why gigatoken is not used; "" if it is, or if ``hf`` was requested."""
        return self.starting.why_not_fast


def prove_content_encoding(
    tokenizer: Tokenizer, allowed: Iterable[str] = (), backend: str = "auto"
) -> ContentEncoding:
    """Find out how content can be encoded safely with a tokenizer, and prove it.

    Args:
        tokenizer: the resolved tokenizer.
        allowed: control tokens that the text of a record may become.
        backend: ``auto``, ``gigatoken`` or ``hf``.

    Raises:
        TokenizerError: the tokenizer cannot be used, or not with this backend.
    """
    allowed = frozenset(allowed)
    stripped = tokenizer.stripped_json(allowed)
    reference = HfBackend(stripped)
    forbidden = tuple(t.id for t in tokenizer.controls.values() if t.content not in allowed)
    starting = _variant(stripped, backend, reference)
    _check_ids_of_kept(tokenizer, allowed, reference)
    _check_leaks(tokenizer, allowed, forbidden, reference)
    if backend == "gigatoken" and starting.why_not_fast:
        raise TokenizerError(
            f"--backend gigatoken cannot be used with this tokenizer: {starting.why_not_fast}. "
            "Pass --backend auto."
        )
    state = json.loads(stripped)
    prefix = prefix_kind(state)
    continuing = None
    if prefix:
        other = json.dumps(_without_prefix(json.loads(stripped)))
        continuing = _variant(other, backend, HfBackend(other))
    return ContentEncoding(
        starting=starting,
        continuing=continuing,
        prefix=prefix,
        normalizes=bool(normalizer_steps(state)),
        breaks=KnownBreaks() if why_not_exact(state) else known_breaks(state),
        forbidden=forbidden,
        size=tokenizer.size,
        token_bytes=token_bytes(state, tokenizer.size),
    )


def _variant(tokenizer_json: str, backend: str, reference: HfBackend) -> Variant:
    if backend == "hf":
        return Variant(tokenizer_json, is_fast=False)
    state = json.loads(tokenizer_json)
    why_not = why_not_exact(state) or _why_not_fast(tokenizer_json, state, reference)
    return Variant(tokenizer_json, is_fast=not why_not, why_not_fast=why_not)


def _why_not_fast(tokenizer_json: str, state: State, reference: HfBackend) -> str:
    """Try gigatoken on a small corpus; return why it cannot be used, or "" if it can."""
    try:
        fast = GigatokenBackend(tokenizer_json)
    except Exception as error:
        return f"gigatoken cannot read the tokenizer: {' '.join(str(error).split())[:200]}"
    added = [token["content"] for token in state["added_tokens"]]
    texts = [*SELF_CHECK, *added, *(f"a{token}b" for token in added)]
    ours, theirs = fast.encode(texts), reference.encode(texts)
    for index, text in enumerate(texts):
        if ours.row(index).tolist() != theirs.row(index).tolist():
            return f"gigatoken encodes {shown(text)} differently"
    return ""


def _check_ids_of_kept(tokenizer: Tokenizer, allowed: frozenset[str], reference: HfBackend) -> None:
    """Check that the added tokens that were not removed still have their ids."""
    kept = [t for t in tokenizer.added if t.content in allowed or not t.content.strip()]
    encoded = reference.encode([t.content for t in kept])
    for index, token in enumerate(kept):
        if token.id not in encoded.row(index):
            raise TokenizerError(
                f"tokenizer {shown(tokenizer.name)} does not give the token "
                f"{shown(token.content)} its id {token.id} once other tokens are removed. "
                "Use a tokenizer whose model has that token in its vocabulary."
            )


def _check_leaks(
    tokenizer: Tokenizer, allowed: frozenset[str], forbidden: tuple[int, ...], reference: HfBackend
) -> None:
    """Check that the text of a control token does not become a control token."""
    tokens = [token for token in tokenizer.controls if token not in allowed]
    encoded = reference.encode(tokens)
    for index, token in enumerate(tokens):
        if np.isin(encoded.row(index), forbidden).any():
            raise TokenizerError(
                f"tokenizer {shown(tokenizer.name)} turns the plain text {shown(token)} into a "
                "control token even after it was removed from the added tokens, so content could "
                f"forge it. Use another tokenizer, or pass --allow-control {shown(token)} if "
                "content may hold this token."
            )


def prefix_kind(state: State) -> str:
    """Return where a tokenizer puts a space in front of text.

    Returns:
        ``"normalizer"`` or ``"always"``: in front of each text between added tokens; ``"first"``:
        only at the start of the whole text; ``""``: nowhere.
    """
    if any(step["type"] == "Prepend" for step in normalizer_steps(state)):
        return "normalizer"
    for step in pre_tokenizer_steps(state):
        if step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never":
            return str(step.get("prepend_scheme", "always"))
        if step["type"] == "ByteLevel" and step.get("add_prefix_space"):
            return "always"
    return ""


def _without_prefix(state: State) -> State:
    """Change a tokenizer in place so that it puts no space in front of text."""
    normalizers = normalizer_steps(state)
    kept = [step for step in normalizers if step["type"] != "Prepend"]
    if len(kept) < len(normalizers):
        state["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    for step in pre_tokenizer_steps(state):
        if step["type"] == "Metaspace":
            step["prepend_scheme"] = "never"
        if step["type"] == "ByteLevel":
            step["add_prefix_space"] = False
    return state
