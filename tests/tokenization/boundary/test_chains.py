"""Chains whose ids change when they are encoded as one text are found, and joined."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from random import Random

import numpy as np
import pytest
from boundaries import KINDS, PIECES, learned, splitting
from tokenizers import Tokenizer as HfTokenizer
from toys import byte_tokenizer, piece_tokenizer

from sftprep.data.ragged import Ids, Mask, Offsets, Ragged
from sftprep.data.runs import Chains, TextRuns
from sftprep.tokenization.boundary.breaks import PairBreaks, TokenBreaks, breaks_of
from sftprep.tokenization.boundary.chains import join_chains, unclean_chains
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.proof import prove_content_encoding
from sftprep.tokenization.tokenizer import Tokenizer

MERGES = [(" ", "b"), (" ", " "), ("\n", "\n"), ("a", "b"), ("ab", "c")]
BYTES = byte_tokenizer(["</s>"], MERGES)
SPACE_B, TWO_SPACES, TWO_LINES, AB, ABC = range(256, 261)


def rows(ragged: Ragged) -> list[list[int]]:
    """A ragged array as lists."""
    return [ragged.row(index).tolist() for index in range(len(ragged.lengths))]


def runs_of(*chains: Sequence[tuple[str, bool]]) -> TextRuns:
    """Chains of (text, trained); a run on its own is a chain of one and no chain of the block."""
    texts = [text for chain in chains for text, _ in chain]
    starts = [0, *accumulate(map(len, chains))]
    first = [s for s, chain in zip(starts, chains, strict=False) if len(chain) > 1]
    last = [s + len(c) - 1 for s, c in zip(starts, chains, strict=False) if len(c) > 1]
    return TextRuns(
        texts,
        np.array([index not in starts for index in range(len(texts))], np.bool_),
        np.array([trained for chain in chains for _, trained in chain], np.bool_),
        Chains(np.array(first, np.int64), np.array(last, np.int64)),
    )


def joined(encoder: Encoder, *chains: Sequence[tuple[str, bool]]) -> tuple[Ragged, list[bool]]:
    """The ids of chains of (text, trained) with ``joint``, and which of them were unclean."""
    encoded = encoder.encode_runs(runs_of(*chains), joint=True)
    return encoded.ids, encoded.unclean.tolist()


@pytest.mark.parametrize(
    ("prompt", "completion", "unclean"),
    [
        ("a:", "b", False),
        ("a:", " b", False),
        ("a ", "b", True),
        ("a ", " b", False),
        ("a\n", "b", False),
        ("a\n", "\n", True),
        ("a\n", "\nb", False),
        ("a ", " ", True),
        ("a", "bc", True),
        ("", "ab", False),
        ("ab", "", False),
        ("x" * 1000 + " ", "b" + "y" * 1000, True),
        ("x" * 1000, " b" + "y" * 1000, False),
    ],
)
def test_unclean(prompt: str, completion: str, unclean: bool) -> None:
    """A chain is clean if its runs have the ids of the whole text; joined, they always do."""
    whole = HfTokenizer.from_str(BYTES.json).encode(prompt + completion).ids
    encoder = Encoder(BYTES)
    apart = [i for row in rows(encoder.encode([prompt, completion])) for i in row]
    assert unclean == (whole != apart)
    ragged, found = joined(encoder, [(prompt, False), (completion, True)])
    assert [unclean] == found
    assert whole == ragged.values.tolist()


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ([("a ", False), ("b", True)], [[97, SPACE_B], []]),
        ([("a ", False), ("bc", True)], [[97, SPACE_B], [99]]),
        ([("a\n", False), ("\n\n!", True)], [[97, TWO_LINES], [10, 33]]),
        ([("a ", True), ("b", False)], [[97], [SPACE_B]]),
        ([("a ", True), ("b!", False), ("c", True)], [[97], [SPACE_B, 33], [99]]),
        ([("a", False), ("b", True), ("c", False)], [[ABC], [], []]),
        ([("a", True), ("b", False), ("c", True)], [[], [ABC], []]),
        ([("", False), (" ", True), ("b", False)], [[], [], [SPACE_B]]),
    ],
)
def test_join(chain: list[tuple[str, bool]], expected: list[list[int]]) -> None:
    """A token that lies across a boundary goes to the side that is not trained."""
    ragged, unclean = joined(Encoder(BYTES), chain)
    assert (expected, [True]) == (rows(ragged), unclean)


def test_join_keeps_the_other_rows() -> None:
    """Runs before, between and after the joined chains keep their ids and their order."""
    ragged, unclean = joined(
        Encoder(BYTES),
        [("x:", False), ("y", True)],
        [("a ", False), ("b", True)],
        [("z", False), ("!", True)],
        [(" ", False), ("b", True), ("c", False)],
        [("w", False), ("v", True)],
    )
    expected = [
        [*b"x:"], [*b"y"], [97, SPACE_B], [], [*b"z"], [*b"!"], [SPACE_B], [], [99],
        [*b"w"], [*b"v"],
    ]  # fmt: skip
    assert expected == rows(ragged)
    assert unclean == [False, True, False, True, False]


@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
@pytest.mark.parametrize(
    ("prompt", "completion"),
    [("a", "b"), ("a", " b"), ("a ", "b"), ("", "ab"), (" ", " "), ("价", "格ab"), ("x:", "y")],
)
def test_sentencepiece(scheme: str, prompt: str, completion: str) -> None:
    """With a SentencePiece-style tokenizer too, the joined ids are HF's for the whole text."""
    tokenizer = piece_tokenizer(scheme)
    hf = HfTokenizer.from_str(tokenizer.stripped_json())
    whole = hf.encode(prompt + completion, add_special_tokens=False).ids
    ragged, unclean = joined(Encoder(tokenizer), [(prompt, False), (completion, True)])
    assert whole == ragged.values.tolist()
    apart = Encoder(tokenizer).encode([prompt, completion], np.array([False, True])).values
    assert [not np.array_equal(apart, whole)] == unclean


def test_joined_tokens_are_placed_by_hf_offsets() -> None:
    """The characters that HF says a token covers decide its side, also beyond ASCII."""
    ragged, _ = joined(Encoder(BYTES), [("价格 ", False), ("b价", True)])
    assert [[*"价格".encode(), SPACE_B], [*"价".encode()]] == rows(ragged)


def test_nothing_to_join() -> None:
    """A block without chains keeps its ids."""
    encoder = Encoder(BYTES)
    runs = runs_of([("a", True)])
    ids = encoder.encode(runs.texts)
    unclean = unclean_chains(encoder, runs, ids)
    assert unclean.tolist() == []
    assert rows(join_chains(encoder, runs, ids, unclean)) == [[97]]


# --- looking only around a boundary -------------------------------------------------------------


def assert_windows_are_enough(tokenizer: Tokenizer, seed: int, unclean: range) -> TokenBreaks:
    """Check that the same chains are unclean with token breaks as when all are encoded again."""
    breaks = breaks_of(prove_content_encoding(tokenizer, backend="hf").breaks)
    assert breaks is not None
    encoder = Encoder(tokenizer, backend="hf")
    random = Random(seed)
    chains = []
    for _ in range(3000):
        size = 2 if random.random() < 0.9 else 3
        sizes = random.choices((0, 1, 2, 3, 6, 40), k=size)
        texts = ["".join(random.choices(PIECES, k=pieces)) for pieces in sizes]
        chains.append(list(zip(texts, (False, True, False), strict=False)))
    runs = runs_of(*chains)
    runs.continued[runs.chains.first] = random.choices((False, True), k=len(chains))
    ids = encoder.encode(runs.texts, runs.continued)
    around = unclean_chains(encoder, runs, ids, breaks)
    whole = unclean_chains(encoder, runs, ids)
    assert around.tolist() == whole.tolist()
    assert int(whole.sum()) in unclean
    return breaks


@pytest.mark.conformance  # takes 3 seconds
@KINDS
def test_windows_are_enough_for_patterns(splits: list[str]) -> None:
    """For known patterns, encoding only the text around a boundary finds the unclean chains."""
    assert_windows_are_enough(splitting(splits), len(splits), range(50, 1500))


@pytest.mark.conformance  # takes 5 seconds
@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
@pytest.mark.parametrize("split", [False, True])
def test_windows_are_enough_for_pairs(scheme: str, split: bool) -> None:
    """For merges of characters, encoding only the text around a boundary finds them as well."""
    breaks = assert_windows_are_enough(learned(scheme, split=split), 5, range(50, 2500))
    assert isinstance(breaks, PairBreaks)


@pytest.mark.parametrize(
    "texts", [["", "  x"], ["", "   a"], ["", "", "  x"], ["", " ", "  x"], ["", "\u2581 x"]]
)
@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
def test_after_an_empty_run(texts: list[str], scheme: str) -> None:
    """A space that the tokenizer adds in front of the whole text, and of no run, is noticed."""
    tokenizer = piece_tokenizer(scheme)
    state = json.loads(tokenizer.json)
    state["model"]["merges"] = [m for m in state["model"]["merges"] if m != ["▁", "▁"]]
    tokenizer = replace(tokenizer, json=json.dumps(state))
    breaks = breaks_of(prove_content_encoding(tokenizer, backend="hf").breaks)
    assert breaks is not None
    encoder = Encoder(tokenizer, backend="hf")
    runs = runs_of(list(zip(texts, [False, True, True], strict=False)))
    ids = encoder.encode(runs.texts, runs.continued)
    around = unclean_chains(encoder, runs, ids, breaks)
    assert around.tolist() == unclean_chains(encoder, runs, ids).tolist()


class Counting:
    """An encoder that keeps the texts that it encodes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.texts: list[str] = []

    def encode(self, texts: list[str], continued: Mask | None = None) -> Ragged:
        """Encode texts, and keep them."""
        self.texts += texts
        return self._encoder.encode(texts, continued)

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Encode one text."""
        return self._encoder.spans(text, continued)


def test_little_is_encoded_again() -> None:
    """At a token break nothing is encoded again; elsewhere, only the text around the boundary."""
    tokenizer = splitting([])
    breaks = breaks_of(prove_content_encoding(tokenizer).breaks)
    encoder = Encoder(tokenizer)
    words = "word " * 1000
    runs = runs_of(
        [(words + "end", False), (" of it", True)], [(words + "x ", False), ("y " + words, True)]
    )
    ids = encoder.encode(runs.texts, runs.continued)
    counting = Counting(encoder)
    assert unclean_chains(counting, runs, ids, breaks).tolist() == [False, True]
    assert max(map(len, counting.texts)) < 200
    assert not [text for text in counting.texts if "end" in text]
