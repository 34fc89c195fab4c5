"""vocabulary: the bytes of each token are read from a tokenizer.json."""

import pytest
from tokenizers import Tokenizer
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER
from views.vocabularies import BYTE_LEVEL, SENTENCE_PIECE, tokenizer_json

from sftprep.errors import DataError
from sftprep.views.vocabulary import Token, Vocabulary


def test_a_byte_level_token_is_its_bytes() -> None:
    """A byte-level token is a sequence of bytes, which need not be whole characters."""
    found = [BYTE_LEVEL.token(number) for number in (0, 1, 2, 3, 4)]

    assert found == [
        Token(b"Hi", False),
        Token(b" there", False),
        Token(b"\n", False),
        Token(b"\xe4\xb8", False),
        Token(b"\xad", False),
    ]


def test_a_sentence_piece_token_is_its_text_or_one_byte() -> None:
    """``▁`` is a space and ``<0xE4>`` is a byte; all else is text."""
    found = [SENTENCE_PIECE.token(number) for number in (3, 4, 5, 8)]

    assert found == [
        Token(b" Hi", False),
        Token(b" ", False),
        Token(b"\xe4", False),
        Token("文".encode(), False),
    ]


def test_added_tokens_are_control_tokens_unless_they_are_white_space() -> None:
    """An added token of spaces is text; one that the model's vocabulary also has is control."""
    assert BYTE_LEVEL.token(20) == Token(b"<|user|>", True)
    assert BYTE_LEVEL.token(22) == Token(b"  ", False)
    assert SENTENCE_PIECE.token(1) == Token(b"<s>", True)


def test_a_unigram_vocabulary_is_read_too() -> None:
    """A Unigram model lists its tokens in the order of ids; Metaspace says what a space is."""
    decoder = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    vocabulary = Vocabulary(tokenizer_json([["<unk>", 0.0], ["▁a", -1.0]], decoder))

    assert vocabulary.token(1) == Token(b" a", False)


def test_tokens_of_other_families_are_text_as_written() -> None:
    """WordPiece tokens, and tokens of a tokenizer without a decoder, are their own text."""
    word_piece = Vocabulary(tokenizer_json({"##ing": 0}, {"type": "WordPiece", "prefix": "##"}))
    bare = Vocabulary(tokenizer_json({"<0x41>": 0}, None))

    assert word_piece.token(0) == Token(b"##ing", False)
    assert bare.token(0) == Token(b"<0x41>", False)


def test_an_unknown_id_gives_a_sign() -> None:
    """An id that no token has is shown by its number, and does not fail."""
    assert BYTE_LEVEL.token(99) == Token("‹no token 99›".encode(), True)


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"model": {"vocab": {}}}'])
def test_a_damaged_tokenizer_file_is_a_data_error(text: str) -> None:
    """A text that is not a tokenizer.json is refused, and the error names the file."""
    with pytest.raises(
        DataError, match=r"^x/tokenizer\.json: is damaged, or not a tokenizer\.json: "
    ):
        Vocabulary(text, "x/tokenizer.json")


@pytest.mark.parametrize("name", ["messages.jsonl", "prompt_completion.jsonl", "sharegpt.jsonl"])
def test_the_tokens_of_a_text_have_the_bytes_of_the_text(name: str) -> None:
    """The bytes of all tokens that HF gives for a text are the bytes of the text."""
    path = SAMPLE_TOKENIZER / "tokenizer.json"
    vocabulary, tokenizer = Vocabulary(path.read_bytes()), Tokenizer.from_file(str(path))
    text = (SAMPLE_DATA / name).read_text("utf-8") + "👩‍👩‍👧 \x00 \u3000 ſ"

    ids = tokenizer.encode(text, add_special_tokens=False).ids

    assert b"".join(vocabulary.token(number).data for number in ids) == text.encode()
