"""The rows of a block: every record gets its own row, with the ids that HF tokenizers give."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer as HfTokenizer
from toys import Token, byte_tokenizer, piece_tokenizer

from sftprep.data.batch import Batch
from sftprep.data.control_tokens import AddedToken
from sftprep.data.pieces import LITERAL, Piece, Rendered, Section
from sftprep.data.ragged import Ids, Offsets, Ragged
from sftprep.data.runs import EncodedRuns, Places, TextRuns
from sftprep.rows.builder import RowBuilder
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.tokenizer import Tokenizer

TRAINED = True


def literal(text: str, trained: bool = False) -> Piece:
    """Template text."""
    return Piece(text, LITERAL, trained, Section.PROMPT)


def slot(number: int, trained: bool = False) -> Piece:
    """A place for a content."""
    return Piece("", number, trained, Section.PROMPT)


def rows_of(batch: Batch) -> list[tuple[list[int], list[bool]]]:
    """Ids and loss mask of each row."""
    return [
        (batch.input_ids[a:b].tolist(), batch.loss_mask[a:b].tolist())
        for a, b in itertools.pairwise(batch.offsets.tolist())
    ]


# --- any encoder --------------------------------------------------------------------------------


class Characters:
    """A run encoder whose ids are code points. It keeps what it was asked to encode.

    ``!`` becomes a forbidden id, and a chain is unclean if it holds ``~``.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[TextRuns, bool]] = []

    def encode_runs(self, runs: TextRuns, *, joint: bool) -> EncodedRuns:
        """Encode each run by itself, whatever ``joint`` says."""
        self.asked.append((runs, joint))
        chains = zip(runs.chains.first.tolist(), runs.chains.last.tolist(), strict=True)
        unclean = ["~" in "".join(runs.texts[first : last + 1]) for first, last in chains]
        ids = Ragged.of([list(map(ord, text)) for text in runs.texts])
        return EncodedRuns(ids, np.array(unclean, np.bool_))

    def count_tokens(self, text: str) -> int:
        """One token per character."""
        return len(text)

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """One token per character."""
        starts = np.arange(len(text))
        return np.array(list(map(ord, text)), np.int32), np.stack([starts, starts + 1], axis=1)

    def ids_before(self, places: Places, ids: Ids) -> Offsets:
        """One token per character."""
        texts = np.repeat(np.arange(len(places.sizes)), places.counts).tolist()
        inside = [
            len(places.text(text).encode()[:size].decode())
            for text, size in zip(texts, places.at.tolist(), strict=True)
        ]
        found: Offsets = places.first[texts] + np.array(inside, np.int64)
        return found

    def adds_space_after(self, token: AddedToken) -> bool:
        """The tokenizer adds a space only after ``<s>``."""
        return token.content == "<s>"

    def is_word(self, character: str) -> bool:
        """Letters and digits are word characters."""
        return character.isalnum()

    def forbidden_in(self, ids: Ids) -> Offsets:
        """The places at which a text had ``!``."""
        return np.flatnonzero(ids == ord("!"))


CONTROLS = byte_tokenizer(["<s>", "<e>", Token("ab", single_word=True)], special={}).controls
START, END, AB = (CONTROLS[text].id for text in ("<s>", "<e>", "ab"))
PIECES = {
    0: [literal("<s>"), slot(0), slot(1, TRAINED), literal("<e>", TRAINED)],
    1: [slot(0, TRAINED), literal("ab"), literal("<e>")],
}


def builder(encoder: Characters, *, joint: bool = False) -> RowBuilder:
    """A builder for the shapes above."""
    return RowBuilder(encoder, PIECES.__getitem__, CONTROLS, joint=joint, sections_over=None)


def ids(text: str) -> list[int]:
    """The ids of a text."""
    return list(map(ord, text))


def test_each_record_gets_the_row_of_its_shape() -> None:
    """Records of several shapes come out in their order, each with its own texts."""
    records = [Rendered(0, ("q", "r")), Rendered(1, (".",)), Rendered(0, ("", "s")),
               Rendered(1, ("x",)), Rendered(0, ("t", "u"))]  # fmt: skip
    batch = builder(Characters()).build(records).batch
    assert rows_of(batch) == [
        ([START, *ids("qr"), END], [False, False, True, True]),
        ([*ids("."), AB, END], [True, False, False]),
        ([START, *ids("s"), END], [False, True, True]),
        ([*ids("xab"), END], [True, False, False, False]),  # next to a word, ab is plain text
        ([START, *ids("tu"), END], [False, False, True, True]),
    ]
    assert batch.record.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("joint", [False, True])
def test_what_the_encoder_is_given(joint: bool) -> None:
    """The encoder gets the texts of all records with their chains, and what ``joint`` says."""
    encoder = Characters()
    builder(encoder, joint=joint).build([Rendered(0, ("q", "r")), Rendered(0, ("t", "u"))])
    [(runs, asked_joint)] = encoder.asked
    assert (runs.texts, asked_joint) == (["q", "r", "t", "u"], joint)
    assert runs.trained.tolist() == [False, True, False, True]
    assert runs.continued.tolist() == [False, True, False, True]
    assert (runs.chains.first.tolist(), runs.chains.last.tolist()) == ([0, 2], [1, 3])


def test_rows_with_an_unclean_chain() -> None:
    """A row is marked if one of its chains is unclean."""
    built = builder(Characters()).build(
        [
            Rendered(0, ("q", "r")),
            Rendered(1, ("~",)),
            Rendered(0, ("q", "~")),
            Rendered(0, ("a", "b")),
        ]
    )
    assert built.unclean.tolist() == [False, False, True, False]


def test_rows_in_which_text_became_a_control_token() -> None:
    """A forbidden id in any run of a row is a leak of that row."""
    built = builder(Characters()).build(
        [Rendered(0, ("!", "!")), Rendered(1, (".",)), Rendered(0, ("q", "r!"))]
    )
    assert built.leaks == {0, 2}
    assert builder(Characters()).build([Rendered(1, (".",))]).leaks == frozenset()


def test_shapes_are_compiled_once_until_they_are_forgotten() -> None:
    """A shape's pieces are asked for once, and again after ``forget``, which reuses the numbers."""
    asked: list[int] = []
    pieces = dict(PIECES)

    def note(shape: int) -> Sequence[Piece]:
        asked.append(shape)
        return pieces[shape]

    made = RowBuilder(Characters(), note, CONTROLS, joint=False, sections_over=None)
    record = Rendered(0, ("q", "r"))
    made.build([record, record])
    made.build([record])
    assert asked == [0]
    made.forget()
    pieces[0] = PIECES[1]
    assert rows_of(made.build([Rendered(0, (".",))]).batch)[0][0] == [*ids("."), AB, END]
    assert asked == [0, 0]


# --- sections -----------------------------------------------------------------------------------


def sections_of(
    pieces: list[Piece], *contents: str, tokenizer: Tokenizer, joint: bool = False, over: int = 0
) -> list[tuple[str, str]]:
    """The tokens of a row, each with the first letter of its section."""
    encoder = Encoder(tokenizer, backend="hf")
    made = RowBuilder(
        encoder, lambda _: pieces, tokenizer.controls, joint=joint, sections_over=over
    )
    batch = made.build([Rendered(0, contents)]).batch
    assert batch.section is not None
    hf = HfTokenizer.from_str(tokenizer.json)
    texts = [str(hf.id_to_token(i)).replace("Ġ", " ") for i in batch.input_ids.tolist()]
    return [(t, Section(s).name[0]) for t, s in zip(texts, batch.section.tolist(), strict=True)]


K, P, C = Section.KEPT, Section.PROMPT, Section.COMPLETION
MERGING = byte_tokenizer(
    ["<s>", Token("<r>", rstrip=True)], [(" ", "b"), ("a", "b"), ("c", "a")], special={}
)


def part(text_or_slot: str | int, section: Section, trained: bool = False) -> Piece:
    """Template text or a place for a content, in a section."""
    if isinstance(text_or_slot, int):
        return Piece("", text_or_slot, trained, section)
    return Piece(text_or_slot, LITERAL, trained, section)


def test_a_kept_content_inside_a_run() -> None:
    """A token belongs to the section of its first character, whatever the content's length."""
    pieces = [part("<s>", K), part(0, K), part("; ", K), part(1, P), part("<s>", K)]
    assert sections_of(pieces, "ab", "b", tokenizer=MERGING) == [
        ("<s>", "K"), ("ab", "K"), (";", "K"), (" b", "K"), ("<s>", "K"),
    ]  # fmt: skip
    assert sections_of(pieces, "c", "c", tokenizer=MERGING) == [
        ("<s>", "K"), ("c", "K"), (";", "K"), (" ", "K"), ("c", "P"), ("<s>", "K"),
    ]  # fmt: skip
    middle = [part(0, P), part(1, K), part(2, P)]
    assert sections_of(middle, "c", "aa", "b", tokenizer=MERGING) == [("ca", "P"), ("ab", "K")]
    assert sections_of(middle, "b", "c", "b", tokenizer=MERGING) == [
        ("b", "P"), ("c", "K"), ("b", "P"),
    ]  # fmt: skip


def test_a_completion_inside_a_run() -> None:
    """If all text is trained, prompt and completion are one run, but not one section."""
    pieces = [part(0, P, TRAINED), part("c", K, TRAINED), part(1, C, TRAINED)]
    for joint in (False, True):
        assert sections_of(pieces, "c", "b", tokenizer=MERGING, joint=joint) == [
            ("c", "P"), ("c", "K"), ("b", "C"),
        ]  # fmt: skip


def test_white_space_that_a_token_swallows_before_a_kept_content() -> None:
    """The text that is encoded may be shorter than the contents."""
    pieces = [part("<r>", K), part(0, K), part(1, P)]
    assert sections_of(pieces, "  c", "a", tokenizer=MERGING) == [("<r>", "K"), ("ca", "K")]
    assert sections_of(pieces, "  c", " a", tokenizer=MERGING) == [
        ("<r>", "K"), ("c", "K"), (" ", "P"), ("a", "P"),
    ]  # fmt: skip
    assert sections_of(pieces, "  ", "", tokenizer=MERGING) == [("<r>", "K")]


def test_an_unclean_boundary_after_a_kept_content() -> None:
    """With ``joint``, a run may have other tokens than by itself; its sections still fit."""
    pieces = [part(0, K), part(1, P), part(2, C, TRAINED)]
    contents = ("c", "c", "aa")
    assert sections_of(pieces, *contents, tokenizer=MERGING, joint=True) == [
        ("c", "K"), ("ca", "P"), ("a", "C"),
    ]  # fmt: skip
    assert sections_of(pieces, *contents, tokenizer=MERGING) == [
        ("c", "K"), ("c", "P"), ("a", "C"), ("a", "C"),
    ]  # fmt: skip


def test_rows_that_are_not_too_long_are_not_looked_at() -> None:
    """The encoder is asked where tokens begin only for rows over the limit."""
    pieces = [part(0, K), part(1, P)]
    assert sections_of(pieces, "a", "c", tokenizer=MERGING, over=1) == [("a", "K"), ("c", "P")]
    assert sections_of(pieces, "a", "c", tokenizer=MERGING, over=2) == [("a", "P"), ("c", "P")]


# --- as HF tokenizers would ---------------------------------------------------------------------

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
TEXTS = (
    "a",
    " a ",
    "",
    "  ",
    "\n\nab \t",
    "价",
    " \u3000x",
    "_",
    "-\u0301",
    "-\u200d",
    "²\u20dd",
    "ⓐ",
)
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


def built(
    tokenizer: Tokenizer, pieces: list[Piece], contents: Sequence[tuple[str, ...]], *, joint: bool
) -> list[tuple[list[int], list[bool]]]:
    """Ids and loss mask of each record."""
    made = RowBuilder(
        Encoder(tokenizer, backend="hf"),
        lambda _: pieces,
        tokenizer.controls,
        joint=joint,
        sections_over=None,
    )
    return rows_of(made.build([Rendered(0, c) for c in contents]).batch)


def filled(pieces: Sequence[Piece], contents: Sequence[str]) -> str:
    """The text of a row."""
    return "".join(contents[p.slot] if p.slot >= 0 else p.text for p in pieces)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("pieces", SHAPES)
def test_joint_is_what_hf_gives(name: str, pieces: list[Piece]) -> None:
    """With ``joint``, the ids are HF's for the whole text, whatever flags the tokens have."""
    tokenizer = TOKENIZERS[name]
    hf = HfTokenizer.from_str(tokenizer.json)
    contents = [(a, b) for a in TEXTS for b in TEXTS]
    found = [row for row, _ in built(tokenizer, pieces, contents, joint=True)]
    expected = [hf.encode(filled(pieces, c), add_special_tokens=False).ids for c in contents]
    assert dict(zip(contents, expected, strict=True)) == dict(zip(contents, found, strict=True))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_split_prompt_is_what_hf_gives(name: str) -> None:
    """With ``split``, the ids before the trained ones are HF's for the prompt alone."""
    tokenizer = TOKENIZERS[name]
    hf = HfTokenizer.from_str(tokenizer.json)
    pieces = [literal("<s><b> "), slot(0), literal(" <l>:"), slot(1, TRAINED)]
    contents = [(a, b) for a in TEXTS for b in TEXTS if b]
    found = [
        [i for i, trained in zip(*row, strict=True) if not trained]
        for row in built(tokenizer, pieces, contents, joint=False)
    ]
    expected = [hf.encode(filled(pieces[:-1], c), add_special_tokens=False).ids for c in contents]
    assert expected == found


# --- what ends the answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [((), [[END], [-1], [END], [-1]]), (("<e>",), [[END], [END], [END], [-1]])],
)
def test_what_ends_the_answers(allowed: tuple[str, ...], expected: list[list[int]]) -> None:
    """The template's token ends an answer, or its own last token if its text may become tokens."""

    class WithTokens(Characters):
        """``$`` becomes the token <e>."""

        def encode_runs(self, runs: TextRuns, *, joint: bool) -> EncodedRuns:
            found = super().encode_runs(runs, joint=joint)
            found.ids.values[found.ids.values == ord("$")] = END
            return found

    pieces = {0: PIECES[0], 1: [slot(0), slot(1, TRAINED), literal(" ", TRAINED)]}
    answers = {0: [4], 1: [3]}
    made = RowBuilder(
        WithTokens(),
        pieces.__getitem__,
        CONTROLS,
        answers=answers.__getitem__,
        allowed=allowed,
        joint=False,
        sections_over=None,
    )
    records = [Rendered(0, ("q", "r")), Rendered(1, ("q", "r$")), Rendered(0, ("q", "")),
               Rendered(1, ("$", "r$r"))]  # fmt: skip
    found = made.build(records).answer_ends
    assert [found.row(row).tolist() for row in range(4)] == expected
