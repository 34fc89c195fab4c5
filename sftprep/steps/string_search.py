"""Find the records whose content holds one of many strings, such as the texts of control tokens.

In     the contents of a block's records.
Out    which records hold which string.
Never  changes a text. Content is encoded without control tokens, so the text of one stays plain
       text. But the author of a record that holds ``<|im_end|>`` may have meant the token, so the
       user is told.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, repeat
from operator import contains

import numpy as np

START = 4
"""The number of leading characters by which strings are looked up. There may be a thousand strings,
and many texts are full of ``<``, so a single character would match too often."""


class StringSearch:
    """Looks for strings in all texts of a block at once; most texts hold none.

    Args:
        strings: what to look for.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._by_start: dict[str, list[str]] = {}
        for string in sorted(strings):
            self._by_start.setdefault(string[:START], []).append(string)
        # Longer starts come first: what matches a longer one begins with the shorter ones too.
        starts = sorted(self._by_start, key=len, reverse=True)
        self._searches = {
            first: re.compile(_one_of([start for start in starts if start[0] == first]))
            for first in sorted({start[0] for start in starts})
        }

    def holders(self, records: Sequence[Sequence[str]]) -> dict[str, set[int]]:
        """Return the numbers of the records that hold each string, without strings that none holds.

        Args:
            records: the contents of each record.

        >>> StringSearch(["<s>", "</s>"]).holders([["a<s>", "b"], ["c"], ["<s><s>"]])
        {'<s>': {0, 2}}
        """
        texts = list(chain.from_iterable(records))
        found: dict[str, list[int]] = {}
        for first in self._searches:
            # Python looks for a single character much faster than for anything else.
            places = list(compress(range(len(texts)), map(contains, texts, repeat(first))))
            suspects = [texts[place] for place in places]
            for string in self._possible(first, suspects):
                if held := list(compress(places, map(contains, suspects, repeat(string)))):
                    found[string] = held
        if not found:
            return {}
        owners = np.repeat(np.arange(len(records)), list(map(len, records)))
        return {string: set(owners[places].tolist()) for string, places in found.items()}

    def _possible(self, first: str, texts: Sequence[str]) -> Iterator[str]:
        """Yield the strings with this first character of which any text holds the start."""
        matches = set(self._searches[first].findall("\n".join(texts)))
        for start in {first + match[:size] for match in matches for size in range(START)}:
            yield from self._by_start.get(start, ())


def _one_of(starts: Sequence[str]) -> str:
    """Return a pattern that finds starts with one first character, also where they overlap."""
    return f"{re.escape(starts[0][0])}(?=({'|'.join(re.escape(start[1:]) for start in starts)}))"
