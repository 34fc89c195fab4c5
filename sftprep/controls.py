"""Count the records whose content holds a control token's text.

In     contents of a block.
Out    which records hold which control strings.
Never  changes a text: content is encoded without control tokens, so a string is only text. But who
       wrote ``<|im_end|>`` into a prompt may have meant the token, and should be told.
"""

from collections.abc import Iterable, Sequence


class ControlStrings:
    """Looks for control strings, a block at a time.

    A block is first searched for the few beginnings that the strings share; most have none of them.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._by_start: dict[str, list[str]] = {}
        for string in sorted(strings):
            self._by_start.setdefault(string[:2], []).append(string)

    def find(self, records: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
        """How many records hold any, and how many hold each.

        >>> ControlStrings(["<s>", "</s>"]).find([["a<s>", "b"], ["c"], ["<s></s>"]])
        (2, {'</s>': 1, '<s>': 2})
        """
        together = "\n".join(["\n".join(contents) for contents in records])
        present = [
            string
            for start, strings in self._by_start.items()
            if start in together
            for string in strings
            if string in together
        ]
        found: dict[str, int] = {}
        holders: set[int] = set()
        for string in sorted(present):
            rows = [i for i, contents in enumerate(records) if any(string in c for c in contents)]
            if rows:
                found[string] = len(rows)
                holders.update(rows)
        return len(holders), found
