"""The two encoders behind one interface: a list of texts -> a row of ids for each.

In     a ``tokenizer.json`` as it is to be used, and texts.
Out    ``Ragged``: int32 ids, a row a text.
Never  adds a special token, truncates or pads.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from types import FrameType
from typing import Protocol

import numpy as np

from sftprep.data.ragged import Ids, Offsets, Ragged, ends_to_offsets

FEW = 1000
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Handlers of signals wait: one that raises while Rust calls Python would be a panic."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def preload() -> None:
    """Load what the fast encoder needs: its first batch takes a quarter second less."""
    import awkward  # noqa: F401 - what it answers with
    import gigatoken  # noqa: F401


class GigatokenBackend:
    """gigatoken: the same ids, much faster, for BPE tokenizers."""

    def __init__(self, tokenizer_json: str) -> None:
        import gigatoken

        with _undisturbed():
            # An error of any kind means the same: it cannot read this tokenizer.
            self._tokenizer = gigatoken.Tokenizer.from_json(tokenizer_json)

    def encode(self, texts: list[str]) -> Ragged:
        """A row of ids for each text."""
        with _undisturbed():
            return self._encode(texts)

    def _encode(self, texts: list[str]) -> Ragged:
        if len(texts) < FEW:
            # A list of arrays; a batch comes as an awkward array, which costs a quarter second to
            # import.
            return Ragged.of_arrays([self._tokenizer.encode(text).view(np.int32) for text in texts])
        # One thread: workers run side by side, and its thread pool does not survive a fork.
        layout = self._tokenizer.encode_batch(texts, parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data).view(np.int32)[offsets[0] : offsets[-1]]
        return Ragged(values, offsets - offsets[0])
