r"""Find out from a ``tokenizer.json`` how the token breaks of a tokenizer can be recognized.

In     a ``tokenizer.json`` without its control tokens.
Out    ``KnownBreaks``: plain data, stored with everything else that is known about a tokenizer.
Never  guesses: a tokenizer that fits none of the rules has no known token breaks. That costs time
       and never changes an id.
"""

import re
from dataclasses import dataclass

from sftprep.tokenization.tokenizer_json import (
    SPACE,
    State,
    merges,
    normalizer_steps,
    only_rewrites_spaces,
    pre_tokenizer_steps,
)


@dataclass(frozen=True)
class KnownBreaks:
    """How the token breaks of a tokenizer can be recognized.

    Attributes:
        rule: ``words``: by the pre-tokenizer's pattern, which is GPT-2's. ``lines``: by another
            pattern, which also ends a piece of white space after its last line end. ``pairs``: by
            the merges, which join characters. "": no token breaks can be recognized.
        merged_pairs: for ``pairs``, the pairs of characters that some merge joins, one after the
            other; "" for all other rules.
    """

    rule: str = ""
    merged_pairs: str = ""


LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LINE_END = r"|\s*[\r\n]+|"
REST = rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{LINE_END}\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
KNOWN_PATTERNS = (
    # Llama 3 (and cl100k), Qwen 2, o200k, DeepSeek V3
    LETTERS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST,
    LETTERS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST,
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{LETTERS}?|"
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{LETTERS}?|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
"""The patterns of pre-tokenizers for which the rule ``lines`` was checked.

None of them looks back at earlier text. In each pattern (in a sequence of patterns: in the last), a
piece of letters ends before a space, and a piece of Chinese characters ends before a full-width
comma or stop. If a piece holds anything but white space, it includes no space or tab after that,
and after a line end it includes only line ends and slashes.
"""
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def known_breaks(state: State) -> KnownBreaks:
    """Return how the token breaks of a tokenizer can be recognized.

    Args:
        state: a ``tokenizer.json`` for which ``why_not_exact`` gives no reason.
    """
    if state["added_tokens"]:
        return KnownBreaks()
    if all(step["type"] == "Metaspace" for step in pre_tokenizer_steps(state)):
        joins_characters = _merges_join_characters(state)
        return KnownBreaks("pairs", merged_pairs(state)) if joins_characters else KnownBreaks()
    return KnownBreaks(_rule_of_pattern(state))


def _rule_of_pattern(state: State) -> str:
    """Return ``words`` or ``lines`` if the pre-tokenizer's pattern is a known one, else ""."""
    *splits, last = pre_tokenizer_steps(state)
    if last["type"] != "ByteLevel" or last.get("add_prefix_space", True):
        return ""
    patterns = [
        step["pattern"]["Regex"].replace("\r", r"\r").replace("\n", r"\n") for step in splits
    ]
    if not patterns:
        return "words" if last.get("use_regex", True) else ""
    known = all(pattern in KNOWN_PATTERNS for pattern in patterns)
    return "lines" if known and any(LINE_END in pattern for pattern in patterns) else ""


def _merges_join_characters(state: State) -> bool:
    """Return whether merges join characters, not bytes, and a space is written as ``SPACE``."""
    normalizers = normalizer_steps(state)
    written = [step["content"] for step in normalizers if step["type"] == "Replace"]
    written += [step["replacement"] for step in pre_tokenizer_steps(state)]
    prepended = {step["prepend"] for step in normalizers if step["type"] == "Prepend"}
    if not all(map(only_rewrites_spaces, normalizers)):
        return False
    if set(written) != {SPACE} or prepended - {SPACE}:
        return False
    return not any(map(BYTE.search, map("".join, merges(state))))


def merged_pairs(state: State) -> str:
    """Return for each merge the last character of its left and the first of its right side.

    The pairs are sorted, without duplicates, and written one after the other.

    >>> merged_pairs({"model": {"merges": ["a b", "ab c", "b c"]}})
    'abbc'
    """
    return "".join(sorted({left[-1] + right[0] for left, right in merges(state)}))
