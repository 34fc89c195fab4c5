"""The alphabet of byte-level BPE."""

import pytest
from tokenizers import pre_tokenizers
from toys import byte_names

from sftprep.tokenization.byte_level import BYTE_OF, bytes_of_characters


def test_every_byte_has_its_own_character() -> None:
    """The alphabet has 256 characters, one per byte: those that HF tokenizers know."""
    assert sorted(BYTE_OF.values()) == list(range(256))
    assert {byte: character for character, byte in BYTE_OF.items()} == byte_names()
    assert set(pre_tokenizers.ByteLevel.alphabet()) == set(BYTE_OF)


@pytest.mark.parametrize("text", [" café", "\n\t\0", "价格", "\xad\x7f"])
def test_bytes_as_hf_writes_them(text: str) -> None:
    """What HF's byte-level pre-tokenizer writes is read back as the text's bytes."""
    step = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    [(written, _)] = step.pre_tokenize_str(text)
    assert bytes_of_characters(written) == text.encode()


@pytest.mark.parametrize("string", ["<|价|>", "a b", "▁a"])
def test_other_strings_stand_for_themselves(string: str) -> None:
    """A string with a character outside the alphabet is not written byte by byte."""
    assert bytes_of_characters(string) == string.encode()
