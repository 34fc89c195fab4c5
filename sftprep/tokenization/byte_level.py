"""The alphabet of byte-level BPE: each byte is written as one printable character.

GPT-2 introduced it: printable Latin-1 characters stand for themselves, and the other bytes follow
in order from U+0100 on. So a space is ``Ġ`` and a newline is ``Ċ``.
"""


def _alphabet() -> dict[str, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTE_OF = _alphabet()
"""The byte that each character of the alphabet stands for."""


def bytes_of_characters(string: str) -> bytes:
    """Return the bytes of a byte-level token.

    A string that has a character outside the alphabet, such as an added token, is not in this
    alphabet: it stands for its own UTF-8 bytes.

    >>> bytes_of_characters("ĠcafÃ©").decode()
    ' café'
    """
    if all(c in BYTE_OF for c in string):
        return bytes(BYTE_OF[c] for c in string)
    return string.encode()
