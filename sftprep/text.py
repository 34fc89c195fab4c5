"""Words for messages: how a found value, a count or a choice is written."""

from collections.abc import Iterable


def shown(value: object, limit: int = 80) -> str:
    """A found value as it may be printed: quoted, escaped, short.

    Control characters (terminal escapes among them) come out as escapes.

    >>> shown("function")
    "'function'"
    >>> shown(None)
    'null'
    """
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = ascii_safe(repr(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def ascii_safe(text: str) -> str:
    """``text`` with every character that a terminal could act on written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def choices(roles: Iterable[str]) -> str:
    """The names in words: a, b or c."""
    names = list(roles)
    return f"{', '.join(names[:-1])} or {names[-1]}"


def number(count: int, noun: str) -> str:
    """A count with its noun.

    >>> number(1, "row"), number(1234, "row")
    ('1 row', '1,234 rows')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
