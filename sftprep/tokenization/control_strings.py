"""Count the records whose content holds a control token's text.

In     contents of a block.
Out    which records hold which control strings.
Never  changes a text: content is encoded without control tokens, so a string is only text. But who
       wrote ``<|im_end|>`` into a prompt may have meant the token, and should be told.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from operator import not_

import numpy as np

START = 4
"""Bytes by which strings are told apart: there may be a thousand, and data is full of ``<``."""


class ControlStrings:
    """Looks for control strings, a block at a time and all at once: most blocks hold none."""

    def __init__(self, strings: Iterable[str]) -> None:
        self._short: list[str] = []
        self._by_start: dict[int, list[str]] = {}
        for string in sorted(strings):
            start = string.encode()[:START]
            if len(start) < START:
                self._short.append(string)
            else:
                self._by_start.setdefault(int.from_bytes(start, "little"), []).append(string)
        self._starts = np.array(sorted(self._by_start), np.uint32)
        self._firsts = sorted({int(start) & 0xFF for start in self._starts})

    def find(self, records: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
        """How many records hold any, and how many hold each.

        >>> ControlStrings(["<s>", "</s>"]).find([["a<s>", "b"], ["c"], ["<s></s>"]])
        (2, {'</s>': 1, '<s>': 2})
        """
        found: dict[str, int] = {}
        holders: set[int] = set()
        for string in sorted(self._present(records)):
            rows = [i for i, contents in enumerate(records) if any(string in c for c in contents)]
            if rows:
                found[string] = len(rows)
                holders.update(rows)
        return len(holders), found

    def _present(self, records: Sequence[Sequence[str]]) -> set[str]:
        """The strings that are anywhere."""
        texts = list(filter(None, chain.from_iterable(records)))
        is_plain = list(map(str.isascii, texts))
        plain = compress(texts, is_plain)  # apart: it is searched and copied much faster
        other = compress(texts, map(not_, is_plain))
        present: set[str] = set()
        for text in ("\n".join(plain), "\n".join(other)):
            present.update(string for string in self._short if string in text)
            for start in self._starts_in(text.encode()):
                present.update(string for string in self._by_start[start] if string in text)
        return present

    def _starts_in(self, data: bytes) -> Iterator[int]:
        """Which of the starts are in a text."""
        codes = np.frombuffer(data, np.uint8)
        places = [np.flatnonzero(codes[: 1 - START] == first) for first in self._firsts]
        at = np.concatenate([*places, np.zeros(0, np.intp)])
        words = np.zeros(len(at), np.uint32)
        for index in range(START):
            words |= codes[at + index].astype(np.uint32) << np.uint32(8 * index)
        yield from np.intersect1d(words, self._starts).tolist()
