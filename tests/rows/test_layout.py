"""The layout of a shape: the control tokens and runs of text that HF would see in a row."""

from collections.abc import Sequence
from typing import Any

import pytest
from toys import Token, byte_tokenizer

from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Piece, Section
from sftprep.rows.layout import NOTHING_DEMOTED, LayoutCompiler, SpecialTokens

TRAINED = True


def literal(text: str, trained: bool = False) -> Piece:
    """Template text."""
    return Piece(text, LITERAL, trained, Section.PROMPT)


def slot(number: int, trained: bool = False) -> Piece:
    """A place for a content."""
    return Piece("", number, trained, Section.PROMPT)


BOS = Piece("<s>", IMPLICIT_BOS, False, Section.KEPT)


def compiler(tokens: Sequence[Token | str] = (), *, joint: bool = False) -> LayoutCompiler:
    """A compiler for a tokenizer that adds no spaces, and whose tokens are characters."""
    return LayoutCompiler(
        byte_tokenizer(tokens, special={}).controls,
        joint=joint,
        adds_space_after=lambda _: False,
        count_tokens=len,
    )


def laid_out(
    tokens: Sequence[Token | str], pieces: Sequence[Piece], *contents: str, joint: bool = False
) -> list[tuple[str, bool] | str]:
    """A row's elements in order: runs as (text, trained), control tokens as their text."""
    tokenizer = byte_tokenizer(tokens, special={})
    layouts = compiler(tokens, joint=joint)
    demoted = NOTHING_DEMOTED
    while True:
        layout = layouts.layout(pieces, demoted)
        if not (more := layout.demoted(contents, lambda c: c.isalnum() or c == "_")):
            break
        demoted |= more
    texts = iter(layout.texts([contents]))
    by_id = {token.id: token.content for token in tokenizer.added}
    return [
        by_id[control] if control >= 0 else (next(texts), trained)
        for control, trained in zip(layout.control.tolist(), layout.trained.tolist(), strict=True)
    ]


# --- control tokens and runs --------------------------------------------------------------------


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
    """Control tokens in template text are found leftmost, then longest, normalized ones last."""
    assert expected == laid_out(tokens, [literal(text)])


def test_content_is_never_searched() -> None:
    """The text of a control token in a content is text: alone, next to a token, across pieces."""
    pieces = [literal("<a>"), slot(0), literal("b>"), slot(1)]
    expected = ["<a>", ("<a>x<ab>y</a>", False)]
    assert expected == laid_out(["<a>", "<ab>"], pieces, "<a>x<a", "y</a>")


def test_runs_are_one_text_until_the_loss_changes() -> None:
    """All text between two tokens is one run; where the loss turns on, a new run starts."""
    pieces = [literal("<a>Q: "), slot(0), literal(" A:"), literal(" ", TRAINED), slot(1, TRAINED)]
    expected = ["<a>", ("Q: q A:", False), (" r", True)]
    assert expected == laid_out(["<a>"], pieces, "q", "r")


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
        "content after rstrip",
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
        "content after template space",
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
    ("word after", [Token("ab", single_word=True)], [literal("x ab_")], (), [("x ab_", 0)]),
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
    """The flags of an added token change the text next to it, template text and contents."""
    assert expected == laid_out(tokens, pieces, *contents, joint=joint)


STRIPS = Token("<a>", rstrip=True, lstrip=True)
BOUNDARIES: list[tuple[str, list[Piece], tuple[str, ...], list[Any], list[Any]]] = [
    (
        "space after a token across the boundary",
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
    """A token swallows white space up to the boundary with ``split``, beyond it with ``joint``."""
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
    """A BOS that the template writes first replaces the one that the tokenizer adds."""
    assert expected == laid_out(["<s>"], pieces, "<s>y")


# --- columns ------------------------------------------------------------------------------------


def test_chains() -> None:
    """Runs of one text form a chain; a control token between two runs ends it."""
    pieces = [slot(0), slot(1, TRAINED), slot(2), literal("<a>"), slot(0), slot(1, TRAINED)]
    layout = compiler(["<a>"]).layout([*pieces, literal("<a>"), slot(2)])
    assert layout.chains == ((0, 2), (3, 4))
    assert [run.chained for run in layout.runs] == [False, True, True, False, True, False]
    trained = [False, True, False, False, True, False]
    assert [run.trained for run in layout.runs] == trained


def test_runs_before_which_the_tokenizer_adds_no_space() -> None:
    """Text precedes a run in its chain, or a token after which the tokenizer adds no space."""
    tokens = ["<s>", "<a>", "<b>"]
    controls = byte_tokenizer(tokens, special={}).controls
    layouts = LayoutCompiler(
        controls, joint=False, adds_space_after=lambda t: t.content == "<b>", count_tokens=len
    )
    pieces = [slot(0), literal("<a>"), slot(0), slot(0, TRAINED), literal("<b>"), slot(0)]
    continued = [run.continued for run in layouts.layout(pieces).runs]
    assert continued == [False, True, True, False]
    [run] = layouts.layout([BOS, slot(0)]).runs  # the tokenizer's own BOS is no text
    assert not run.continued
    [run] = layouts.layout([literal("<s>"), slot(0)]).runs
    assert run.continued


def test_kept_template_text() -> None:
    """At the ends of a prompt's run, the tokens of KEPT template text are counted."""
    kept = Piece("Q: ", LITERAL, False, Section.KEPT)
    after = Piece("\nA:", LITERAL, False, Section.KEPT)
    layout = compiler().layout([kept, slot(0), after])
    assert (layout.kept_left.tolist(), layout.kept_right.tolist()) == ([3], [3])
    assert layout.section.tolist() == [Section.PROMPT]
    layout = compiler().layout([slot(0), kept, slot(1)])
    assert (layout.kept_left.tolist(), layout.kept_right.tolist()) == ([0], [0])
    layout = compiler().layout([kept])  # nothing in it may be cut
    assert (layout.kept_left.tolist(), layout.section.tolist()) == ([0], [Section.KEPT])


# --- what ends an answer ------------------------------------------------------------------------


def ends(
    tokens: Sequence[Token | str],
    pieces: Sequence[Piece],
    *answers: int,
    stops: Sequence[str] = (),
    demoted: frozenset[int] = NOTHING_DEMOTED,
) -> list[tuple[str, int, int]]:
    """What ends each answer: the token's text, or the run and the tokens after its content."""
    tokenizer = byte_tokenizer(tokens, special={})
    compiled = LayoutCompiler(
        tokenizer.controls,
        joint=False,
        adds_space_after=lambda _: False,
        count_tokens=len,
        special=SpecialTokens(stops),
    )
    by_id = {-1: "", **{token.id: token.content for token in tokenizer.added}}
    layout = compiled.layout(pieces, demoted, answers)
    return [(by_id[end.token], end.run, end.after) for end in layout.answers]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("<e>", ("<e>", -1, 0)),
        ("<e>\n", ("<e>", -1, 0)),
        (".<e>", ("<e>", -1, 0)),
        ("<x><e>", ("<e>", -1, 0)),  # the stop token ends it, whatever comes before
        ("<x>\n", ("<x>", -1, 0)),  # no stop token, but a control token
        ("..", ("", 2, 2)),  # the third run: "A" and the answer are two, as their loss differs
        ("", ("", 2, 0)),
    ],
)
def test_what_ends_an_answer(after: str, expected: tuple[str, int, int]) -> None:
    """A control token of the template behind the last content ends it; if there is none, text."""
    text = [literal(after, trained=True)] if after else []
    pieces = [literal("<x>Q"), slot(0), literal("<e>A"), slot(1, trained=True), *text]
    untrained = [literal("<e>")]  # it is not trained, so it ends nothing
    assert ends(["<e>", "<x>"], pieces, len(pieces), stops=["<e>"]) == [expected]
    found = ends(["<e>", "<x>"], [*pieces, *untrained], len(pieces), stops=["<e>"])
    assert found == [expected]


def test_what_ends_several_answers() -> None:
    """Each answer has an end of its own, also where all text is trained."""
    pieces = [
        slot(0, trained=True), literal("<e>", trained=True), literal("<x>", trained=True),
        slot(1, trained=True), literal(".", trained=True),
    ]  # fmt: skip
    assert ends(["<e>", "<x>"], pieces, 2, 5) == [("<e>", -1, 0), ("", 1, 1)]
    assert ends(["<e>", "<x>"], pieces, 1) == [("", 0, 0)]


def test_a_demoted_token_ends_no_answer() -> None:
    """Next to a word a ``single_word`` token is text."""
    word = Token("end", single_word=True)
    pieces = [slot(0, trained=True), literal("end", trained=True)]
    assert ends([word], pieces, 2) == [("end", -1, 0)]
    assert ends([word], pieces, 2, demoted=frozenset({1})) == [("", 0, 3)]
