"""Numbers as options write them, read exactly: ``100``, ``5.5%``, ``2.5``.

In     an option's name and the text of its value.
Out    an int, or a fraction without rounding.
Raises UsageError: the text is not of that form.
"""

import re
from fractions import Fraction

from sftprep.errors import UsageError
from sftprep.text import flag, shown

AMOUNT = re.compile(r"[0-9]{1,18}|[0-9]{1,3}(\.[0-9]{1,18})?%")
DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


def parse_amount(text: str, name: str) -> int | Fraction:
    """Read a number, or a percentage as a fraction of 1.

    >>> parse_amount("100", "sample"), parse_amount("5.5%", "sample")
    (100, Fraction(11, 200))
    """
    if not AMOUNT.fullmatch(text):
        raise UsageError(
            f"{flag(name)} is {shown(text)}; expected a number or a percentage, e.g. 100 or 0.1%."
        )
    return Fraction(text[:-1]) / 100 if text.endswith("%") else int(text)


def parse_factor(text: str, entry: str, most: int = 1000) -> Fraction:
    """Read the factor of an entry of ``--repeat``: a decimal number above 0.

    >>> parse_factor("2.5", "a=2.5")
    Fraction(5, 2)
    """
    factor = Fraction(text) if DECIMAL.fullmatch(text) else Fraction(0)
    if not 0 < factor <= most:
        raise UsageError(
            f"--repeat {shown(entry)}: the factor is {shown(text)}; expected a number above 0, at "
            f"most {most:,}, e.g. 2.5."
        )
    return factor
