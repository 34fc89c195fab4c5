"""Texts -> ids: two backends, one result.

In     a list of texts, and which of them continue another text.
Out    ``Ragged``: int32 ids, a row a text.
Keeps  exactly what HF tokenizers give for the resolved tokenizer without its control tokens, as
       ``encoding`` proved. A text with a code point that the two backends read by different Unicode
       tables goes to HF.
Never  adds a special token, truncates, pads, or lets a text become a control token.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import compress, pairwise

import numpy as np

from sftprep.data.control_tokens import AddedToken
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged
from sftprep.system.memory import give_back, resident
from sftprep.tokenization.backends import GigatokenBackend, HfBackend
from sftprep.tokenization.boundary.breaks import cuts_of
from sftprep.tokenization.proof import Encoding, Variant, prove
from sftprep.tokenization.tokenizer import Tokenizer
from sftprep.tokenization.unicode_differences import divergent_table

CACHE_BYTES = 192 << 20
"""How much a process may grow before the fast backend, which remembers words, is made anew."""
SETTLING = 6
"""Blocks after which it holds all else that it will need."""


class _Guarded:
    """One variant of the tokenizer: the fast backend where it is safe, else HF."""

    def __init__(self, variant: Variant, *, normalizes: bool) -> None:
        self._json = variant.json
        self._table = divergent_table(normalizes)
        self._fast = GigatokenBackend(variant.json) if variant.is_fast else None

    @cached_property
    def reference(self) -> HfBackend:
        return HfBackend(self._json)

    def forget(self) -> None:
        """Make the fast backend anew: its words are gone, its ids are the same."""
        if self._fast is not None:
            self._fast = None  # gone before the new one is made
            self._fast = GigatokenBackend(self._json)

    def encode(self, texts: list[str]) -> Ragged:
        if self._fast is None:
            return self.reference.encode(texts)
        doubtful = self._doubtful(texts)
        if not doubtful:
            return self._fast.encode(texts)
        skipped = set(doubtful)
        fast = self._fast.encode([t for i, t in enumerate(texts) if i not in skipped])
        slow = self.reference.encode([texts[i] for i in doubtful])
        is_slow = np.zeros(len(texts), np.bool_)
        is_slow[doubtful] = True
        return _interleave(fast, slow, is_slow)

    def _doubtful(self, texts: Sequence[str]) -> list[int]:
        """Which texts hold a divergent code point: first all at once, since most hold none."""
        plain = list(map(str.isascii, texts))
        if all(plain):
            return []
        beyond = [i for i, is_plain in enumerate(plain) if not is_plain]
        if not self._diverges("".join([texts[i] for i in beyond])):
            return []
        return [i for i in beyond if self._diverges(texts[i])]

    def _diverges(self, text: str) -> bool:
        """Whether a text holds a divergent code point."""
        return bool(self._table.take(np.frombuffer(text.encode("utf-32-le"), np.uint32)).any())


def _longest_gap(ids: Sequence[int], size: int) -> tuple[int, int]:
    """The longest stretch of ids below ``size`` with none of these: its first, and behind its last.

    >>> _longest_gap([0, 1, 7], 9)
    (2, 7)
    """
    ends = [-1, *sorted(ids), size]
    return max(((low + 1, high) for low, high in pairwise(ends)), key=lambda gap: gap[1] - gap[0])


def _interleave(first: Ragged, second: Ragged, is_second: Mask) -> Ragged:
    """Rows of two arrays in one: where ``is_second``, the next row of ``second``."""
    order = np.empty(len(is_second), np.intp)
    order[~is_second] = np.arange(len(first.lengths))
    order[is_second] = len(first.lengths) + np.arange(len(second.lengths))
    return Ragged.concatenate([first, second]).take(order)


class Encoder:
    """Encodes content and the template's text between control tokens.

    Args:
        tokenizer: the resolved tokenizer.
        allowed: control tokens that text may become.
        backend: one of the values of ``--backend``.
        encoding: what ``prove`` found for these three; found now, unless given.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        allowed: Iterable[str] = (),
        backend: str = "auto",
        encoding: Encoding | None = None,
    ) -> None:
        encoding = encoding or prove(tokenizer, allowed, backend)
        self._encoding = encoding
        self.prefix = encoding.prefix
        self.cuts = cuts_of(encoding.locality, encoding.crossings)
        self.why_not_fast = encoding.first.why_not
        self._forbidden = np.zeros(encoding.size, np.bool_)  # ids that text must never become
        self._forbidden[list(encoding.forbidden)] = True
        self._safe = _longest_gap(encoding.forbidden, encoding.size)
        self._first = _Guarded(encoding.first, normalizes=encoding.normalizes)
        self._settling = SETTLING
        self._room = 0

    @cached_property
    def _continuing(self) -> _Guarded:
        variant = self._encoding.continuing
        if variant is None:
            return self._first
        return _Guarded(variant, normalizes=self._encoding.normalizes)

    def trim(self) -> None:
        """Keep memory bounded; to be called between blocks."""
        if self._settling:  # other stages and the writer take their memory too, once
            self._settling -= 1
            self._room = resident() + CACHE_BYTES
        elif resident() > self._room:
            self._first.forget()
            if self._encoding.continuing is not None:
                self._continuing.forget()
            give_back()
            self._room = resident() + CACHE_BYTES

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Ids of one text by HF, and int64[tokens, 2]: the characters each token covers."""
        return (self._continuing if continued else self._first).reference.spans(text)

    def encode(self, texts: list[str], continued: Mask | None = None) -> Ragged:
        """A row of ids for each text; ``continued`` says which of them continue another."""
        if not self.prefix or continued is None or not continued.any():
            return self._first.encode(texts)
        fresh = list(compress(texts, ~continued))
        rest = list(compress(texts, continued))
        return _interleave(self._first.encode(fresh), self._continuing.encode(rest), continued)

    def forbidden_in(self, ids: Ids) -> Offsets:
        """Where ids are those of control tokens, which text must never become."""
        low, high = self._safe
        if not len(ids) or (ids.min() >= low and ids.max() < high):
            return np.zeros(0, np.int64)
        return np.flatnonzero(self._forbidden[ids])

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._first.encode([text]).values)

    def prefixes_after(self, token: AddedToken) -> bool:
        """Whether HF puts a space in front of a text that follows this added token."""
        if self.prefix == "normalizer":
            return not token.normalized
        return self.prefix == "always"
