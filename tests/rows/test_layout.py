"""layout: which control tokens and runs of text a row is made of, just as HF would split it."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer as HfTokenizer
from toys import Token, byte_tokenizer, piece_tokenizer

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Piece, Rendered, Section
from sftprep.rows.builder import RowBuilder
from sftprep.rows.layout import Compiler
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.tokenizer import Tokenizer

TRAINED = True


def literal(text: str, trained: bool = False) -> Piece:
    """Text of a template."""
    return Piece(text, LITERAL, trained, Section.PROMPT)


def slot(number: int, trained: bool = False) -> Piece:
    """A place for a content."""
    return Piece("", number, trained, Section.PROMPT)


BOS = Piece("<s>", IMPLICIT_BOS, False, Section.KEPT)


def laid_out(
    tokens: Sequence[Token | str], pieces: Sequence[Piece], *contents: str, joint: bool = False
) -> list[tuple[str, bool] | str]:
    """A row's elements in order: runs as (text, trained), control tokens as their text."""
    tokenizer = byte_tokenizer(tokens, special={})
    compiler = Compiler(tokenizer.controls, joint=joint, prefixes_after=lambda _: False, count=len)
    demoted: frozenset[int] = frozenset()
    while True:
        layout = compiler.layout(pieces, demoted)
        if not (more := layout.demoted(contents)):
            break
        demoted |= more
    texts = iter(layout.texts([contents]))
    by_id = {token.id: token.content for token in tokenizer.added}
    return [
        by_id[control] if control >= 0 else (next(texts), trained)
        for control, trained in zip(layout.control.tolist(), layout.trained.tolist(), strict=True)
    ]


# --- control tokens of the template -------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        (["<a>"], "x<a>y", [("x", False), "<a>", ("y", False)]),
        (["<a>"], "<a><a>", ["<a>", "<a>"]),
        (["<a>", "<a><b>"], "<a><b><a>", ["<a><b>", "<a>"]),
        (["a", "abc"], "ab", ["a", ("b", False)]),
        (["<a>"], "<A> <a", [("<A> <a", False)]),
        ([], "x", [("x", False)]),
        ([Token("<a", normalized=True), "a>"], "<a>", [("<", False), "a>"]),
        (["<｜x｜>"], "价<｜x｜>格", [("价", False), "<｜x｜>", ("格", False)]),
    ],
)
def test_tokens_of_the_template(
    tokens: list[Token | str], text: str, expected: list[tuple[str, bool] | str]
) -> None:
    """A template's control tokens are found leftmost, then longest, the normalized ones last."""
    assert expected == laid_out(tokens, [literal(text)])


def test_content_is_never_searched() -> None:
    """A control token's text in a content is text, alone, beside a token or across pieces."""
    pieces = [literal("<a>"), slot(0), literal("b>"), slot(1)]
    expected = ["<a>", ("<a>x<ab>y</a>", False)]
    assert expected == laid_out(["<a>", "<ab>"], pieces, "<a>x<a", "y</a>")


def test_runs_are_one_text_until_the_loss_changes() -> None:
    """Template text and contents between two tokens are one run, cut where the loss turns on."""
    pieces = [literal("<a>Q: "), slot(0), literal(" A:"), literal(" ", TRAINED), slot(1, TRAINED)]
    expected = ["<a>", ("Q: q A:", False), (" r", True)]
    assert expected == laid_out(["<a>"], pieces, "q", "r")


def test_splitter_gives_back_the_text() -> None:
    """Nothing of the template's text is lost between its tokens."""
    tokens = [
        AddedToken("<a>", 1, True, False, False, False, False),
        AddedToken("<b>", 2, True, True, True, False, True),
    ]
    found = ControlTokens(tokens).split(" x<a> y <b><a>z")
    assert [" x", tokens[0], " y ", tokens[1], tokens[0], "z"] == found


# --- flags --------------------------------------------------------------------------------------

FLAGS: list[tuple[str, list[Token | str], list[Piece], tuple[str, ...], list[Any]]] = [
    (
        "lstrip",
        [Token("<a>", lstrip=True)],
        [literal("x \n<a> y")],
        (),
        [("x", 0), "<a>", (" y", 0)],
    ),
    (
        "rstrip",
        [Token("<a>", rstrip=True)],
        [literal("x <a> \ty")],
        (),
        [("x ", 0), "<a>", ("y", 0)],
    ),
    (
        "both",
        [Token("<a>", lstrip=True, rstrip=True)],
        [literal(" x <a> y ")],
        (),
        [(" x", 0), "<a>", ("y ", 0)],
    ),
    ("alone", [Token("<a>", lstrip=True, rstrip=True)], [literal("  <a>\n")], (), ["<a>"]),
    (
        "between two",
        [Token("<a>", rstrip=True), "<b>"],
        [literal("<a> \n <b> <a>")],
        (),
        ["<a>", "<b>", (" ", 0), "<a>"],
    ),
    (
        "content behind rstrip",
        [Token("<a>", rstrip=True)],
        [literal("<a>"), slot(0)],
        (" \u3000x ",),
        ["<a>", ("x ", 0)],
    ),
    (
        "content before lstrip",
        [Token("<a>", lstrip=True)],
        [slot(0), literal("<a>")],
        (" x\u2028\n",),
        [(" x", 0), "<a>"],
    ),
    (
        "content behind template space",
        [Token("<a>", rstrip=True)],
        [literal("<a> "), slot(0)],
        ("\n x",),
        ["<a>", ("x", 0)],
    ),
    (
        "no white space in Unicode's sense",
        [Token("<a>", rstrip=True)],
        [literal("<a>"), slot(0)],
        ("\x1c\u200b x",),
        ["<a>", ("\x1c\u200b x", 0)],
    ),
    (
        "single word",
        [Token("ab", single_word=True)],
        [literal("x ab y")],
        (),
        [("x ", 0), "ab", (" y", 0)],
    ),
    ("inside a word", [Token("ab", single_word=True)], [literal("xab y")], (), [("xab y", 0)]),
    ("word behind", [Token("ab", single_word=True)], [literal("x ab_")], (), [("x ab_", 0)]),
    (
        "word of a content",
        [Token("ab", single_word=True)],
        [slot(0), literal("ab"), slot(1)],
        ("x", " "),
        [("xab ", 0)],
    ),
    (
        "Chinese is a word",
        [Token("ab", single_word=True)],
        [slot(0), literal("ab"), slot(1)],
        (" ", "价"),
        [(" ab价", 0)],
    ),
    (
        "no word of a content",
        [Token("ab", single_word=True)],
        [slot(0), literal("ab"), slot(1)],
        ("x.", "!"),
        [("x.", 0), "ab", ("!", 0)],
    ),
    (
        "word beyond an empty content",
        [Token("ab", single_word=True)],
        [literal("x"), slot(0), literal("ab")],
        ("",),
        [("xab", 0)],
    ),
]


@pytest.mark.parametrize(
    ("tokens", "pieces", "contents", "expected"),
    [pytest.param(*case[1:], id=case[0]) for case in FLAGS],
)
@pytest.mark.parametrize("joint", [False, True])
def test_flags(
    tokens: list[Token | str],
    pieces: list[Piece],
    contents: tuple[str, ...],
    expected: list[Any],
    joint: bool,
) -> None:
    """What an added token's flags do to the text beside it is done, to template and content."""
    assert expected == laid_out(tokens, pieces, *contents, joint=joint)


STRIPS = Token("<a>", rstrip=True, lstrip=True)
BOUNDARIES: list[tuple[str, list[Piece], tuple[str, ...], list[Any], list[Any]]] = [
    (
        "space behind a token across the boundary",
        [literal("<a>"), slot(0, TRAINED)],
        ("  x",),
        ["<a>", ("  x", 1)],
        ["<a>", ("x", 1)],
    ),
    (
        "space before a token across the boundary",
        [slot(0), literal("<a>", TRAINED)],
        ("x  ",),
        [("x  ", 0), "<a>"],
        [("x", 0), "<a>"],
    ),
    (
        "space on its own side",
        [literal("<a>"), slot(0), slot(1, TRAINED), literal("<a>", TRAINED)],
        (" q ", " r "),
        ["<a>", ("q ", 0), (" r", 1), "<a>"],
        ["<a>", ("q ", 0), (" r", 1), "<a>"],
    ),
    (
        "a prompt of white space",
        [literal("<a>"), slot(0), slot(1, TRAINED)],
        ("  ", "  x"),
        ["<a>", ("", 0), ("  x", 1)],
        ["<a>", ("", 0), ("x", 1)],
    ),
    (
        "an answer of white space",
        [slot(0), slot(1, TRAINED), literal("<a>", TRAINED)],
        ("x  ", "  "),
        [("x  ", 0), ("", 1), "<a>"],
        [("x", 0), ("", 1), "<a>"],
    ),
]


@pytest.mark.parametrize(
    ("pieces", "contents", "split", "joint"),
    [pytest.param(*case[1:], id=case[0]) for case in BOUNDARIES],
)
def test_flags_at_a_boundary(
    pieces: list[Piece], contents: tuple[str, ...], split: list[Any], joint: list[Any]
) -> None:
    """White space is swallowed up to the boundary where it is split, and beyond where joint."""
    assert split == laid_out([STRIPS], pieces, *contents)
    assert joint == laid_out([STRIPS], pieces, *contents, joint=True)


# --- BOS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([BOS, literal("x")], ["<s>", ("x", False)]),
        ([BOS, literal("<s>x")], ["<s>", ("x", False)]),
        ([BOS, literal("<s>"), literal("<s>x")], ["<s>", ("x", False)]),
        ([BOS, literal("x<s>")], ["<s>", ("x", False), "<s>"]),
        ([literal("<s>x")], ["<s>", ("x", False)]),
        ([BOS, slot(0)], ["<s>", ("<s>y", False)]),
    ],
)
def test_bos(pieces: list[Piece], expected: list[tuple[str, bool] | str]) -> None:
    """A BOS that the template writes itself is not put in front a second time."""
    assert expected == laid_out(["<s>"], pieces, "<s>y")


# --- against HF ---------------------------------------------------------------------------------

ODD: list[Token | str] = [
    Token("<l>", lstrip=True),
    Token("<r>", rstrip=True),
    Token("<b>", lstrip=True, rstrip=True),
    Token("<w>", single_word=True),
    Token("ww", single_word=True),
    Token("<n>", normalized=True),
    Token("<n>2"),
    "<s>",
    "</s>",
]
TEXTS = ("a", " a ", "", "  ", "\n\nab \t", "价", " \u3000x", "_")
SHAPES: list[list[Piece]] = [
    [literal("x <l> y <r> z <b> "), slot(0), literal("<b>")],
    [slot(0), literal("<l>"), slot(1)],
    [slot(0), literal("<r>"), slot(1)],
    [literal(" <b> "), slot(0), literal(" <b><l><r> "), slot(1), literal(" ")],
    [slot(0), literal("ww"), slot(1)],
    [slot(0), literal("<w>"), slot(1), literal("<n>2<n>")],
    [literal("<s>"), slot(0), literal(" ww <b>"), slot(1), literal("ww</s>")],
    [literal("<r>"), slot(0), slot(1, TRAINED), literal("<l>", TRAINED)],
    [literal("<b>"), slot(0, TRAINED), literal("<b>"), slot(1, TRAINED), literal("</s>", TRAINED)],
    [slot(0, TRAINED), literal("<b>"), slot(1), literal("<l>", TRAINED)],
]
TOKENIZERS = {
    "bytes": byte_tokenizer(ODD, [(" ", "a"), (" ", " "), ("a", "b"), ("\n", "\n")], special={}),
    "always": piece_tokenizer("always", ODD),
    "first": piece_tokenizer("first", ODD),
    "never": piece_tokenizer("never", ODD),
}


def rows(
    tokenizer: Tokenizer, pieces: list[Piece], contents: Sequence[tuple[str, ...]], *, joint: bool
) -> list[tuple[list[int], list[bool]]]:
    """Ids and loss mask of each record."""
    builder = RowBuilder(
        Encoder(tokenizer, backend="hf"),
        lambda _: pieces,
        tokenizer.controls,
        joint=joint,
        with_sections=False,
    )
    batch = builder.build([Rendered(0, c) for c in contents]).batch
    ends = batch.offsets.tolist()
    return [
        (batch.input_ids[a:b].tolist(), batch.loss_mask[a:b].tolist())
        for a, b in itertools.pairwise(ends)
    ]


def filled(pieces: Sequence[Piece], contents: Sequence[str]) -> str:
    """The text of a row."""
    return "".join(contents[p.slot] if p.slot >= 0 else p.text for p in pieces)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("pieces", SHAPES)
def test_joint_is_what_hf_gives(name: str, pieces: list[Piece]) -> None:
    """With one text a boundary, the ids are HF's of the whole text, whatever the tokens' flags."""
    tokenizer = TOKENIZERS[name]
    hf = HfTokenizer.from_str(tokenizer.json)
    contents = [(a, b) for a in TEXTS for b in TEXTS]
    found = [ids for ids, _ in rows(tokenizer, pieces, contents, joint=True)]
    expected = [hf.encode(filled(pieces, c), add_special_tokens=False).ids for c in contents]
    assert dict(zip(contents, expected, strict=True)) == dict(zip(contents, found, strict=True))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_split_prompt_is_what_hf_gives(name: str) -> None:
    """With the sides apart, the ids before the loss are HF's of the prompt alone."""
    tokenizer = TOKENIZERS[name]
    hf = HfTokenizer.from_str(tokenizer.json)
    pieces = [literal("<s><b> "), slot(0), literal(" <l>:"), slot(1, TRAINED)]
    contents = [(a, b) for a in TEXTS for b in TEXTS if b]
    found = [
        [i for i, trained in zip(*row, strict=True) if not trained]
        for row in rows(tokenizer, pieces, contents, joint=False)
    ]
    expected = [hf.encode(filled(pieces[:-1], c), add_special_tokens=False).ids for c in contents]
    assert expected == found
