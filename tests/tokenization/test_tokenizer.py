"""A loaded tokenizer as plain data."""

import json

from toys import Token, byte_tokenizer, piece_tokenizer


def test_controls() -> None:
    """All added tokens except those of white space are control tokens, flagged special or not."""
    tokens: list[Token | str] = [
        "</s>",
        Token("<u>", special=False),
        Token("  ", special=False),
        Token("\n"),
    ]
    tokenizer = byte_tokenizer(tokens)
    assert list(tokenizer.controls) == ["</s>", "<u>"]
    assert list(tokenizer.ids) == ["</s>", "<u>", "  ", "\n"]


def test_stripped() -> None:
    """Of the added tokens, those of white space and the allowed ones stay, with their ids."""
    tokenizer = byte_tokenizer(["<s>", Token("  ", special=False), "</s>", "<u>"])
    state = json.loads(tokenizer.stripped_json(["<u>"]))
    assert [(t["content"], t["id"]) for t in state["added_tokens"]] == [("  ", 257), ("<u>", 259)]
    assert (state["model"]["vocab"]["  "], state["model"]["vocab"]["<u>"]) == (257, 259)
    assert tokenizer.ids == {"<s>": 256, "  ": 257, "</s>": 258, "<u>": 259}


def test_special_id() -> None:
    """A special token that the tokenizer does not have has no id."""
    tokenizer = byte_tokenizer(["</s>"], special={"eos": "</s>", "pad": "gone"})
    assert [tokenizer.special_id(role) for role in ("eos", "pad", "bos")] == [256, None, None]


def test_light() -> None:
    """For workers, the tokens stay, and vocabulary and files are left out."""
    tokenizer = piece_tokenizer("first")
    light = tokenizer.light()
    assert (light.json, light.files, light.chat_templates) == ("", {}, {})
    assert (light.controls, light.special, light.size) == (
        tokenizer.controls,
        tokenizer.special,
        tokenizer.size,
    )


def test_sha256_is_that_of_what_decides_the_ids() -> None:
    """Another vocabulary is another SHA-256; the name is not part of it."""
    one, other = byte_tokenizer(), byte_tokenizer(merges=[("a", "b")])
    assert one.sha256 == byte_tokenizer().sha256 != other.sha256
