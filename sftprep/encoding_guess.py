"""Guesses the encoding of bytes that are not UTF-8; used only in error messages.

In     the first bytes of a file, or a line that is not valid UTF-8.
Out    the name of an encoding; "" if nothing suggests one.
Never  decodes data for use: input that is not UTF-8 is refused, whatever the guess.
"""

import re

# Longer marks come first, because the UTF-32 mark begins with the UTF-16 mark.
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "UTF-32 (little endian)",
    b"\0\0\xfe\xff": "UTF-32 (big endian)",
    b"\xff\xfe": "UTF-16 (little endian)",
    b"\xfe\xff": "UTF-16 (big endian)",
}
# JSON begins with ASCII characters, so the zero bytes among the first four show the encoding.
ZERO_BYTES: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "UTF-32 (little endian)",
    (True, True, True, False): "UTF-32 (big endian)",
    (False, True, False, True): "UTF-16 (little endian)",
    (True, False, True, False): "UTF-16 (big endian)",
}
# Sequences that lax UTF-8 writers produce: surrogates, overlong forms, values above U+10FFFF.
INVALID_UTF8 = re.compile(rb"\xed[\xa0-\xbf]|[\xc0\xc1][\x80-\xbf]|\xf4[\x90-\xbf]")


def guess_file_encoding(start: bytes) -> str:
    """Return which kind of UTF-16 or UTF-32 a file's first four bytes suggest; "" if none.

    >>> guess_file_encoding('{"a"'.encode("utf-16-le"))
    'UTF-16 (little endian)'
    """
    for mark, name in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return name
    return ZERO_BYTES.get(tuple(byte == 0 for byte in start[:4]), "")


def guess_line_encoding(line: bytes) -> str:
    """Return the encoding that a line seems to be in; "" if it seems to be damaged UTF-8.

    >>> guess_line_encoding("café noir".encode("latin-1"))
    'Windows-1252'
    """
    zeros = line.count(0)
    # Of the bytes of ASCII text, one half is zero in UTF-16, and three quarters in UTF-32.
    if 4 * zeros >= len(line) > 0:
        return "UTF-32" if 5 * zeros >= 3 * len(line) else "UTF-16"
    high_bytes = len(re.findall(rb"[\x80-\xff]", line))
    valid_characters = len(re.findall(r"[^\x00-\x7f]", line.decode(errors="ignore")))
    if 4 * valid_characters >= high_bytes or INVALID_UTF8.search(line):
        return ""
    in_runs = sum(len(run) for run in re.findall(rb"[\x80-\xff]{2,}", line))
    # In Chinese text most high bytes are next to each other; accented letters stand alone.
    if 2 * in_runs > high_bytes >= 4 and _is_text_in(line, "gb18030"):
        return "GB18030"
    return "Windows-1252" if _is_text_in(line, "cp1252") else ""


def _is_text_in(line: bytes, encoding: str) -> bool:
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c.isspace() for c in text)
