"""Guesses of encodings for error messages."""

import pytest

from sftprep.encoding_guess import guess_file_encoding, guess_line_encoding


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16-le", "UTF-16 (little endian)"),
        ("utf-16-be", "UTF-16 (big endian)"),
        ("utf-32-le", "UTF-32 (little endian)"),
        ("utf-32-be", "UTF-32 (big endian)"),
    ],
)
@pytest.mark.parametrize("text", ["\ufeff价", '{"a": 1}', "[\n{"])
def test_a_wide_file_is_recognised_by_its_start(encoding: str, name: str, text: str) -> None:
    """A byte order mark or the zero bytes of ASCII characters give the encoding away."""
    assert guess_file_encoding(text.encode(encoding)[:4]) == name


@pytest.mark.parametrize(
    "start", [b"", b"{", b'{"a"', b"\xef\xbb\xbf{", "价格".encode()[:4], b"\0"]
)
def test_other_starts_are_not_guessed(start: bytes) -> None:
    """UTF-8 with or without a mark, and starts that are too short, give no guess."""
    assert guess_file_encoding(start) == ""


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('{"a": "text"}'.encode("utf-16-le"), "UTF-16"),
        ('{"a": "text"}'.encode("utf-32-be"), "UTF-32"),
        ('{"a": "café, naïve"}'.encode("cp1252"), "Windows-1252"),
        ('{"a": "“quoted”"}'.encode("cp1252"), "Windows-1252"),
        ('{"a": "价格是多少"}'.encode("gb18030"), "GB18030"),
    ],
)
def test_a_line_is_recognised_by_its_bytes(line: bytes, name: str) -> None:
    """The encodings that are most often taken for UTF-8 are named."""
    assert guess_line_encoding(line) == name


@pytest.mark.parametrize(
    "line",
    [
        b"",
        '{"a": "价'.encode() + b'\xff"}',  # UTF-8 with a damaged byte
        b'{"a": "\xc0\xaf"}',  # an overlong form
        b'{"a": "\xed\xa0\x80"}',  # an encoded surrogate
        b"\x81\x8d",  # not assigned in Windows-1252
    ],
)
def test_damaged_utf8_is_not_guessed(line: bytes) -> None:
    """Bytes that were meant as UTF-8 get no other name."""
    assert guess_line_encoding(line) == ""
