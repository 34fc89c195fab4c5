"""Where a text is always cut: what lies around such a place alone decides the ids there.

In     what is known of a tokenizer: ``exactness.locality``, and its crossings.
Out    ``Cuts``, which finds such places; None where nothing is known.
Never  calls a place a cut where a token might lie across it, or where what comes before changes
       how the text behind is read. That it misses one costs time, no more.

A place in a text is a cut if the ids of the whole are those of what is before it and, continuing
that, of what is behind it; whatever else the two texts hold.
"""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sftprep.data.ragged import Mask

NEAR = 64
"""How far from its end, or its begin, a cut in a text is looked for; in characters."""


class Cuts(Protocol):
    """Finds cuts."""

    def between(self, befores: Sequence[str], behinds: Sequence[str]) -> Mask:
        """For each pair of texts, whether the place where they meet is a cut."""
        ...

    def last(self, text: str) -> int:
        """A cut near the end of a text; 0 if none is found."""
        ...

    def first(self, text: str) -> int:
        """A cut near the begin of a text; its length if none is found."""
        ...


def cuts_of(locality: str, crossings: str) -> Cuts | None:
    """What finds the cuts of a tokenizer.

    Args:
        locality: ``words``, ``lines`` or ``pairs``; "" where nothing is known.
        crossings: for ``pairs``, what ``exactness.crossings`` gives.
    """
    if locality == "pairs":
        return PairCuts({crossings[i : i + 2] for i in range(0, len(crossings), 2)})
    return PatternCuts(ends_lines=locality == "lines") if locality else None


# Inside a text: a run of letters ends before a space, one of Chinese characters before a comma or a
# stop, and what begins there does not depend on what came before.
BREAK = r"[A-Za-z](?= [A-Za-z])|[\u4e00-\u9fa5](?=[\uff0c\u3002])"
FIRST = re.compile(BREAK)
LAST = re.compile(rf"(?s:.*)(?:{BREAK})")
# Some of what is neither white space nor joined to anything by it.
SEEN = "!-~\u3001\u3002\u4e00-\u9fa5\uff01\uff0c\uff1a\uff1b\uff1f"
OPENS = "!-.0-~\u4e00-\u9fa5"  # o200k has a slash in one piece with the line end before it
HERE = "\ud800"  # where they meet; no text holds half a surrogate pair
WORDS = re.compile(rf"[\s\S]*?[{SEEN}](?:{HERE}[ \t]|\n{HERE}[{OPENS}])")
LINES = re.compile(rf"[\s\S]*?[{SEEN}](?:{HERE}[ \t]|\n+{HERE}(?:[{OPENS}]|[ \t]+[{SEEN}]))")
BEFORE, BEHIND = 4, 32
"""How many characters are looked at where two texts meet."""


class PatternCuts:
    r"""For the pre-tokenizers that ``exactness`` lists, by characters where these always cut.

    Between two texts: a space or tab behind what is none, and text behind a line end.

    Args:
        ends_lines: whether the pattern cuts white space behind its last line end: then several line
            ends may come before, and an indentation behind. GPT-2's takes these as one piece.

    >>> PatternCuts(ends_lines=True).between(["a:\\n", "a"], ["  b", "b"]).tolist()
    [True, False]
    >>> PatternCuts(ends_lines=True).last("one two three ")
    7
    """

    def __init__(self, *, ends_lines: bool) -> None:
        self._meets = LINES if ends_lines else WORDS

    def between(self, befores: Sequence[str], behinds: Sequence[str]) -> Mask:
        """For each pair of texts, whether the place where they meet is a cut."""
        meeting = [
            f"{before[-BEFORE:]}{HERE}{behind[:BEHIND]}"
            for before, behind in zip(befores, behinds, strict=True)
        ]
        return np.array([match is not None for match in map(self._meets.match, meeting)], np.bool_)

    def last(self, text: str) -> int:
        """A cut near the end of a text; 0 if none is found."""
        found = LAST.match(text, max(0, len(text) - NEAR))
        return found.end() if found else 0

    def first(self, text: str) -> int:
        """A cut near the begin of a text; its length if none is found."""
        found = FIRST.search(text, 0, NEAR)
        return found.end() if found else len(text)


SPACE = "\u2581"


class PairCuts:
    r"""For BPE that merges the characters of a text: between two that no merge ever joins.

    Merges go from two neighbours to one token, so where no merge joins the last character of one
    with the first of another, the two sides never learn of each other.

    Args:
        crossings: the last and the first character of the two sides of every merge.

    >>> cuts = PairCuts({"ab", "\u2581a"})
    >>> cuts.between(["a", "b", " ", ""], ["b", "a", "a", "a"]).tolist()
    [False, True, False, False]
    >>> cuts.last("ba ab"), cuts.first("ab a"), cuts.first("ab")
    (2, 2, 2)
    """

    def __init__(self, crossings: set[str]) -> None:
        self._crossings = crossings

    def between(self, befores: Sequence[str], behinds: Sequence[str]) -> Mask:
        """For each pair of texts, whether the place where they meet is a cut."""
        meeting = [
            f"{before[-1:]}{behind[:1]}".replace(" ", SPACE)
            for before, behind in zip(befores, behinds, strict=True)
        ]
        return np.array(
            [len(pair) == 2 and pair not in self._crossings for pair in meeting], np.bool_
        )

    def last(self, text: str) -> int:
        """A cut near the end of a text; 0 if none is found."""
        end = text[-NEAR:].replace(" ", SPACE)
        for place in range(len(end) - 1, 0, -1):
            if end[place - 1 : place + 1] not in self._crossings:
                return len(text) - len(end) + place
        return 0

    def first(self, text: str) -> int:
        """A cut near the begin of a text; its length if none is found."""
        begin = text[:NEAR].replace(" ", SPACE)
        for place in range(1, len(begin)):
            if begin[place - 1 : place + 1] not in self._crossings:
                return place
        return len(text)
