"""Words for messages: how values, names, options, counts and suggestions are written."""

from collections.abc import Iterable


def shown(value: object, limit: int = 80) -> str:
    """Return a value as it appears in a message: quoted, escaped, and at most ``limit`` long.

    Control characters, such as those of terminal escape sequences, are written as escapes. Of an
    object or a list, only the size is shown.

    >>> shown("function")
    "'function'"
    >>> shown(None)
    'null'
    >>> shown([1, 2])
    'a list of 2 items'
    """
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"an object with {number(len(value), 'field')}"
    if isinstance(value, list):
        return f"a list of {number(len(value), 'item')}"
    try:
        text = ascii_safe(repr(value))
    except ValueError:  # Python refuses to write an integer of more than 4,300 digits
        text = "a very large number"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def ascii_safe(text: str) -> str:
    r"""Return ``text`` with every character that a terminal could act on written as an escape.

    >>> ascii_safe("a\x1b[31m")
    'a\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


NEAR = 0.66
"""Two names are near each other if ``difflib`` finds them similar by at least this ratio."""


def quoted(text: str) -> str:
    r"""Return a text in quotes, with all that cannot be seen in it written as escapes.

    Accents that are characters of their own are escapes too.

    >>> print(quoted("Cafe\u0301 "), quoted("Caf\u00e9"))
    'Cafe\u0301 ' 'Café'
    """
    safe = ascii_safe(repr(text))
    return "".join(f"\\u{ord(c):04x}" if "\u0300" <= c <= "\u036f" else c for c in safe)


def alternatives(names: Iterable[str]) -> str:
    """Join names with commas and "or".

    >>> alternatives(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a sentence that suggests the known name closest to ``name``.

    Args:
        name: a name that is not known.
        known: the known names.
        otherwise: the sentence to return if no known name is close.

    >>> did_you_mean("mesages", ["messages", "sharegpt"], "Choose another.")
    "Did you mean 'messages'?"
    """
    found = nearest(name, known)
    return f"Did you mean {found!r}?" if found else otherwise


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that ``name`` may be a misspelling of; "" if none is near.

    Upper and lower case, hyphens and underscores make no difference. The only name that begins with
    ``name`` is near, too.

    >>> nearest("mesages", ["messages", "sharegpt"]), nearest("tokens", ["--workers", "--output"])
    ('messages', '')
    """
    from difflib import get_close_matches  # only needed for errors

    plain, wanted = {_plain(each): each for each in known}, _plain(name)
    longer = [each for each in plain if each.startswith(wanted) and len(wanted) > 1]
    close = get_close_matches(wanted, list(plain), 1, NEAR) or (longer if len(longer) == 1 else [])
    return plain[close[0]] if close else ""


def _plain(name: str) -> str:
    return name.strip("-").replace("_", "-").casefold()


def flag(name: str) -> str:
    """Return an option's flag on the command line.

    >>> flag("max_length")
    '--max-length'
    """
    return "--" + name.replace("_", "-")


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(0.94), duration(75), duration(3 * 3600 + 120)
    ('0.9 s', '1 min 15 s', '3 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: float) -> str:
    """Return a number of bytes in words, in powers of 1,000.

    >>> size(512), size(14_200), size(3.04e9)
    ('512 bytes', '14.2 KB', '3.0 GB')
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return number(int(count), "byte")


def number(count: int, noun: str) -> str:
    """Return a count with its noun in the singular or plural.

    >>> number(1, "row"), number(1234, "row")
    ('1 row', '1,234 rows')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
