"""Corrections that are certain: what they change in a text is decided by a rule's finding alone.

In     the findings of a run; a text and its role.
Out    the corrected text, and what each rule has changed in it.
Never  makes a text empty, and never changes a text for a rule that has found nothing or is ignored.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from unicodedata import normalize

from sftprep.lint.characters import NBSP, RUN, ZERO_WIDTH, repaired
from sftprep.lint.rule import Finding
from sftprep.lint.spaces import TEXT

ROLES = ("system", "user", "input", "assistant", "tool")


class Fix(NamedTuple):
    """How a rule's finding is corrected."""

    rule: str
    change: Callable[[str], str]
    roles: tuple[str, ...] = ROLES  # of the texts that are changed
    majority: str = ""  # the form that most texts must have; "": the rule needs none
    of_exchanges: bool | None = None  # only in prompts and completions, or only in messages


def _without_spaces(text: str) -> str:
    """Return a text without the white space at its end, but with its line breaks."""
    bare = text.rstrip()
    tail = text[len(bare) :]
    kept = tail.rstrip("".join(set(tail) - {"\r", "\n"}))
    return bare + kept


FIXES = (
    Fix("mojibake", lambda text: RUN.sub(lambda match: repaired(match[0]), text)),
    Fix("zero-width", lambda text: ZERO_WIDTH.sub("", text)),
    Fix("nbsp", lambda text: NBSP.sub(" ", text)),
    Fix("not-nfc", lambda text: normalize("NFC", text), majority="NFC"),
    Fix(
        "line-ends",
        lambda text: text.replace("\r\n", "\n").replace("\r", "\n"),
        majority="\\n",
    ),
    Fix("answer-start", str.lstrip, ("assistant",), majority=TEXT),
    Fix("answer-end", str.rstrip, ("assistant",), majority=TEXT),
    Fix("message-end", str.rstrip, ("system", "user"), majority=TEXT, of_exchanges=False),
    Fix("prompt-end", _without_spaces, ("user", "input"), of_exchanges=True),
)
"""All corrections, in the order in which they are made."""
FIXED_RULES = tuple(fix.rule for fix in FIXES)


def fixes_for(findings: Iterable[Finding]) -> list[Fix]:
    """Return the corrections of what was found."""
    found = {finding.rule.name: finding.verdict for finding in findings}
    chosen = []
    for fix in FIXES:
        verdict = found.get(fix.rule)
        majority = verdict.majority[0] if verdict is not None and verdict.majority else ""
        if verdict is not None and fix.majority in ("", majority):
            chosen.append(fix)
    return chosen


def fixed(
    text: str, role: str, fixes: Sequence[Fix], *, is_exchange: bool
) -> tuple[str, list[tuple[str, str, str]]]:
    """Return a corrected text, and for each rule that changed it: its name, before and after."""
    changes = []
    for fix in fixes:
        if role not in fix.roles or fix.of_exchanges is (not is_exchange):
            continue
        after = fix.change(text)
        if after != text and after.strip():
            changes.append((fix.rule, text, after))
            text = after
    return text, changes
