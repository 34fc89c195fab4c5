"""boundary: whether a text that is cut has the ids of the whole, and what ``joint`` makes of it."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from tokenizers import Tokenizer as HfTokenizer
from toys import byte_tokenizer, piece_tokenizer

from sftprep.boundary import Chain, join, unclean_chains
from sftprep.encode import Encoder
from sftprep.records import Ragged

MERGES = [(" ", "b"), (" ", " "), ("\n", "\n"), ("a", "b"), ("ab", "c")]
BYTES = byte_tokenizer(["</s>"], MERGES)
SPACE_B, TWO_SPACES, TWO_LINES, AB, ABC = range(256, 261)


def rows(ragged: Ragged) -> list[list[int]]:
    """A ragged array as lists."""
    return [ragged.row(index).tolist() for index in range(len(ragged.lengths))]


def cut_up(encoder: Encoder, *chains: Sequence[tuple[str, bool]]) -> tuple[Ragged, list[bool]]:
    """The ids of chains of (text, trained) with joint boundaries, and which were unclean."""
    texts = [text for chain in chains for text, _ in chain]
    starts = [0, *accumulate(map(len, chains))]
    places = [
        Chain(start, start + len(chain) - 1, tuple(trained for _, trained in chain))
        for start, chain in zip(starts, chains, strict=False)
    ]
    continued = [index not in starts for index in range(len(texts))]
    apart = encoder.encode(texts, continued)
    unclean = unclean_chains(encoder, texts, continued, apart, places)
    changed = [place for place, flag in zip(places, unclean, strict=True) if flag]
    return join(encoder, texts, continued, apart, changed), unclean.tolist()


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
    """A boundary is clean where both sides have the ids that the whole text has."""
    whole = HfTokenizer.from_str(BYTES.json).encode(prompt + completion).ids
    encoder = Encoder(BYTES)
    apart = [i for row in rows(encoder.encode([prompt, completion])) for i in row]
    assert unclean == (whole != apart)
    ragged, found = cut_up(encoder, [(prompt, False), (completion, True)])
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
    """A token across a boundary goes to the side that is not trained."""
    ragged, unclean = cut_up(Encoder(BYTES), chain)
    assert (expected, [True]) == (rows(ragged), unclean)


def test_join_keeps_the_other_rows() -> None:
    """Clean chains and their order are as they were, around those that are joined."""
    ragged, unclean = cut_up(
        Encoder(BYTES),
        [("x:", False), ("y", True)],
        [("a ", False), ("b", True)],
        [("z", False)],
        [(" ", False), ("b", True), ("c", False)],
        [("w", False), ("v", True)],
    )
    expected = [
        [*b"x:"], [*b"y"], [97, SPACE_B], [], [*b"z"], [SPACE_B], [], [99], [*b"w"], [*b"v"],
    ]  # fmt: skip
    assert expected == rows(ragged)
    assert unclean == [False, True, False, True, False]


@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
@pytest.mark.parametrize(
    ("prompt", "completion"),
    [("a", "b"), ("a", " b"), ("a ", "b"), ("", "ab"), (" ", " "), ("价", "格ab"), ("x:", "y")],
)
def test_sentencepiece(scheme: str, prompt: str, completion: str) -> None:
    """With a SentencePiece-style tokenizer the joined ids are HF's of the whole text as well."""
    tokenizer = piece_tokenizer(scheme)
    hf = HfTokenizer.from_str(tokenizer.stripped_json())
    whole = hf.encode(prompt + completion, add_special_tokens=False).ids
    ragged, unclean = cut_up(Encoder(tokenizer), [(prompt, False), (completion, True)])
    assert whole == ragged.values.tolist()
    apart = Encoder(tokenizer).encode([prompt, completion], [False, True]).values
    assert [not np.array_equal(apart, whole)] == unclean


def test_joined_tokens_are_placed_by_hf_offsets() -> None:
    """Which side a token is on follows the characters that HF says it covers, for wide ones too."""
    ragged, _ = cut_up(Encoder(BYTES), [("价格 ", False), ("b价", True)])
    assert [[*"价格".encode(), SPACE_B], [*"价".encode()]] == rows(ragged)


def test_nothing_to_join() -> None:
    """No chains are no work."""
    encoder = Encoder(BYTES)
    ids = encoder.encode(["a"])
    assert unclean_chains(encoder, ["a"], [False], ids, []).tolist() == []
    assert ids is join(encoder, ["a"], [False], ids, [])
