"""Count the records whose content holds a control token's text.

In     contents of a block.
Out    which records hold which control strings.
Never  changes a text: content is encoded without control tokens, so a string is only text. But who
       wrote ``<|im_end|>`` into a prompt may have meant the token, and should be told.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

START = 4  # characters: enough to tell most apart from what data is full of
MANY = 8


class ControlStrings:
    """Looks for control strings, a block at a time.

    A block is first searched for the few beginnings that the strings share; most have none of them.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        by_start: dict[str, list[str]] = {}
        for string in sorted(strings):
            by_start.setdefault(string[:START], []).append(string)
        self._by_start = {start: tuple(group) for start, group in by_start.items()}

    def find(self, records: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
        """How many records hold any, and how many hold each.

        >>> ControlStrings(["<s>", "</s>"]).find([["a<s>", "b"], ["c"], ["<s></s>"]])
        (2, {'</s>': 1, '<s>': 2})
        """
        together = "\n".join(chain.from_iterable(records))
        present = {
            string
            for start, strings in self._by_start.items()
            if start in together
            for string in _present(together, start, strings)
        }
        found: dict[str, int] = {}
        holders: set[int] = set()
        for string in sorted(present):
            rows = [i for i, contents in enumerate(records) if any(string in c for c in contents)]
            if rows:
                found[string] = len(rows)
                holders.update(rows)
        return len(holders), found


def _present(text: str, start: str, strings: tuple[str, ...]) -> Iterator[str]:
    """Which of the strings, all with the same start, are in a text.

    A text is searched once for each of a few; of many (some tokenizers have a thousand reserved
    ones), they are compared where their start is found.
    """
    if len(strings) <= MANY:
        yield from (string for string in strings if string in text)
        return
    at = text.find(start)
    while at >= 0:
        if text.startswith(strings, at):
            yield from (string for string in strings if text.startswith(string, at))
        at = text.find(start, at + 1)
