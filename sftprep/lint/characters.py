"""Rules about characters: invisible, damaged, and written in two ways.

Most of them look only at texts that are not ASCII. Where a script or a language needs a character,
it is no fault: joiners in emoji and in Persian, direction marks in Arabic and Hebrew, and the
spaces of French punctuation.
"""

import re
from collections.abc import Sequence
from unicodedata import is_normalized, normalize

import numpy as np

from sftprep.lint.findings import EXAMPLES, Form
from sftprep.lint.material import NOTHING, Material
from sftprep.lint.rule import CLEAR, Notes, Rule, minority

C0 = [chr(code) for code in (*range(1, 9), 11, 12, *range(14, 32), 127)]
"""Control characters that are ASCII, without NUL, tab and the line ends."""
C1 = [chr(code) for code in range(0x80, 0xA0) if code != 0x85]
ESCAPES = (b"\\u000", b"\\u001", b"\\u007", b"\\b", b"\\f", b"\x7f")
ESCAPES_C1 = (b"\\u008", b"\\u009", b"\xc2")
"""What JSON holds where it holds such characters: escapes, or the first byte of their UTF-8."""
SUSPECT = np.zeros(256, np.bool_)
"""bool[256]: True for the bytes of control characters that are ASCII."""
SUSPECT[[*range(1, 32), 127]] = True
SUSPECT[[9, 10, 13]] = False
ZERO_WIDTH = re.compile(
    r"[\u200b\u2060\ufeff\u00ad\u180e\u2061-\u2064]|(?<=[\x00-\u024f])[\u200c\u200d](?=[\x00-\u024f])"
)
"""Characters without width. Between letters of most scripts, joiners have no purpose."""
WITHOUT_WIDTH = "\u200b\u2060\ufeff\u00ad\u180e\u2061\u2062\u2063\u2064\u200c\u200d"
MARKS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
"""Marks of the direction of writing."""
RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
NBSP = re.compile(r"(?<![«‹\d])[\u00a0\u202f\u2007](?![»›:;!?%€\d])")
NOT_BREAKING = "\u00a0\u202f\u2007"
"""Spaces that do not break, where neither French punctuation nor a number needs them."""

LEAD_2, LEAD_3, LEAD_4 = "\u00c2-\u00df", "\u00e0-\u00ef", "\u00f0-\u00f4"
LAST = (
    "\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d"
    "\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178"
)
"""The characters that stand for the bytes 0x80 to 0xBF in Windows-1252 or in Latin-1."""
RUN = re.compile(f"(?:[{LEAD_2}][{LAST}]|[{LEAD_3}][{LAST}]{{2}}|[{LEAD_4}][{LAST}]{{3}})+")
LOST = re.compile(r"\ufffd(?=[\w\ufffd])|(?<=[\w\ufffd])\ufffd")
"""Matches U+FFFD within a word. Where it stands alone, the text may speak of it."""
DAMAGED = re.compile(f"[{LEAD_2[0]}-{LEAD_4[-1]}][{LAST}]")
"""Matches in all texts in which ``RUN`` does, and is faster."""
CAPITALS, BEHIND_WORDS = "ÄÅ", "\u00a0«»“”‘’„…–—‹›"
"""A word may end with one of these letters, and one of these signs may follow it."""
BYTE_OF = {chr(code): code for code in range(0x80, 0x100)}
BYTE_OF |= {
    bytes((code,)).decode("cp1252"): code
    for code in range(0x80, 0xA0)
    if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
PLAUSIBLE = re.compile(
    r"[\u00a0-\u017f\u2010-\u2027\u2030-\u203a\u20ac\u2122\u2190-\u21ff\u2200-\u22ff\ufeff\ufffd"
    r"\u2600-\u27bf\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef\U0001f000-\U0001faff]+"
    r"|[\u0370-\u03ff]{2,}|[\u0400-\u04ff]{2,}|[\u0590-\u06ff]{2,}|[\u0900-\u0dff]{2,}"
)
"""What a run of damaged characters may have been."""


def repaired(run: str) -> str:
    r"""Return what a run of characters was before its UTF-8 was read as Windows-1252.

    Returns:
        the run itself if it was surely nothing else.

    >>> repaired("Ã©"), repaired("â€™"), repaired("Ö“"), repaired("Ä»")
    ('é', '’', 'Ö“', 'Ä»')
    """
    if len(run) == 2 and run[0] in CAPITALS and run[1] in BEHIND_WORDS:
        return run
    try:
        text = bytes(BYTE_OF[character] for character in run).decode()
    except (KeyError, UnicodeDecodeError):
        return run
    return text if PLAUSIBLE.fullmatch(text) else run


def _may_hold_controls(material: Material) -> bool:
    """Return whether a text may hold a control character that is ASCII.

    In JSON, such characters are written as escapes, which are found much faster.
    """
    block = material.block
    if block.rows is None and not any(map(block.data.__contains__, ESCAPES)):
        return False
    data = np.frombuffer(material.joined.encode(), np.uint8)
    return bool(SUSPECT[data].any())


def _blank_if_damaged(match: re.Match[str]) -> str:
    run = match[0]
    return run if repaired(run) == run else " " * len(run)


def _control(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    suspects: list[str] = []
    if _may_hold_controls(material):
        suspects = [character for character in C0 if character in material.joined]
    if material.block.rows is not None or any(map(material.block.data.__contains__, ESCAPES_C1)):
        suspects += [character for character in C1 if character in material.foreign]
    for character in suspects:
        for line, text in material.all_texts.holding(character).pairs():
            rest = RUN.sub(_blank_if_damaged, text)  # damaged text is told of by itself
            if (where := rest.find(character)) >= 0:
                notes.fault(line, text, where, where + 1, f"U+{ord(character):04X}")


def _nul(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    if "\0" in material.joined:
        for line, text in material.all_texts.holding("\0").pairs():
            notes.fault(line, text, text.index("\0"), text.index("\0") + 1)


def _zero_width(material: Material, notes: Notes) -> None:
    _note_matches(material, notes, ZERO_WIDTH, WITHOUT_WIDTH)


def _bidi(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for mark in MARKS:
        if mark in material.foreign:
            for line, text in material.beyond_ascii.holding(mark).pairs():
                if not RIGHT_TO_LEFT.search(text):
                    where = text.index(mark)
                    notes.fault(line, text, where, where + 1, f"U+{ord(mark):04X}")


def _nbsp(material: Material, notes: Notes) -> None:
    _note_matches(material, notes, NBSP, NOT_BREAKING)


def _note_matches(
    material: Material, notes: Notes, pattern: re.Pattern[str], characters: Sequence[str]
) -> None:
    """Note the matches of a pattern that finds only some characters."""
    notes.seen(material.records)
    for character in characters:
        if character in material.foreign:  # much faster than the pattern
            for line, text in material.beyond_ascii.holding(character).pairs():
                for match in pattern.finditer(text):
                    if match[0] == character:
                        notes.fault(line, text, *match.span(), f"U+{ord(character):04X}")


def _replacement(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    if "\ufffd" not in material.foreign:
        return
    for line, text in material.beyond_ascii.holding("\ufffd").pairs():
        if match := LOST.search(text):
            notes.fault(line, text, *match.span())


def _mojibake(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    if not DAMAGED.search(material.foreign):
        return
    for line, text in material.beyond_ascii.pairs():
        for match in RUN.finditer(text) if DAMAGED.search(text) else ():
            if (meant := repaired(match[0])) != match[0]:
                notes.fault(line, text, *match.span(), f"{match[0]} for {meant}")


def _not_nfc(material: Material, notes: Notes) -> None:
    column = NOTHING if is_normalized("NFC", material.foreign) else material.beyond_ascii
    notes.seen(len(material.all_texts))
    others = column.kept([not is_normalized("NFC", text) for text in column.texts])
    for number, (line, text) in enumerate(others.pairs()):
        found = notes.tally.forms.setdefault("not NFC", Form())
        found.count += 1
        if number < EXAMPLES:
            pairs = enumerate(zip(text, normalize("NFC", text), strict=False))
            where = next((n for n, (own, other) in pairs if own != other), len(text) - 1)
            notes.example("not NFC", line, text, where)
    notes.tally.forms.setdefault("NFC", Form()).count += len(material.all_texts) - len(others)


RULES = (
    Rule(
        name="nul",
        severity="error",
        unit="record",
        finds="texts with the character NUL",
        why="It comes from damaged files. Many programs take it for the end of a text.",
        cure="Make the file again from its source, or remove the records.",
        look=_nul,
    ),
    Rule(
        name="control-character",
        severity="warning",
        unit="record",
        finds="texts with invisible control characters, such as those of terminals",
        why="They are rare tokens without a meaning.",
        cure="Remove the characters.",
        look=_control,
    ),
    Rule(
        name="zero-width",
        severity="warning",
        unit="record",
        finds="texts with characters that have no width",
        why="Two texts that look the same become different tokens.",
        cure="Remove the characters. --write-fixed does so.",
        look=_zero_width,
    ),
    Rule(
        name="bidi",
        severity="warning",
        unit="record",
        finds="texts with marks of the direction of writing that none of their letters needs",
        why="They can show a text in another order than the model reads it.",
        cure="Remove the characters.",
        look=_bidi,
    ),
    Rule(
        name="nbsp",
        severity="warning",
        unit="record",
        finds="texts with spaces that do not break",
        why="They look like spaces and are other tokens, which users do not type.",
        cure="Write ordinary spaces. --write-fixed does so.",
        look=_nbsp,
    ),
    Rule(
        name="mojibake",
        severity="error",
        unit="record",
        finds="texts whose UTF-8 was read as another encoding, such as Ã© for é",
        why="The model would learn to write the damaged characters.",
        cure="Read the source as UTF-8 and make the file again. --write-fixed repairs what is "
        "certain.",
        look=_mojibake,
    ),
    Rule(
        name="replacement-character",
        severity="error",
        unit="record",
        finds="texts with U+FFFD, which stands for a character that was lost",
        why="The character cannot be told from what is left.",
        cure="Make the file again from its source, or remove the records.",
        look=_replacement,
    ),
    Rule(
        name="not-nfc",
        severity="warning",
        unit="text",
        finds="texts that are not in the Unicode form NFC, unlike most",
        why="A letter and its accent are then two characters, and other tokens than elsewhere.",
        cure="Normalize the texts to NFC. --write-fixed does so.",
        look=_not_nfc,
        judge=minority(CLEAR, few=2),
    ),
)
