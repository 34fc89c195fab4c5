"""row_text: which tokens of a row are shown, and how."""

import pytest
from toys import byte_names
from views.vocabularies import tokenizer_json

from sftprep.views.report.row_text import MOST_TOKENS, ShownPart, shown_row
from sftprep.views.token_text import Cut, Part, Row
from sftprep.views.vocabulary import Vocabulary

BYTES = Vocabulary(
    tokenizer_json({name: byte for byte, name in byte_names().items()}, {"type": "ByteLevel"})
)
"""A token for each byte, with the byte as its id."""


def bytes_of(text: str) -> list[int]:
    """Return the ids of a text, one for each byte."""
    return list(text.encode())


def text_of(part: ShownPart) -> str:
    """Return the text of a part, with a mark where tokens are left out."""
    first, more = (
        "".join("\n".join(token.lines) for token in tokens) for tokens in (part.tokens, part.more)
    )
    return f"{first}|{more}" if part.left_out else first


def shown(ids: list[int], trained: list[bool] | None = None, **more: object) -> ShownPart:
    """Return the only part of a row."""
    row = Row(number=0, ids=ids, trained=trained or [False] * len(ids), **more)  # type: ignore[arg-type]
    (part,) = shown_row(row, BYTES, {}).parts
    return part


@pytest.mark.parametrize("shift", range(4))
def test_the_middle_of_a_long_row_is_left_out(shift: int) -> None:
    """What is shown and what is left out are all tokens; no character is torn apart."""
    text = "a" * shift + "您好" * 400
    ids = bytes_of(text)
    part = shown(ids)
    start, end = text_of(part).split("|")
    assert text.startswith(start)
    assert text.endswith(end)
    left_out = len(ids) - len(start.encode()) - len(end.encode())
    assert part.left_out == f"{left_out:,} tokens not shown"
    assert MOST_TOKENS - 6 <= len(ids) - left_out <= MOST_TOKENS + 6


def test_a_row_that_is_not_too_long_is_whole() -> None:
    """Nothing is left out up to the limit."""
    part = shown(bytes_of("a" * MOST_TOKENS))
    assert (part.left_out, text_of(part)) == ("", "a" * MOST_TOKENS)


def test_trained_tokens_newlines_and_cuts() -> None:
    """Each token says whether it is trained; a newline is within its token; cuts stand outside."""
    part = shown(
        bytes_of("a\nb"), [False, True, True], cuts=(Cut(0, "cut: 2 tokens"), Cut(3, "cut: 1"))
    )
    assert [(token.lines, token.kind) for token in part.tokens] == [
        (["a"], "m"),
        (["", ""], "t"),
        (["b"], "t"),
    ]
    assert (part.before, part.after) == ("cut: 2 tokens", "cut: 1")


def test_padding_is_only_named() -> None:
    """Padding has a heading and no tokens."""
    row = Row(
        number=3,
        ids=bytes_of("ab"),
        trained=[True, False],
        place="a.jsonl:1",
        parts=(Part("document", 0, 1), Part("1 token of padding", 1, 2, is_shown=False)),
    )
    found = shown_row(row, BYTES, {})
    assert (found.title, found.facts) == ("row 3, a.jsonl:1", "2 tokens, 1 trained (50.0%)")
    assert [(part.heading, text_of(part)) for part in found.parts] == [
        ("document", "a"),
        ("1 token of padding", ""),
    ]
