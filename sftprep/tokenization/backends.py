"""The two libraries that encode texts, with one interface.

In     the ``tokenizer.json`` to encode with, and a list of texts.
Out    ``Ragged``: int32 ids, one row per text.
Never  adds a special token, truncates or pads.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from types import FrameType
from typing import Any, Protocol

import numpy as np

from sftprep.data.ragged import Ids, Offsets, Ragged, lengths_to_offsets

BATCH_FROM = 1000
"""gigatoken encodes this many texts or more as one batch."""
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Backend(Protocol):
    """Encodes texts without special tokens."""

    def encode(self, texts: list[str]) -> Ragged:
        """Return one row of ids per text."""
        ...


class HfBackend:
    """HF tokenizers: the reference.

    Args:
        tokenizer_json: the text of a ``tokenizer.json``.
    """

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer as HfTokenizer

        self._tokenizer = HfTokenizer.from_str(tokenizer_json)

    def encode(self, texts: list[str]) -> Ragged:
        """Return one row of ids per text."""
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        rows = [one.ids for one in encoded]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return Ragged(values, lengths_to_offsets(lengths))

    def spans(self, text: str) -> tuple[Ids, Offsets]:
        """Return the ids of a text, and int64[tokens, 2]: the characters that each token covers."""
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        spans = np.array(encoded.offsets, np.int64).reshape(-1, 2)
        return np.array(encoded.ids, np.int32), spans


@cache
def is_word_character(character: str) -> bool:
    """Return whether HF takes a character for part of a word.

    It does so for letters, combining marks, digits, joiners and some symbols, by the Unicode tables
    that it was built with. So it is asked: next to such a character, it does not recognize a token
    that must be a word of its own.
    """
    return not _word_probe().encode(f"{character}a").ids


@cache
def _word_probe() -> Any:
    """Return a tokenizer that knows nothing but one ``single_word`` token, the letter a."""
    from tokenizers import AddedToken, models
    from tokenizers import Tokenizer as HfTokenizer

    probe = HfTokenizer(models.BPE())
    probe.add_tokens([AddedToken("a", single_word=True, normalized=False)])
    return probe


def preload() -> None:
    """Import what gigatoken needs, which shortens its first batch by a quarter of a second."""
    import awkward  # noqa: F401 - gigatoken returns its batches as awkward arrays
    import gigatoken  # noqa: F401


class GigatokenBackend:
    """gigatoken: the same ids for BPE tokenizers, much faster.

    Args:
        tokenizer_json: the text of a ``tokenizer.json``.

    Raises:
        Exception: of any class, if gigatoken cannot read this tokenizer.
    """

    def __init__(self, tokenizer_json: str) -> None:
        import gigatoken

        with signals_deferred():
            self._tokenizer = gigatoken.Tokenizer.from_json(tokenizer_json)

    def encode(self, texts: list[str]) -> Ragged:
        """Return one row of ids per text."""
        with signals_deferred():
            return self._encode(texts)

    def _encode(self, texts: list[str]) -> Ragged:
        if len(texts) < BATCH_FROM:
            # Text by text, gigatoken returns plain arrays. A batch is an awkward array, and
            # importing that library takes a quarter of a second.
            return Ragged.of_arrays([self._tokenizer.encode(text).view(np.int32) for text in texts])
        # One thread: worker processes run side by side, and gigatoken's threads do not survive a
        # fork.
        layout = self._tokenizer.encode_batch(texts, parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data).view(np.int32)[offsets[0] : offsets[-1]]
        return Ragged(values, offsets - offsets[0])


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Delay signal handlers until this context ends.

    A handler that raises an exception while Rust calls Python would make Rust panic.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread only
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
        for late in received:
            signal.raise_signal(late)
