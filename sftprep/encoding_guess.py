"""What encoding bytes are likely to be in, where they are not UTF-8: for error messages alone.

In     the first bytes of a file, or a line that is not valid UTF-8.
Out    an encoding's name, or "" where nothing speaks for one.
Never  decodes data for use: what is not UTF-8 is refused, whatever it looks like.
"""

import re

MARKS = {  # the longer ones first: one begins like another
    b"\xff\xfe\0\0": "UTF-32 (little endian)",
    b"\0\0\xfe\xff": "UTF-32 (big endian)",
    b"\xff\xfe": "UTF-16 (little endian)",
    b"\xfe\xff": "UTF-16 (big endian)",
}
# Which of the first four bytes are 0, where the first characters of JSON are ASCII.
ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "UTF-32 (little endian)",
    (True, True, True, False): "UTF-32 (big endian)",
    (False, True, False, True): "UTF-16 (little endian)",
    (True, False, True, False): "UTF-16 (big endian)",
}
# Surrogates, overlong forms and values above U+10FFFF: meant as UTF-8 all the same.
NOT_QUITE = re.compile(rb"\xed[\xa0-\xbf]|[\xc0\xc1][\x80-\xbf]|\xf4[\x90-\xbf]")


def of_file(start: bytes) -> str:
    """The encoding of a file in UTF-16 or UTF-32, by its first four bytes.

    >>> of_file('{"a"'.encode("utf-16-le"))
    'UTF-16 (little endian)'
    """
    marked = (name for mark, name in MARKS.items() if start.startswith(mark))
    return next(marked, ZEROS.get(tuple(byte == 0 for byte in start[:4]), ""))


def of_line(line: bytes) -> str:
    """The encoding that a line seems to be in.

    >>> of_line("café noir".encode("latin-1"))
    'Windows-1252'
    """
    zeros = line.count(0)
    if 4 * zeros >= len(line) > 0:  # ASCII has a zero in every second byte, or three in four
        return "UTF-32" if 5 * zeros >= 3 * len(line) else "UTF-16"
    high = len(re.findall(rb"[\x80-\xff]", line))
    valid = len(re.findall(r"[^\x00-\x7f]", line.decode(errors="ignore")))
    if 4 * valid >= high or NOT_QUITE.search(line):  # it is UTF-8, but damaged
        return ""
    together = sum(len(run) for run in re.findall(rb"[\x80-\xff]{2,}", line))
    if 2 * together > high >= 4 and _reads(line, "gb18030"):  # not accents among letters
        return "GB18030"
    return "Windows-1252" if _reads(line, "cp1252") else ""


def _reads(line: bytes, encoding: str) -> bool:
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c.isspace() for c in text)
