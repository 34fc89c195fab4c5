r"""The code points for which gigatoken and HF tokenizers may give different ids.

The two libraries split text by classes of characters (letter, number, mark, punctuation, ...), and
each has its own Unicode tables. A text without any code point listed here gets the same ids from
both. A text that holds one is encoded by HF tokenizers, because those ids are the reference.

Cause   gigatoken 0.10 uses Unicode 17 (ICU4X 2.2). tokenizers 0.22.1 and 0.23.3 use Unicode 16 to
        split (Oniguruma) and Unicode 9 to normalize (unicode-normalization-alignments 0.1.12).
Tables  ``DIVERGENT`` holds the 4,803 code points that are new in Unicode 17, which are letters,
        marks or symbols to one library and unassigned to the other, and U+0295, whose letter case
        changed there. They matter for every byte-level tokenizer, GPT-2's included, and for no
        tokenizer that ignores classes of characters (SentencePiece with byte fallback).
        ``DIVERGENT_NFC`` holds the code points that only one library reorders, composes or
        decomposes for NFC: marks added since Unicode 10, and letters that start a pair which
        has composed since then. They matter for tokenizers with an NFC normalizer, the only Unicode
        normalizer that gigatoken supports for byte-level tokenizers.
Method  ``tests/conformance/find_divergent.py`` tried all 1,112,064 code points in about forty
        contexts, with each of the eleven ways to split that gigatoken supports, on a vocabulary in
        which a different split always gives different ids. For NFC it tried each code point among
        marks of thirteen combining classes, and 42 million pairs. Run it after each upgrade of
        either library: it prints the code points that are missing here.
Checks  for each of 46 tokenizers, gigatoken 0.10.0 and tokenizers 0.23.3 gave the same ids for all
        of 100,000 to 200,000 random texts without these code points (all scripts, marks, emoji,
        white space, control characters). Two patterns of GPT-4 are not among the 46, because
        gigatoken reads them differently: ``\p{N}{1,3}+``, and ``\s*[\r\n]`` without ``\s++$``.
Limits  the tables are about Unicode only. Other differences between the two libraries (those two
        patterns, ``single_word`` tokens, a pre-tokenizer that gigatoken reads only in part) depend
        on the tokenizer: see ``gigatoken_support``.

Except for U+0295, a letter of the phonetic alphabet, all of these code points were assigned in
Unicode 10 or later, so they are rare. Encoding a text with HF needlessly only costs time.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x110000

DIVERGENT: tuple[tuple[int, int], ...] = (
    (0x0295, 0x0295),
    (0x088F, 0x088F),
    (0x0C5C, 0x0C5C),
    (0x0CDC, 0x0CDC),
    (0x1ACF, 0x1ADD),
    (0x1AE0, 0x1AEB),
    (0x20C1, 0x20C1),
    (0x2B96, 0x2B96),
    (0xA7CE, 0xA7CF),
    (0xA7D2, 0xA7D2),
    (0xA7D4, 0xA7D4),
    (0xA7F1, 0xA7F1),
    (0xFBC3, 0xFBD2),
    (0xFD90, 0xFD91),
    (0xFDC8, 0xFDCE),
    (0x10940, 0x10959),
    (0x10EC5, 0x10EC7),
    (0x10ED0, 0x10ED8),
    (0x10EFA, 0x10EFB),
    (0x11B60, 0x11B67),
    (0x11DB0, 0x11DDB),
    (0x11DE0, 0x11DE9),
    (0x16EA0, 0x16EB8),
    (0x16EBB, 0x16ED3),
    (0x16FF2, 0x16FF6),
    (0x187F8, 0x187FF),
    (0x18D09, 0x18D1E),
    (0x18D80, 0x18DF2),
    (0x1CCFA, 0x1CCFC),
    (0x1CEBA, 0x1CED0),
    (0x1CEE0, 0x1CEF0),
    (0x1E6C0, 0x1E6DE),
    (0x1E6E0, 0x1E6F5),
    (0x1E6FE, 0x1E6FF),
    (0x1F6D8, 0x1F6D8),
    (0x1F777, 0x1F77A),
    (0x1F8D0, 0x1F8D8),
    (0x1FA54, 0x1FA57),
    (0x1FA8A, 0x1FA8A),
    (0x1FA8E, 0x1FA8E),
    (0x1FAC8, 0x1FAC8),
    (0x1FACD, 0x1FACD),
    (0x1FAEA, 0x1FAEA),
    (0x1FAEF, 0x1FAEF),
    (0x1FBFA, 0x1FBFA),
    (0x2B73A, 0x2B73F),
    (0x2CEA2, 0x2CEAD),
    (0x323B0, 0x33479),
)
"""First and last code point of each range whose class of characters differs."""

DIVERGENT_NFC: tuple[tuple[int, int], ...] = (
    (0x07FD, 0x07FD),
    (0x0897, 0x089F),
    (0x08CA, 0x08D3),
    (0x09FE, 0x09FE),
    (0x0C3C, 0x0C3C),
    (0x0D3B, 0x0D3C),
    (0x0EBA, 0x0EBA),
    (0x1715, 0x1715),
    (0x1ABF, 0x1ACE),
    (0x1DF6, 0x1DFA),
    (0xA82C, 0xA82C),
    (0x105D2, 0x105D2),
    (0x105DA, 0x105DA),
    (0x10D24, 0x10D27),
    (0x10D69, 0x10D6D),
    (0x10EAB, 0x10EAC),
    (0x10EFD, 0x10EFF),
    (0x10F46, 0x10F50),
    (0x10F82, 0x10F85),
    (0x11070, 0x11070),
    (0x1133B, 0x1133B),
    (0x11382, 0x11382),
    (0x11384, 0x11384),
    (0x1138B, 0x1138B),
    (0x11390, 0x11390),
    (0x113C2, 0x113C2),
    (0x113CE, 0x113D0),
    (0x1145E, 0x1145E),
    (0x11839, 0x1183A),
    (0x11935, 0x11935),
    (0x1193D, 0x1193E),
    (0x11943, 0x11943),
    (0x119E0, 0x119E0),
    (0x11A34, 0x11A34),
    (0x11A47, 0x11A47),
    (0x11A99, 0x11A99),
    (0x11D42, 0x11D42),
    (0x11D44, 0x11D45),
    (0x11D97, 0x11D97),
    (0x11F41, 0x11F42),
    (0x1611E, 0x1611E),
    (0x16121, 0x16122),
    (0x16129, 0x16129),
    (0x1612F, 0x1612F),
    (0x16D63, 0x16D63),
    (0x16D67, 0x16D67),
    (0x16D69, 0x16D69),
    (0x16FF0, 0x16FF1),
    (0x1E08F, 0x1E08F),
    (0x1E130, 0x1E136),
    (0x1E2AE, 0x1E2AE),
    (0x1E2EC, 0x1E2EF),
    (0x1E4EC, 0x1E4EF),
    (0x1E5EE, 0x1E5EF),
)
"""First and last code point of each range for which NFC differs, in addition to ``DIVERGENT``."""


@cache
def divergent_table(normalizes: bool) -> npt.NDArray[np.bool_]:
    """Return for each code point whether a text that holds it must be encoded by HF tokenizers.

    Args:
        normalizes: whether the tokenizer has a Unicode normalizer.

    >>> table = divergent_table(normalizes=False)
    >>> text = np.frombuffer(f"{chr(0x16EA0)} a".encode("utf-32-le"), dtype=np.uint32)
    >>> table[text].tolist()
    [True, False, False]
    """
    table = np.zeros(CODE_POINTS, dtype=np.bool_)
    for first, last in DIVERGENT + DIVERGENT_NFC if normalizes else DIVERGENT:
        table[first : last + 1] = True
    table.flags.writeable = False  # all callers share it
    return table
