"""Count the records whose content spells a control token.

In     the contents of a block's records.
Out    how many records hold the text of any control token, and how many hold that of each.
Never  changes a text. Content is encoded without control tokens, so such a string stays plain text.
       But the author of a record that holds ``<|im_end|>`` may have meant the token, so the user
       is told.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from operator import not_

import numpy as np

START = 4
"""The number of leading bytes by which strings are looked up. There may be a thousand strings, and
many texts are full of ``<``, so a single byte would match too often."""


class ControlStrings:
    """Looks for control strings in all records of a block at once, since most blocks hold none.

    Args:
        strings: the texts of the control tokens.
    """

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
        self._first_bytes = sorted({int(start) & 0xFF for start in self._starts})

    def find(self, records: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
        """Return how many records hold any control string, and how many hold each.

        Args:
            records: the contents of each record.

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
        """Return the strings that occur in any record."""
        texts = list(filter(None, chain.from_iterable(records)))
        is_ascii = list(map(str.isascii, texts))
        # ASCII texts are kept apart: Python copies and searches them much faster.
        plain = compress(texts, is_ascii)
        other = compress(texts, map(not_, is_ascii))
        present: set[str] = set()
        for text in ("\n".join(plain), "\n".join(other)):
            present.update(string for string in self._short if string in text)
            for start in self._starts_in(text.encode()):
                present.update(string for string in self._by_start[start] if string in text)
        return present

    def _starts_in(self, data: bytes) -> Iterator[int]:
        """Yield the starts that occur in a text's bytes."""
        codes = np.frombuffer(data, np.uint8)
        places = [np.flatnonzero(codes[: 1 - START] == first) for first in self._first_bytes]
        at = np.concatenate([*places, np.zeros(0, np.intp)])
        words = np.zeros(len(at), np.uint32)
        for index in range(START):
            words |= codes[at + index].astype(np.uint32) << np.uint32(8 * index)
        yield from np.intersect1d(words, self._starts).tolist()
