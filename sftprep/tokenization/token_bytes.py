"""How many bytes of a text each token stands for, so that tokens can be told apart by place.

In     a ``tokenizer.json`` without its control tokens; texts and their ids.
Out    ``TokenBytes``: plain data, stored with everything else that is known about a tokenizer.
       ``ByteCounter.starts``: for texts, where in the text the tokens start.
Never  guesses. For a text whose tokens do not add up to its bytes, and for every text of a
       tokenizer that may change, remove or add characters, it says that it does not know. The
       caller then asks the encoder for the places of that text's tokens.

Two families of tokenizers keep every byte of a text. Byte-level BPE writes each byte as a character
of its alphabet. SentencePiece-style BPE writes each space as ``▁`` and may add one in front of the
text; an unknown character is one token a byte. A Unicode normal form keeps the bytes of all texts
that are already in that form, and all ASCII texts are.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Ids, Mask, Offsets
from sftprep.data.runs import Places
from sftprep.tokenization.byte_level import BYTE_OF
from sftprep.tokenization.tokenizer_json import (
    SPACE,
    State,
    merges,
    normalizer_steps,
    only_rewrites_spaces,
    pre_tokenizer_steps,
)

UNKNOWN = 1 << 28
"""The bytes of a token of which the bytes are not known: more than any text has."""
FORMS = frozenset({"NFC", "NFD", "NFKC", "NFKD"})
SPLITS = frozenset({"Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"})
"""The ways to split a text that keep all of it."""
BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class TokenBytes:
    """How many bytes each token of a tokenizer stands for.

    Attributes:
        lengths: int32, as bytes: by id, the number of bytes; ``UNKNOWN`` if it is not known. Empty
            if the tokenizer may change, remove or add characters.
        forms: the Unicode normal forms that texts are brought into, in order.
        adds_space: whether a space may be added in front of a text.
    """

    lengths: bytes = b""
    forms: tuple[str, ...] = ()
    adds_space: bool = False


NOT_KNOWN = TokenBytes()


def token_bytes(state: State, size: int) -> TokenBytes:
    """Return how many bytes each token of a tokenizer stands for.

    Args:
        state: a ``tokenizer.json`` without its control tokens.
        size: one more than the largest id.
    """
    steps, model = pre_tokenizer_steps(state), state["model"]
    changes = ("continuing_subword_prefix", "end_of_word_suffix")
    if model["type"] != "BPE" or any(model.get(key) for key in changes):
        return NOT_KNOWN
    if any(token["lstrip"] or token["rstrip"] for token in state["added_tokens"]):
        return NOT_KNOWN
    if any(step["type"] == "ByteLevel" for step in steps):
        return _of_byte_level(state, steps, size)
    return _of_sentencepiece(state, steps, size)


def _of_byte_level(state: State, steps: Sequence[State], size: int) -> TokenBytes:
    forms = tuple(step["type"] for step in normalizer_steps(state))
    adds_space = any(
        step.get("add_prefix_space", True) for step in steps if step["type"] == "ByteLevel"
    )
    keeps_all = all(
        step["type"] in ("ByteLevel", "Digits")
        or (step["type"] == "Split" and step["behavior"] in SPLITS)
        for step in steps
    )
    # With several steps, or added tokens, a space may be added in front of each part of a text.
    several = len(steps) > 1 or bool(state["added_tokens"])
    if not keeps_all or not FORMS.issuperset(forms) or (adds_space and several):
        return NOT_KNOWN
    if not state["model"]["vocab"].keys() >= BYTE_OF.keys():
        return NOT_KNOWN
    lengths = np.full(size, UNKNOWN, np.int32)
    for token, number in state["model"]["vocab"].items():
        if BYTE_OF.keys() >= set(token):
            lengths[number] = len(token)
    return _with_added(state, lengths, forms, adds_space=adds_space)


def _of_sentencepiece(state: State, steps: Sequence[State], size: int) -> TokenBytes:
    normalizers = normalizer_steps(state)
    written = {step["content"] for step in normalizers if step["type"] == "Replace"}
    written |= {step["prepend"] for step in normalizers if step["type"] == "Prepend"}
    written |= {step.get("replacement") for step in steps}
    schemes = {step.get("prepend_scheme", "always") for step in steps}
    adds_space = bool(schemes - {"never"})
    adds_space |= any(step["type"] == "Prepend" for step in normalizers)
    if not all(step["type"] == "Metaspace" for step in steps) or written != {SPACE}:
        return NOT_KNOWN
    if not all(map(only_rewrites_spaces, normalizers)) or (adds_space and state["added_tokens"]):
        return NOT_KNOWN
    vocabulary = state["model"]["vocab"]
    if any(BYTE.search(left + right) for left, right in merges(state)):
        return NOT_KNOWN
    lengths = np.full(size, UNKNOWN, np.int32)
    is_byte = state["model"].get("byte_fallback")
    for token, number in vocabulary.items():
        if is_byte and BYTE.fullmatch(token):
            lengths[number] = 1
        elif token != state["model"].get("unk_token"):
            lengths[number] = len(token.replace(SPACE, " ").encode())
    return _with_added(state, lengths, (), adds_space=adds_space)


def _with_added(
    state: State, lengths: npt.NDArray[np.int32], forms: tuple[str, ...], *, adds_space: bool
) -> TokenBytes:
    """Return the result, with the added tokens that were not removed: they stand for themselves."""
    for token in state["added_tokens"]:
        lengths[token["id"]] = len(token["content"].encode())
    return TokenBytes(lengths.tobytes(), forms, adds_space)


class ByteCounter:
    """Finds out where tokens start, from the number of bytes that each of them stands for.

    Args:
        known: what is known about the tokenizer.
    """

    def __init__(self, known: TokenBytes) -> None:
        self._lengths = np.frombuffer(known.lengths, np.int32)
        self._forms = [cast(Literal["NFC", "NFD", "NFKC", "NFKD"], form) for form in known.forms]
        self._adds_space = known.adds_space

    def starts(self, places: Places, ids: Ids) -> tuple[Offsets, Offsets, Mask]:
        """Return where tokens start.

        Args:
            places: the texts, and where their ids are.
            ids: all ids.

        Returns:
            int64[ids + 1]: how many bytes the ids before each one stand for; int64[texts]: the
            place of each text's first byte on the same scale; bool[texts]: whether this is known.
        """
        count = len(places.sizes)
        before = np.zeros(len(ids) + 1, np.int64)
        if not len(self._lengths):
            return before, np.zeros(count, np.int64), np.zeros(count, np.bool_)
        np.cumsum(self._lengths.take(ids, mode="clip"), out=before[1:])
        added = before[places.last] - before[places.first] - places.sizes
        known = added == 0
        if self._adds_space:
            known |= (added == 1) & ~places.runs.continued[places.first_run]
        if self._forms:
            texts = map(places.text, range(count))
            known &= np.fromiter(map(self._is_normal, texts), np.bool_, count)
        return before, before[places.first] + added, known

    def _is_normal(self, text: str) -> bool:
        return text.isascii() or all(unicodedata.is_normalized(form, text) for form in self._forms)


def place_in_characters(text: str, size: int) -> int:
    """Return how many characters the first bytes of a text are.

    >>> place_in_characters("éa", 2)
    1
    """
    return len(text.encode()[:size].decode())
