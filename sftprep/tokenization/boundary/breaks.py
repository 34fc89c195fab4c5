"""Find token breaks: places in a text that no token can lie across.

In     what ``known_breaks`` found out about a tokenizer.
Out    ``TokenBreaks``, which looks for token breaks; None if none can be recognized.
Never  calls a place a token break if a token might lie across it, or if the text before it changes
       how the text after it is encoded. A token break that is not found only costs time.
"""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sftprep.data.ragged import Mask
from sftprep.tokenization.boundary.known_breaks import KnownBreaks
from sftprep.tokenization.tokenizer_json import SPACE

NEAR = 64
"""How many characters at the end or the start of a text are searched for a token break."""


class TokenBreaks(Protocol):
    """Finds token breaks."""

    def between(self, befores: Sequence[str], afters: Sequence[str]) -> Mask:
        """For each pair of texts, return whether the place where they meet is a token break."""
        ...

    def last(self, text: str) -> int:
        """Return the position of a token break near the end of a text; 0 if none is found."""
        ...

    def first(self, text: str) -> int:
        """Return where a token break near the start is; the text's length if none is found."""
        ...


def breaks_of(known: KnownBreaks) -> TokenBreaks | None:
    """Return the finder for a tokenizer's token breaks; None if none can be recognized."""
    if known.rule == "pairs":
        pairs = known.merged_pairs
        return PairBreaks({pairs[i : i + 2] for i in range(0, len(pairs), 2)})
    return PatternBreaks(ends_lines=known.rule == "lines") if known.rule else None


# Token breaks inside a text: after a letter and before a space and a letter, and after a Chinese
# character and before a comma or stop. The piece that starts there does not depend on earlier text.
BREAK = r"[A-Za-z](?= [A-Za-z])|[\u4e00-\u9fa5](?=[\uff0c\u3002])"
LAST = rf"(?s:.*)(?:{BREAK})"
# Some characters that are not white space, and that never join a space or tab after them.
SEEN = "!-~\u3001\u3002\u4e00-\u9fa5\uff01\uff0c\uff1a\uff1b\uff1f"
OPENS = "!-.0-~\u4e00-\u9fa5"  # after a line end; no slash, which o200k joins to the line end
MEET = "\ud800"  # marks where two texts meet; no text holds a lone surrogate
WORDS = rf"[\s\S]*?[{SEEN}](?:{MEET}[ \t]|\n{MEET}[{OPENS}])"
LINES = rf"[\s\S]*?[{SEEN}](?:{MEET}[ \t]|\n+{MEET}(?:[{OPENS}]|[ \t]+[{SEEN}]))"
BEFORE, AFTER = 4, 32
"""How many characters are looked at before and after the place where two texts meet."""


class PatternBreaks:
    r"""Token breaks of the pre-tokenizers whose pattern is known: always between two pieces.

    Two texts meet at a token break if the second starts with a space or tab and the first ends with
    something else, or if the first ends with a line end and the second starts with a visible
    character.

    Args:
        ends_lines: whether the pattern ends a piece of white space after its last line end (rule
            ``lines``). Then several line ends may come before the token break, and an indentation
            after it. GPT-2's pattern puts all of these into one piece.

    >>> PatternBreaks(ends_lines=True).between(["a:\n", "a"], ["  b", "b"]).tolist()
    [True, False]
    >>> PatternBreaks(ends_lines=True).last("one two three ")
    7
    """

    def __init__(self, *, ends_lines: bool) -> None:
        # Such patterns take milliseconds to compile; only those of this tokenizer are.
        self._meets = re.compile(LINES if ends_lines else WORDS)
        self._first, self._last = re.compile(BREAK), re.compile(LAST)

    def between(self, befores: Sequence[str], afters: Sequence[str]) -> Mask:
        """For each pair of texts, return whether the place where they meet is a token break."""
        meeting = [
            f"{before[-BEFORE:]}{MEET}{after[:AFTER]}"
            for before, after in zip(befores, afters, strict=True)
        ]
        return np.array([match is not None for match in map(self._meets.match, meeting)], np.bool_)

    def last(self, text: str) -> int:
        """Return the position of a token break near the end of a text; 0 if none is found."""
        found = self._last.match(text, max(0, len(text) - NEAR))
        return found.end() if found else 0

    def first(self, text: str) -> int:
        """Return where a token break near the start is; the text's length if none is found."""
        found = self._first.search(text, 0, NEAR)
        return found.end() if found else len(text)


class PairBreaks:
    r"""Token breaks of BPE on characters: between two characters that no merge joins.

    A merge joins two neighbours. If no merge joins the last character of one side with
    the first character of the other, no token ever lies across that place.

    Args:
        merged_pairs: for each merge, the last character of its left side and the first character
            of its right side.

    >>> breaks = PairBreaks({"ab", "\u2581a"})
    >>> breaks.between(["a", "b", " ", ""], ["b", "a", "a", "a"]).tolist()
    [False, True, False, False]
    >>> breaks.last("ba ab"), breaks.first("ab a"), breaks.first("ab")
    (2, 2, 2)
    """

    def __init__(self, merged_pairs: set[str]) -> None:
        self._merged_pairs = merged_pairs

    def between(self, befores: Sequence[str], afters: Sequence[str]) -> Mask:
        """For each pair of texts, return whether the place where they meet is a token break."""
        meeting = [
            f"{before[-1:]}{after[:1]}".replace(" ", SPACE)
            for before, after in zip(befores, afters, strict=True)
        ]
        return np.array(
            [len(pair) == 2 and pair not in self._merged_pairs for pair in meeting], np.bool_
        )

    def last(self, text: str) -> int:
        """Return the position of a token break near the end of a text; 0 if none is found."""
        end = text[-NEAR:].replace(" ", SPACE)
        for place in range(len(end) - 1, 0, -1):
            if end[place - 1 : place + 1] not in self._merged_pairs:
                return len(text) - len(end) + place
        return 0

    def first(self, text: str) -> int:
        """Return where a token break near the start is; the text's length if none is found."""
        start = text[:NEAR].replace(" ", SPACE)
        for place in range(1, len(start)):
            if start[place - 1 : place + 1] not in self._merged_pairs:
                return place
        return len(text)
