"""The tokenizer's control tokens, and how they are found in a template's text.

A *control token* is any added token that is more than white space. The tokenizer need not flag it
as special: DeepSeek's ``<｜User｜>``, for example, is not flagged. Only a template can put control
tokens into a row; the text of a record never becomes one.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple


class AddedToken(NamedTuple):
    """An entry of the tokenizer's added vocabulary, with flags that affect the text around it."""

    content: str
    id: int
    special: bool
    lstrip: bool  # the token swallows the white space before it
    rstrip: bool  # the token swallows the white space after it
    single_word: bool  # next to a word character, the string is plain text and not this token
    normalized: bool  # HF looks for the token in the normalized text


class TurnEnd(NamedTuple):
    """How a turn ends at inference."""

    stops: frozenset[str] = frozenset()  # the tokens that stop the model
    appended: str = ""  # the one to add where a template writes none; "": none was chosen


class ControlTokens:
    """Finds control tokens in a template's text as HF tokenizers do: leftmost, then longest.

    Args:
        tokens: the control tokens to look for.
    """

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        self._passes = [
            {t.content: t for t in tokens if t.normalized == normalized}
            for normalized in (False, True)  # HF finds normalized tokens last, between the others
        ]

    def split(self, text: str) -> list[str | AddedToken]:
        """Return the control tokens of a text and the texts between them, in order."""
        return self._split(text, 0)

    def _split(self, text: str, level: int) -> list[str | AddedToken]:
        if level == len(self._passes):
            return [text] if text else []
        found: list[str | AddedToken] = []
        position = 0
        group = self._passes[level]
        # A vocabulary may hold a thousand tokens. Compiling a pattern of all of them would take
        # longer than rendering most templates, so the pattern holds only those that occur.
        present = sorted(filter(text.__contains__, group), key=len, reverse=True)
        for match in re.finditer("|".join(map(re.escape, present)) or r"(?!)", text):
            found += self._split(text[position : match.start()], level + 1)
            found.append(group[match[0]])
            position = match.end()
        return found + self._split(text[position:], level + 1)
