"""Count the records whose content holds a control token's text.

In     contents of a block.
Out    which records hold which control strings.
Never  changes a text: content is encoded without control tokens, so a string is only text. But who
       wrote ``<|im_end|>`` into a prompt may have meant the token, and should be told.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

STARTS = (1, 2, 4)  # characters by which strings are told apart, step by step
MANY = 8


class ControlStrings:
    """Looks for control strings, a block at a time.

    A block is searched for the strings' first characters, and only where these are for more of
    them: most blocks hold no string, and some tokenizers have a thousand.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._tree = _Node("", sorted(strings), STARTS)

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
        """The strings that are anywhere; plain texts apart, which are searched much faster."""
        plain, other = [], []
        for text in chain.from_iterable(records):
            if text.isascii():
                plain.append(text)
            else:
                other.append(text)
        return {s for texts in (plain, other) for s in self._tree.present("\n".join(texts))}


class _Node:
    """Strings with the same start, by what comes next."""

    def __init__(self, start: str, strings: Sequence[str], sizes: tuple[int, ...]) -> None:
        self.start = start
        self.strings = tuple(strings)
        self.parts: list[_Node] = []
        if sizes and len(strings) > 1:
            groups: dict[str, list[str]] = {}
            for string in strings:
                groups.setdefault(string[: sizes[0]], []).append(string)
            self.parts = [_Node(key, group, sizes[1:]) for key, group in groups.items()]

    def present(self, text: str) -> Iterator[str]:
        """Which of the strings are in a text."""
        if self.start not in text:
            return
        if self.parts:
            for part in self.parts:
                yield from part.present(text)
        elif len(self.strings) <= MANY:
            yield from (string for string in self.strings if string in text)
        else:  # compared where their start is found
            at = text.find(self.start)
            while at >= 0:
                if text.startswith(self.strings, at):
                    yield from (s for s in self.strings if text.startswith(s, at))
                at = text.find(self.start, at + 1)
