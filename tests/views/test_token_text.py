"""token_text: how tokens are shown, with colour and without."""

from views.vocabularies import BYTE_LEVEL, SENTENCE_PIECE

from sftprep.views.token_text import Look, Row, Unit, legend, paint, show_row, units
from sftprep.views.vocabulary import Vocabulary


def plain(vocabulary: Vocabulary, ids: list[int], trained: str) -> str:
    """Show a row without colour; ``trained`` has an x for each trained token."""
    return paint(units(vocabulary, ids, [mark == "x" for mark in trained]), colour=False)


def coloured(vocabulary: Vocabulary, ids: list[int], trained: str) -> str:
    """Show a row in colour; escape sequences are written as ``{...}`` and a reset as ``{}``."""
    text = paint(units(vocabulary, ids, [mark == "x" for mark in trained]), colour=True)
    return text.replace("\x1b[0m", "{}").replace("\x1b[", "{").replace("m", "}")


def test_trained_tokens_are_in_brackets() -> None:
    """Without colour, brackets hold trained tokens; dots separate tokens, except control tokens."""
    assert plain(BYTE_LEVEL, [20, 0, 1, 0, 10, 21], "---xxx") == (
        "<|user|>Hi· there⟦Hi·.<|end|>⟧"
    )  # fmt: skip


def test_each_trained_span_has_its_own_brackets() -> None:
    """Two trained spans in one row are two pairs of brackets."""
    assert plain(BYTE_LEVEL, [0, 21, 20, 0, 21], "xx-xx") == "⟦Hi<|end|>⟧<|user|>⟦Hi<|end|>⟧"


def test_the_line_is_broken_after_the_sign_of_a_newline() -> None:
    """A dot or bracket after a newline is at the end of the line, not on the next."""
    assert plain(BYTE_LEVEL, [0, 2, 0, 5, 0, 2], "--xxx-") == "Hi·↵\n⟦Hi·↵\n↵·\nHi⟧↵"
    assert plain(BYTE_LEVEL, [0, 2, 0], "xx-") == "⟦Hi·↵⟧\nHi"
    assert plain(BYTE_LEVEL, [2, 2], "--") == "↵·\n↵"


def test_colours_tell_trained_and_control_tokens() -> None:
    """Trained is green, all else dim, a control token in reverse, every other token underlined."""
    assert coloured(BYTE_LEVEL, [20, 20, 0, 1, 0, 10, 21], "----xxx") == (
        "{2;7}<|user|>{}{2;7;4}<|user|>{}{2}Hi{}{2;4} there{}{32}Hi{}{32;4}.{}{32;7}<|end|>{}"
    )


def test_no_colour_crosses_a_line_break() -> None:
    """Each line resets its colour, and the line break at the end of the row is left out."""
    assert coloured(BYTE_LEVEL, [0, 5, 2], "x--") == "{32}Hi{}{2;4}↵{}\n{2;4}↵{}\n{2}↵{}"


def test_a_character_of_several_tokens_is_shown_whole() -> None:
    """Tokens that share a character are one unit."""
    assert plain(BYTE_LEVEL, [0, 3, 4, 0], "----") == "Hi·中·Hi"
    assert plain(BYTE_LEVEL, [6, 4, 0], "xxx") == "⟦ 中·Hi⟧"
    assert coloured(BYTE_LEVEL, [0, 3, 4, 0], "-xxx") == "{2}Hi{}{32;4}中{}{32}Hi{}"
    assert plain(SENTENCE_PIECE, [1, 3, 5, 6, 7, 8], "--xxxx") == "<s> Hi⟦中·文⟧"


def test_bytes_that_are_no_character_are_escapes() -> None:
    """Bytes that form no character are shown as escapes; the tokens after them are not affected."""
    assert plain(BYTE_LEVEL, [3, 0], "--") == r"\xe4\xb8·Hi"
    assert plain(BYTE_LEVEL, [3, 21], "--") == r"\xe4\xb8<|end|>"
    assert plain(BYTE_LEVEL, [4, 4], "--") == r"\xad·\xad"
    assert plain(BYTE_LEVEL, [0, 3], "xx") == r"⟦Hi·\xe4\xb8⟧"
    assert plain(BYTE_LEVEL, [7, 0], "--") == r"\xad文\x9f·Hi"
    assert plain(SENTENCE_PIECE, [5, 3], "--") == r"\xe4· Hi"


def test_a_character_that_is_trained_in_part_is_shown_as_bytes() -> None:
    """A character whose second token alone is trained is shown as the bytes of each token."""
    assert plain(BYTE_LEVEL, [3, 4], "-x") == r"\xe4\xb8⟦\xad⟧"


def test_units_without_boundaries_have_no_dots() -> None:
    """If units are not tokens, neither a dot nor an underline separates them."""
    shown = [Unit("Hi", False), Unit(" there", False), Unit("Oh", True)]
    assert paint(shown, colour=False, boundaries=False) == "Hi there⟦Oh⟧"
    assert "\x1b[2;4m" not in paint(shown, colour=True, boundaries=False)


def test_an_unknown_id_is_shown_as_a_control_token() -> None:
    """A row of another tokenizer is shown, with a sign for each id that no token has."""
    assert plain(BYTE_LEVEL, [0, 99], "--") == "Hi‹no token 99›"


def test_control_characters_are_escapes() -> None:
    """Data cannot act on the terminal: escape sequences, tabs and direction marks are escapes."""
    assert plain(BYTE_LEVEL, [8, 9, 12], "---") == r"\x9b[2J·\t·\u202e"
    assert plain(SENTENCE_PIECE, [11, 9], "--") == "\\x1b·↵"
    assert "\x1b" not in plain(SENTENCE_PIECE, [11], "-")
    assert coloured(SENTENCE_PIECE, [11], "-") == r"{2}\x1b{}"


def test_an_empty_row_has_a_heading() -> None:
    """A row without tokens is shown as a heading and an empty line."""
    row = Row(number=0, ids=[], trained=[])

    assert show_row(row, BYTE_LEVEL, Look()) == "row 0: 0 tokens, 0 trained\n"


def test_a_heading_tells_length_share_and_place() -> None:
    """A row has a heading, a line that counts its control tokens, and a line per remark."""
    row = Row(
        number=1234,
        ids=[20, 0, 21, 20, 0, 21],
        trained=[False, False, False, False, True, True],
        place="a\x1b.jsonl:7",
        remarks=("cut to --max-length",),
    )

    assert show_row(row, BYTE_LEVEL, Look()) == (
        "row 1,234: 6 tokens, 2 trained (33.3%), a\\x1b.jsonl:7\n"
        "  control tokens: 2 <|user|> (id 20), 2 <|end|> (id 21, 1 trained)\n"
        "  cut to --max-length\n"
        "<|user|>Hi<|end|><|user|>⟦Hi<|end|>⟧"
    )


def test_a_heading_is_bold_in_colour() -> None:
    """The heading is bold; the lines below it have no style, since colours mark tokens."""
    row = Row(number=0, ids=[21], trained=[True])

    assert show_row(row, BYTE_LEVEL, Look(colour=True)) == (
        "\x1b[1mrow 0: 1 token, 1 trained (100.0%)\x1b[0m\n"
        "  control tokens: 1 <|end|> (id 21, 1 trained)\n"
        "\x1b[32;7m<|end|>\x1b[0m"
    )


def test_a_legend_explains_each_way_of_showing() -> None:
    """Colours and marks are explained, with token boundaries and, for templates, without."""
    assert legend(colour=False) == (
        "⟦trained⟧, all else not trained; · between tokens, but not inside a character; ↵ newline"
    )
    assert legend(colour=False, boundaries=False) == "⟦trained⟧, all else not trained; ↵ newline"
    assert legend(colour=True) == (
        "\x1b[32mtrained\x1b[0m, \x1b[2mnot trained\x1b[0m, \x1b[2;7mcontrol token\x1b[0m, "
        "\x1b[32;7mtrained one\x1b[0m, every\x1b[4m other\x1b[0m token\x1b[4m underlined\x1b[0m, "
        "↵ newline"
    )
    assert legend(colour=True, boundaries=False) == (
        "\x1b[32mtrained\x1b[0m, \x1b[2mnot trained\x1b[0m, \x1b[2;7mcontrol token\x1b[0m, "
        "\x1b[32;7mtrained one\x1b[0m, ↵ newline"
    )
