"""Encode the texts of a block with one of two backends, which give the same ids.

In     the texts of a block, and which of them continue another text.
Out    ``Ragged``: int32 ids, one row per text.
Keeps  the ids that HF tokenizers gives for the resolved tokenizer without its control tokens, as
       ``proof`` has established. A text with a character for which the two backends use different
       Unicode tables goes to HF.
Never  adds a special token, truncates, pads, or turns a text into a control token.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import compress, pairwise

import numpy as np

from sftprep.data.control_tokens import AddedToken
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged, lengths_to_offsets
from sftprep.data.runs import EncodedRuns, Places, TextRuns
from sftprep.system.memory import give_back, resident
from sftprep.tokenization.backends import (
    BATCH_FROM,
    GigatokenBackend,
    HfBackend,
    is_word_character,
)
from sftprep.tokenization.boundary.breaks import breaks_of
from sftprep.tokenization.boundary.chains import join_chains, unclean_chains
from sftprep.tokenization.proof import ContentEncoding, Variant, prove_content_encoding
from sftprep.tokenization.token_bytes import ByteCounter, place_in_characters
from sftprep.tokenization.tokenizer import Tokenizer
from sftprep.tokenization.unicode_differences import divergent_table

CACHE_BYTES = 192 << 20
"""How much a process may grow before gigatoken's cache of words is dropped."""
SETTLING_BLOCKS = 6
"""How many blocks it takes until the other stages and the writer have allocated their memory."""


class Encoder:
    """Encodes content and the template text between control tokens.

    Args:
        tokenizer: the resolved tokenizer.
        allowed: control tokens that the text of a record may become.
        backend: ``auto``, ``gigatoken`` or ``hf``.
        encoding: what ``prove_content_encoding`` returned for these three arguments; None to
            call it now.
        cache_bytes: how much the process may grow before gigatoken's cache of words is dropped.
        resident: returns the bytes of memory that the process holds.
        give_back: returns freed memory to the system.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        allowed: Iterable[str] = (),
        backend: str = "auto",
        encoding: ContentEncoding | None = None,
        cache_bytes: int = CACHE_BYTES,
        resident: Callable[[], int] = resident,
        give_back: Callable[[], None] = give_back,
    ) -> None:
        encoding = encoding or prove_content_encoding(tokenizer, allowed, backend)
        self._encoding = encoding
        self._breaks = breaks_of(encoding.breaks)
        self._is_forbidden = np.zeros(encoding.size, np.bool_)
        self._is_forbidden[list(encoding.forbidden)] = True
        self._free_range = _longest_gap(encoding.forbidden, encoding.size)
        self._counter = ByteCounter(encoding.token_bytes)
        self._starting = _VariantEncoder(encoding.starting, normalizes=encoding.normalizes)
        self._cache_bytes = cache_bytes
        self._resident = resident
        self._give_back = give_back
        self._blocks_to_settle = SETTLING_BLOCKS
        self._memory_limit = 0

    @cached_property
    def _continuing(self) -> "_VariantEncoder":
        variant = self._encoding.continuing
        if variant is None:
            return self._starting
        return _VariantEncoder(variant, normalizes=self._encoding.normalizes)

    def warm_up(self) -> None:
        """Load the libraries and tables that the backend would otherwise load later."""
        self.encode([""] * BATCH_FROM)

    def limit_memory(self) -> None:
        """Drop gigatoken's cache of words if the process has grown too much; call between blocks.

        The first blocks only set the limit: the other stages and the writer allocate their memory
        during them, and keep it.
        """
        if self._blocks_to_settle:
            self._blocks_to_settle -= 1
            self._memory_limit = self._resident() + self._cache_bytes
        elif self._resident() > self._memory_limit:
            self._starting.drop_cache()
            if self._encoding.continuing is not None:
                self._continuing.drop_cache()
            self._give_back()
            self._memory_limit = self._resident() + self._cache_bytes

    def encode_runs(self, runs: TextRuns, *, joint: bool) -> EncodedRuns:
        """Encode the runs of a block, and find the chains that are unclean.

        Args:
            runs: the runs.
            joint: whether an unclean chain is encoded as one text.
        """
        ids = self.encode(runs.texts, runs.continued)
        unclean = unclean_chains(self, runs, ids, self._breaks)
        if joint and unclean.any():
            ids = join_chains(self, runs, ids, unclean)
        return EncodedRuns(ids, unclean)

    def encode(self, texts: list[str], continued: Mask | None = None) -> Ragged:
        """Encode texts, one row of ids per text.

        Args:
            texts: the texts.
            continued: bool[texts], which of them continue another text; None if none does.
        """
        if not self._encoding.prefix or continued is None or not continued.any():
            return self._starting.encode(texts)
        starting = list(compress(texts, ~continued))
        rest = list(compress(texts, continued))
        return _interleave(
            self._starting.encode(starting), self._continuing.encode(rest), continued
        )

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Encode one text with HF; return its ids and the characters that each token covers.

        Returns:
            int32[tokens] and int64[tokens, 2].
        """
        return (self._continuing if continued else self._starting).reference.spans(text)

    def ids_before(self, places: Places, ids: Ids) -> Offsets:
        """Return int64[places]: the position in ``ids`` of the first token behind each place.

        A token is behind a place if its first byte is. HF is asked where the tokens of a text are
        if their bytes do not tell.
        """
        before, starts, known = self._counter.starts(places, ids)
        first, last = (np.repeat(c, places.counts) for c in (places.first, places.last))
        found = np.searchsorted(before[:-1], np.repeat(starts, places.counts) + places.at)
        offsets = lengths_to_offsets(places.counts)
        for index in np.flatnonzero(~known).tolist():
            text, own = places.text(index), slice(int(offsets[index]), int(offsets[index + 1]))
            _, spans = self.spans(text, bool(places.runs.continued[places.first_run[index]]))
            at = [place_in_characters(text, place) for place in places.at[own].tolist()]
            starts_of_tokens = np.maximum.accumulate(spans[:, 0])
            found[own] = places.first[index] + np.searchsorted(starts_of_tokens, at)
        # In front of the first byte there may be a token for the space that the tokenizer adds.
        return np.where(places.at == 0, first, np.clip(found, first, last))

    def forbidden_in(self, ids: Ids) -> Offsets:
        """Return the positions of the ids that text must never become: those of control tokens."""
        low, high = self._free_range
        if not len(ids) or (ids.min() >= low and ids.max() < high):
            return np.zeros(0, np.int64)
        return np.flatnonzero(self._is_forbidden[ids])

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text that does not continue another."""
        return len(self._starting.encode([text]).values)

    def is_word(self, character: str) -> bool:
        """Return whether a ``single_word`` token next to this character is plain text."""
        return is_word_character(character)

    def adds_space_after(self, token: AddedToken) -> bool:
        """Return whether HF puts a space in front of a text that follows this added token."""
        if self._encoding.prefix == "normalizer":
            return not token.normalized
        return self._encoding.prefix == "always"


class _VariantEncoder:
    """Encodes with one variant of the tokenizer: with gigatoken if that is safe, else with HF."""

    def __init__(self, variant: Variant, *, normalizes: bool) -> None:
        self._json = variant.json
        self._table = divergent_table(normalizes)
        self._fast = GigatokenBackend(variant.json) if variant.is_fast else None

    @cached_property
    def reference(self) -> HfBackend:
        return HfBackend(self._json)

    def drop_cache(self) -> None:
        """Build gigatoken's tokenizer again, which empties its cache of words and changes no id."""
        if self._fast is not None:
            self._fast = None  # frees the old tokenizer before the new one is built
            self._fast = GigatokenBackend(self._json)

    def encode(self, texts: list[str]) -> Ragged:
        if self._fast is None:
            return self.reference.encode(texts)
        divergent = self._divergent(texts)
        if not divergent:
            return self._fast.encode(texts)
        is_divergent = np.zeros(len(texts), np.bool_)
        is_divergent[divergent] = True
        fast = self._fast.encode(list(compress(texts, ~is_divergent)))
        exact = self.reference.encode([texts[i] for i in divergent])
        return _interleave(fast, exact, is_divergent)

    def _divergent(self, texts: Sequence[str]) -> list[int]:
        """Return the indices of the texts that hold a character the two backends treat differently.

        All texts are searched together first, since most blocks hold no such character.
        """
        is_ascii = list(map(str.isascii, texts))
        if all(is_ascii):
            return []
        others = [i for i, plain in enumerate(is_ascii) if not plain]
        if not self._holds_divergent("".join([texts[i] for i in others])):
            return []
        return [i for i in others if self._holds_divergent(texts[i])]

    def _holds_divergent(self, text: str) -> bool:
        return bool(self._table.take(np.frombuffer(text.encode("utf-32-le"), np.uint32)).any())


def _longest_gap(ids: Sequence[int], size: int) -> tuple[int, int]:
    """Return the longest range of ids below ``size`` that holds none of ``ids``: (start, stop).

    >>> _longest_gap([0, 1, 7], 9)
    (2, 7)
    """
    ends = [-1, *sorted(ids), size]
    return max(((low + 1, high) for low, high in pairwise(ends)), key=lambda gap: gap[1] - gap[0])


def _interleave(first: Ragged, second: Ragged, is_second: Mask) -> Ragged:
    """Merge the rows of two arrays: if ``is_second[i]``, row i is the next row of ``second``."""
    order = np.empty(len(is_second), np.intp)
    order[~is_second] = np.arange(len(first.lengths))
    order[is_second] = len(first.lengths) + np.arange(len(second.lengths))
    return Ragged.concatenate([first, second]).take(order)
