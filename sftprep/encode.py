"""Texts -> ids: two backends, one result.

In     a list of texts, and which of them continue another text.
Out    ``Ragged``: int32 ids, a row a text.
Keeps  exactly what HF tokenizers give for the resolved tokenizer without its control tokens. The
       fast backend (gigatoken) is used for the kinds of tokenizers that ``exactness`` lists, and
       is checked on a small corpus when it starts. A text with a code point that the two read by
       different Unicode tables goes to HF.
Never  adds a special token, truncates, pads, or lets a text become a control token.
Raises TokenizerError: the tokenizer yields a control token from plain text, or ``gigatoken`` was
       asked for and cannot do this tokenizer.

SentencePiece-style tokenizers put a space in front of a text. A text that *continues* another gets
none: it is encoded with a variant of the tokenizer that has this switched off.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sftprep.codepoints import divergent_table
from sftprep.errors import TokenizerError, shown
from sftprep.exactness import parts, why_not_exact
from sftprep.records import Ids, Offsets, Ragged, ends_to_offsets
from sftprep.tokenizer import AddedToken, Tokenizer

BACKENDS = ("auto", "gigatoken", "hf")

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


class Backend(Protocol):
    """Encodes texts without special tokens."""

    def encode(self, texts: list[str]) -> Ragged:
        """A row of ids for each text."""
        ...


class HfBackend:
    """HF tokenizers: the reference."""

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer as HfTokenizer

        self._tokenizer = HfTokenizer.from_str(tokenizer_json)

    def encode(self, texts: list[str]) -> Ragged:
        """A row of ids for each text."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        rows = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return Ragged(values, ends_to_offsets(lengths))

    def spans(self, text: str) -> tuple[Ids, Offsets]:
        """Ids of one text, and int64[tokens, 2]: the characters each token covers."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        return np.array(encoding.ids, np.int32), spans


class GigatokenBackend:
    """gigatoken: the same ids, much faster, for BPE tokenizers."""

    def __init__(self, tokenizer_json: str) -> None:
        import gigatoken

        # An error of any kind means the same: it cannot read this tokenizer.
        self._tokenizer = gigatoken.Tokenizer.from_json(tokenizer_json)

    def encode(self, texts: list[str]) -> Ragged:
        """A row of ids for each text."""
        if not texts:
            return Ragged.of([])
        # One thread: workers run side by side, and its thread pool does not survive a fork.
        layout = self._tokenizer.encode_batch(texts, parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data).view(np.int32)[offsets[0] : offsets[-1]]
        return Ragged(values, offsets - offsets[0])


class _Guarded:
    """One variant of the tokenizer: the fast backend where it is safe, else HF."""

    def __init__(self, tokenizer_json: str, backend: str) -> None:
        self._json = tokenizer_json
        self._table = divergent_table(_normalizes(tokenizer_json))
        self._fast: GigatokenBackend | None = None
        self.why_not = ""
        if backend != "hf":
            self._fast, self.why_not = _try_fast(tokenizer_json, self.reference)

    @cached_property
    def reference(self) -> HfBackend:
        return HfBackend(self._json)

    def encode(self, texts: list[str]) -> Ragged:
        if self._fast is None:
            return self.reference.encode(texts)
        doubtful = [i for i, text in enumerate(texts) if not text.isascii() and self._doubt(text)]
        if not doubtful:
            return self._fast.encode(texts)
        skipped = set(doubtful)
        fast = self._fast.encode([t for i, t in enumerate(texts) if i not in skipped])
        slow = self.reference.encode([texts[i] for i in doubtful])
        is_slow = np.zeros(len(texts), np.bool_)
        is_slow[doubtful] = True
        return _interleave(fast, slow, is_slow)

    def _doubt(self, text: str) -> bool:
        return bool(self._table[np.frombuffer(text.encode("utf-32-le"), np.uint32)].any())


def _interleave(first: Ragged, second: Ragged, is_second: npt.NDArray[np.bool_]) -> Ragged:
    """Rows of two arrays in one: where ``is_second``, the next row of ``second``."""
    order = np.empty(len(is_second), np.intp)
    order[~is_second] = np.arange(len(first.lengths))
    order[is_second] = len(first.lengths) + np.arange(len(second.lengths))
    return Ragged.concatenate([first, second]).take(order)


def _try_fast(tokenizer_json: str, reference: HfBackend) -> tuple[GigatokenBackend | None, str]:
    """The fast backend, or why it cannot be used."""
    state = json.loads(tokenizer_json)
    if reason := why_not_exact(state):
        return None, reason
    try:
        fast = GigatokenBackend(tokenizer_json)
    except Exception as error:
        return None, f"gigatoken cannot read it: {' '.join(str(error).split())[:200]}"
    added = [token["content"] for token in state["added_tokens"]]
    texts = [*SELF_CHECK, *added, *(f"a{token}b" for token in added)]
    ours, theirs = fast.encode(texts), reference.encode(texts)
    for index, text in enumerate(texts):
        if ours.row(index).tolist() != theirs.row(index).tolist():
            return None, f"gigatoken encodes {shown(text)} differently"
    return fast, ""


class Encoder:
    """Encodes content and the template's text between control tokens.

    Args:
        tokenizer: the resolved tokenizer.
        allowed: control tokens that text may become.
        backend: one of ``BACKENDS``.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, allowed: Iterable[str] = (), backend: str = "auto"
    ) -> None:
        allowed = frozenset(allowed)
        stripped = tokenizer.stripped_json(allowed)
        self._stripped = stripped
        self._backend = backend
        self._first = _Guarded(stripped, backend)
        self.prefix = _prefix_kind(json.loads(stripped))
        self.forbidden = np.zeros(tokenizer.size, np.bool_)  # ids that text must never become
        for token in tokenizer.controls.values():
            self.forbidden[token.id] = token.content not in allowed
        self._check_kept(tokenizer, allowed)
        self._refuse_leaks(tokenizer, allowed)
        if backend == "gigatoken" and self._first.why_not:
            raise TokenizerError(
                f"--backend gigatoken cannot be used with this tokenizer: {self._first.why_not}. "
                "Pass --backend auto."
            )

    @property
    def why_not_fast(self) -> str:
        """Why the fast backend is not used; "" where it is, or was not asked for."""
        return self._first.why_not

    @cached_property
    def _continuing(self) -> _Guarded:
        return _Guarded(json.dumps(_without_prefix(json.loads(self._stripped))), self._backend)

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Ids of one text by HF, and int64[tokens, 2]: the characters each token covers."""
        variant = self._continuing if continued and self.prefix else self._first
        return variant.reference.spans(text)

    def encode(self, texts: list[str], continued: Sequence[bool] | None = None) -> Ragged:
        """A row of ids for each text; ``continued`` says which of them continue another."""
        if not self.prefix or continued is None or not any(continued):
            return self._first.encode(texts)
        later = np.array(continued, np.bool_)
        fresh = [text for text, c in zip(texts, continued, strict=True) if not c]
        rest = [text for text, c in zip(texts, continued, strict=True) if c]
        return _interleave(self._first.encode(fresh), self._continuing.encode(rest), later)

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._first.encode([text]).values)

    def prefixes_after(self, token: AddedToken) -> bool:
        """Whether HF puts a space in front of a text that follows this added token."""
        if self.prefix == "normalizer":
            return not token.normalized
        return self.prefix == "always"

    def _check_kept(self, tokenizer: Tokenizer, allowed: frozenset[str]) -> None:
        """Added tokens that stay must still have their ids."""
        kept = [t for t in tokenizer.added if t.content in allowed or not t.content.strip()]
        encoded = self._first.reference.encode([t.content for t in kept])
        for index, token in enumerate(kept):
            if token.id not in encoded.row(index):
                raise TokenizerError(
                    f"tokenizer {shown(tokenizer.name)} does not give the token "
                    f"{shown(token.content)} its id {token.id} when other tokens are taken out. "
                    "Use a tokenizer whose model knows that token."
                )

    def _refuse_leaks(self, tokenizer: Tokenizer, allowed: frozenset[str]) -> None:
        tokens = [token for token in tokenizer.controls if token not in allowed]
        encoded = self._first.reference.encode(tokens)
        for index, token in enumerate(tokens):
            if self.forbidden[encoded.row(index)].any():
                raise TokenizerError(
                    f"tokenizer {shown(tokenizer.name)} turns the plain text {shown(token)} into a "
                    "control token even when it does not know it as one, so content could forge "
                    f"it. Pass --allow-control {shown(token)} if that is meant."
                )


def _normalizes(tokenizer_json: str) -> bool:
    return bool(parts(json.loads(tokenizer_json).get("normalizer"), "normalizers"))


def _prefix_kind(state: dict[str, Any]) -> str:
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
