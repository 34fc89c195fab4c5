"""Lay lines out for the width of a terminal.

In     text, with or without ANSI colours; the number of columns.
Out    the same text with more line breaks: between words, or between the characters of a script
       without spaces. Only a word that is longer than a line is broken.
Keeps  every character, its colour, and every line break. Wide characters (中) count as two columns.
Never  loads ``rich`` if all lines are short enough.
"""

import re

ANSI = re.compile(r"\x1b\[[\d;]*m")


def fit(text: str, width: int | None) -> str:
    """Break the lines of a text that are longer than the terminal is wide.

    Args:
        text: the text.
        width: the number of columns; None if the text goes to no terminal, and stays as it is.
    """
    if width is None:
        return text
    lines = text.split("\n")
    if all(len(line) * 2 <= width for line in lines):
        return text
    from rich.cells import cell_len

    return "\n".join(
        line if cell_len(ANSI.sub("", line)) <= width else _broken(line, width) for line in lines
    )


def _broken(line: str, width: int) -> str:
    """Break one line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=width, force_terminal=True, color_system="standard", no_color=False)
    styled = Text.from_ansi(line)
    parts = styled.divide(_breaks(styled.plain, width))
    if not ANSI.search(line):
        return "\n".join(part.plain for part in parts)
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=True, highlight=False)
    return captured.get().removesuffix("\n")


def _breaks(text: str, width: int) -> list[int]:
    """Return the positions at which a line is broken."""
    from rich.cells import cell_len

    found: list[int] = []
    used = 0
    for begin, word in _words(text):
        start, rest = begin, word
        if used and used + cell_len(word.rstrip(" ")) > width:
            found.append(start)
            used = 0
        while cell_len(rest) > width:  # a word that is longer than a line
            fits = _fitting(rest, width)
            start, rest = start + fits, rest[fits:]
            if rest:
                found.append(start)
        used += cell_len(rest)
    return found


def _fitting(word: str, width: int) -> int:
    """Return how many characters of a word fit into a line; at least one."""
    from rich.cells import cell_len

    used = 0
    for count, character in enumerate(word):
        used += cell_len(character)
        if used > width:
            return max(count, 1)
    return len(word)


WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]|"
                  r"[^\s\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]*\s*")  # fmt: skip


def _words(text: str) -> list[tuple[int, str]]:
    """Return the words of a line, each with the spaces behind it, and where each begins."""
    return [(match.start(), match[0]) for match in WORD.finditer(text) if match[0]]
