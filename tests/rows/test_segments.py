"""Each token of a row belongs to the text of the conversation in which its first byte stands."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import models, normalizers, pre_tokenizers
from toys import Merges, Token, add, byte_hf, byte_tokenizer, described, piece_hf

from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Piece, Rendered, Section
from sftprep.data.provenance import BOS, NO_MESSAGE, Part, Segments, Writer
from sftprep.rows.builder import RowBuilder
from sftprep.rows.layout import NONE_SPECIAL, SpecialTokens
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.tokenizer import Tokenizer

TRAINED = True
USER = Writer(0, "user", Part.CONTENT)
HEADER = Writer(0, "user", Part.TEMPLATE)
ANSWER = Writer(1, "assistant", Part.CONTENT)
AROUND = Writer(1, "assistant", Part.TEMPLATE)
STOP = Writer(1, "assistant", Part.STOP)


def literal(text: str, writer: Writer = NO_MESSAGE, trained: bool = False) -> Piece:
    """Template text."""
    return Piece(text, LITERAL, trained, Section.PROMPT, writer)


def slot(number: int, writer: Writer, trained: bool = False) -> Piece:
    """A place for a content."""
    return Piece("", number, trained, Section.PROMPT, writer)


def segments_of(
    tokenizer: Tokenizer,
    pieces: Sequence[Piece],
    *records: Sequence[str],
    answers: Sequence[int] = (),
    joint: bool = False,
    special: SpecialTokens = NONE_SPECIAL,
    encoder: Encoder | None = None,
) -> Segments:
    """The segments of the rows of these records, after a check that they fit the rows."""
    builder = RowBuilder(
        encoder or Encoder(tokenizer),
        lambda _: pieces,
        tokenizer.controls,
        answers=lambda _: answers,
        special=special,
        joint=joint,
        sections_over=None,
    )
    built = builder.build([Rendered(0, tuple(contents)) for contents in records])
    segments = built.segments
    assert segments is not None
    assert segments.row_tokens.tolist() == built.batch.lengths.tolist()
    trained = np.repeat(segments.trained, segments.tokens)
    assert trained.tolist() == built.batch.loss_mask.tolist()
    assert list(segments.writers) == sorted({segments.writers[i] for i in segments.writer.tolist()})
    return segments


# --- what HF tokenizers say ---------------------------------------------------------------------

MERGES: Merges = [(" ", "a"), ("a", "b"), ("\n", "a"), (b"\xc3", b"\xa9")]


def lowercasing() -> Any:
    """A byte-level BPE that changes texts in a way that no count of bytes can follow."""
    hf = byte_hf(merges=MERGES)
    hf.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("b", "")])
    return hf


def composing() -> Any:
    """A byte-level BPE that brings texts into the form NFC."""
    hf = byte_hf(merges=MERGES)
    hf.normalizer = normalizers.NFC()
    return hf


def words() -> Any:
    """A tokenizer of whole words, which knows two of them and leaves spaces out."""
    hf = HfTokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    hf.pre_tokenizer = pre_tokenizers.Whitespace()
    return hf


def characters() -> Any:
    """SentencePiece-style without byte fallback: unknown characters become one token."""
    hf = piece_hf("first")
    state = json.loads(hf.to_str())
    state["model"]["byte_fallback"] = False
    state["added_tokens"] = []
    return HfTokenizer.from_str(json.dumps(state))


def adding_space() -> Any:
    """A byte-level BPE that puts a space in front of a text that starts with something else."""
    hf = byte_hf(merges=MERGES)
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return hf


TOKENIZERS = {
    "bytes": byte_hf(merges=MERGES),
    "bytes, with a space in front": adding_space(),
    "NFC": composing(),
    "changed": lowercasing(),
    "words": words(),
    "unknown characters": characters(),
    **{scheme: piece_hf(scheme) for scheme in ("first", "always", "never", "normalizer")},
}
CONTROLS = ("<x>", "<y>")


for _hf in TOKENIZERS.values():
    add(_hf, CONTROLS)
OWN = {name: described(hf) for name, hf in TOKENIZERS.items()}
ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in OWN.items()}
OTHERS = [USER, HEADER, ANSWER, AROUND]
text = st.text(st.sampled_from("ab \n▁é中e\u0301\u0958\U0001f600B"), max_size=6)
writers = st.sampled_from(OTHERS)
texts = st.builds(literal, text, writers, st.booleans())
contents = st.builds(slot, st.just(0), writers, st.booleans())
controls = st.builds(literal, st.sampled_from(CONTROLS), st.just(AROUND), st.booleans())
shapes = st.lists(st.one_of(texts, contents, contents, controls), min_size=1, max_size=7)


def expected(
    name: str, pieces: Sequence[Piece], texts: Sequence[str], *, joint: bool
) -> list[Writer]:
    """The writer of each token, from the places that HF gives for each text that is encoded."""
    found: list[Writer] = []
    encoder = ENCODERS[name]
    filled = [(p, texts[p.slot] if p.slot >= 0 else p.text) for p in pieces]
    filled = [(piece, text) for piece, text in filled if text or piece.slot >= 0]
    for is_token, group in groupby(filled, lambda pair: is_control(pair[0])):
        chain = list(group)
        if is_token:
            found += [piece.writer for piece, _ in chain]
            continue
        runs = [list(run) for _, run in groupby(chain, lambda pair: pair[0].trained)]
        for number, run in enumerate([chain] if joint else runs):
            writers = [piece.writer for piece, text in run for _ in text]
            adds_space = not found or encoder.adds_space_after(OWN[name].added[-1])
            _, spans = encoder.spans("".join(text for _, text in run), number > 0 or not adds_space)
            found += [writers[start] for start in spans[:, 0].tolist()]
    return found


def is_control(piece: Piece) -> bool:
    """Whether a piece is a control token."""
    return piece.slot == LITERAL and piece.text in CONTROLS


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("joint", [False, True])
@settings(deadline=None)
@given(pieces=shapes, data=st.data())
def test_as_hf_places_the_tokens(
    name: str, joint: bool, pieces: list[Piece], data: st.DataObject
) -> None:
    """A token belongs to the text in which HF says that it starts, with every kind of tokenizer."""
    slots = [piece for piece in pieces if piece.slot >= 0]
    numbers = iter(range(len(slots)))
    pieces = [p._replace(slot=next(numbers)) if p.slot >= 0 else p for p in pieces]
    filling = st.lists(text, min_size=len(slots), max_size=len(slots))
    records = data.draw(st.lists(filling, min_size=1, max_size=3))
    segments = segments_of(OWN[name], pieces, *records, joint=joint, encoder=ENCODERS[name])
    for row, record in enumerate(records):
        writers = [w for tokens, w, _ in segments.row(row) for _ in range(tokens)]
        assert writers == expected(name, pieces, record, joint=joint)


# --- examples -----------------------------------------------------------------------------------

CHAT = byte_tokenizer(["<s>", "<u>", "<a>", "<e>"], MERGES, special={"bos": "<s>", "eos": "<e>"})
SPECIAL = SpecialTokens(stops=["<e>"], bos="<s>")


def test_the_texts_of_a_chat() -> None:
    """BOS, headers, contents and what stops the model each have a segment of their own."""
    pieces = [
        literal("<s><u>user\n", HEADER), slot(0, USER), literal("<e>\n", HEADER),
        literal("<a>", AROUND), slot(1, ANSWER, TRAINED), literal("<e>", AROUND, TRAINED),
        literal("\n", AROUND),
    ]  # fmt: skip
    segments = segments_of(CHAT, pieces, ("ab", "b"), ("", "é"), answers=[6], special=SPECIAL)
    assert segments.row(0) == [
        (1, BOS, False), (6, HEADER, False), (1, USER, False), (2, HEADER, False),
        (1, AROUND, False), (1, ANSWER, True), (1, STOP, True), (1, AROUND, False),
    ]  # fmt: skip
    assert segments.row(1) == [
        (1, BOS, False), (8, HEADER, False), (1, AROUND, False), (1, ANSWER, True),
        (1, STOP, True), (1, AROUND, False),
    ]  # fmt: skip


def test_a_token_across_two_texts() -> None:
    """Without a loss boundary, "a" and "b" are one token; it belongs to the text of its "a"."""
    pieces = [literal("user\na", HEADER), slot(0, USER)]
    segments = segments_of(CHAT, pieces, ("b",), ("a",))
    assert segments.row(0) == [(6, HEADER, False)]
    assert segments.row(1) == [(6, HEADER, False), (1, USER, False)]


def test_a_token_across_a_loss_boundary() -> None:
    """With ``joint``, it is not trained, and belongs to the text of its first byte all the same."""
    to_answer = [slot(0, USER), slot(1, ANSWER, TRAINED)]
    assert segments_of(CHAT, to_answer, ("a", "bé"), joint=True).row(0) == [
        (1, USER, False), (1, ANSWER, True),
    ]  # fmt: skip
    from_answer = [slot(0, ANSWER, TRAINED), slot(1, USER)]
    assert segments_of(CHAT, from_answer, ("éa", "bé"), joint=True).row(0) == [
        (1, ANSWER, True), (1, ANSWER, False), (1, USER, False),
    ]  # fmt: skip


def test_a_bos_that_the_tokenizer_adds() -> None:
    """It is the BOS; so is another one that the template writes, unless it stops the model."""
    implicit = Piece("<s>", IMPLICIT_BOS, False, Section.KEPT)
    pieces = [implicit, slot(0, USER), literal("<s>", HEADER)]
    assert segments_of(CHAT, pieces, ("é",), special=SPECIAL).row(0) == [
        (1, BOS, False), (1, USER, False), (1, BOS, False),
    ]  # fmt: skip
    one_token = SpecialTokens(stops=["<s>"], bos="<s>")
    assert segments_of(CHAT, pieces, ("é",), special=one_token).row(0) == [
        (1, BOS, False), (1, USER, False), (1, HEADER, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("after", "stops", "parts"),
    [
        (["</c>", "<e>", "\n"], ["<e>"], [(1, AROUND), (1, STOP), (1, AROUND)]),
        (["</c>", "<e>", "\n"], [], [(1, AROUND), (1, STOP), (1, AROUND)]),
        (["\n", "<e>"], ["<e>"], [(1, AROUND), (1, STOP)]),
        (["##", "\n"], ["<e>"], [(3, STOP)]),
    ],
)
def test_what_ends_an_answer(
    after: list[str], stops: list[str], parts: list[tuple[int, Writer]]
) -> None:
    """The first stop token, or else the last control token; else all text behind the content."""
    tokenizer = byte_tokenizer(["</c>", "<e>"], special={})
    pieces = [slot(0, ANSWER, TRAINED), *(literal(t, AROUND, TRAINED) for t in after)]
    segments = segments_of(
        tokenizer, pieces, ("a",), answers=[len(pieces)], special=SpecialTokens(stops)
    )
    expected = [(1, ANSWER, True), *((tokens, writer, True) for tokens, writer in parts)]
    assert segments.row(0) == expected


@pytest.mark.parametrize("joint", [False, True])
def test_white_space_that_control_tokens_swallow(joint: bool) -> None:
    """It has no tokens; the texts behind and in front of it keep theirs."""
    tokenizer = byte_tokenizer([Token("<r>", rstrip=True), Token("<l>", lstrip=True)], special={})
    pieces = [literal("<r>\nuser\u2003", HEADER), slot(0, USER), literal(" \n<l>", AROUND)]
    records: list[Sequence[str]] = [("é ",), ("",), (" \n",)]
    segments = segments_of(tokenizer, pieces, *records, joint=joint)
    assert segments.row(0) == [(8, HEADER, False), (2, USER, False), (1, AROUND, False)]
    assert segments.row(1) == [(5, HEADER, False), (1, AROUND, False)]
    assert segments.row(2) == [(5, HEADER, False), (1, AROUND, False)]
    pieces = [literal("<r>", HEADER), slot(0, USER), slot(1, ANSWER), literal("!", HEADER)]
    records = [(" ", " a"), (" é", ""), ("", " \u3000"), ("  b ", " c")]
    rows = segments_of(tokenizer, pieces, *records, joint=joint)
    assert [rows.row(i) for i in range(4)] == [
        [(1, HEADER, False), (1, ANSWER, False), (1, HEADER, False)],
        [(1, HEADER, False), (2, USER, False), (1, HEADER, False)],
        [(2, HEADER, False)],
        [(1, HEADER, False), (2, USER, False), (2, ANSWER, False), (1, HEADER, False)],
    ]
