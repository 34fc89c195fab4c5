"""boundary: whether a text that is cut has the ids of the whole, and what ``joint`` makes of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from random import Random
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import pre_tokenizers, trainers
from toys import SAMPLE_TOKENIZER, byte_tokenizer, piece_hf, piece_tokenizer

from sftprep.data.ragged import Ragged
from sftprep.data.runs import Chain, Chains
from sftprep.tokenization.boundary.breaks import Cuts, PairCuts, PatternCuts
from sftprep.tokenization.boundary.chains import join, unclean_chains
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.gigatoken_support import LOCAL_PATTERNS, crossings, locality
from sftprep.tokenization.tokenizer import Tokenizer, load_tokenizer

MERGES = [(" ", "b"), (" ", " "), ("\n", "\n"), ("a", "b"), ("ab", "c")]
BYTES = byte_tokenizer(["</s>"], MERGES)
SPACE_B, TWO_SPACES, TWO_LINES, AB, ABC = range(256, 261)


def rows(ragged: Ragged) -> list[list[int]]:
    """A ragged array as lists."""
    return [ragged.row(index).tolist() for index in range(len(ragged.lengths))]


def columns(chains: Sequence[Chain]) -> Chains:
    """Chains in columns."""
    first = np.array([chain.first for chain in chains], np.int64)
    return Chains(first, np.array([chain.last for chain in chains], np.int64))


def cut_up(encoder: Encoder, *chains: Sequence[tuple[str, bool]]) -> tuple[Ragged, list[bool]]:
    """The ids of chains of (text, trained) with joint boundaries, and which were unclean."""
    texts = [text for chain in chains for text, _ in chain]
    starts = [0, *accumulate(map(len, chains))]
    places = [
        Chain(start, start + len(chain) - 1, tuple(trained for _, trained in chain))
        for start, chain in zip(starts, chains, strict=False)
    ]
    continued = np.array([index not in starts for index in range(len(texts))])
    apart = encoder.encode(texts, continued)
    unclean = unclean_chains(encoder, texts, continued, apart, columns(places))
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
    """With a SentencePiece-style tokenizer the joined ids are HF's of the whole text as well."""
    tokenizer = piece_tokenizer(scheme)
    hf = HfTokenizer.from_str(tokenizer.stripped_json())
    whole = hf.encode(prompt + completion, add_special_tokens=False).ids
    ragged, unclean = cut_up(Encoder(tokenizer), [(prompt, False), (completion, True)])
    assert whole == ragged.values.tolist()
    apart = Encoder(tokenizer).encode([prompt, completion], np.array([False, True])).values
    assert [not np.array_equal(apart, whole)] == unclean


def test_joined_tokens_are_placed_by_hf_offsets() -> None:
    """Which side a token is on follows the characters that HF says it covers, for wide ones too."""
    ragged, _ = cut_up(Encoder(BYTES), [("价格 ", False), ("b价", True)])
    assert [[*"价格".encode(), SPACE_B], [*"价".encode()]] == rows(ragged)


def test_nothing_to_join() -> None:
    """No chains are no work."""
    encoder = Encoder(BYTES)
    ids = encoder.encode(["a"])
    fresh = np.array([False])
    assert unclean_chains(encoder, ["a"], fresh, ids, columns([])).tolist() == []
    assert ids is join(encoder, ["a"], fresh, ids, [])


# --- tokenizers that never look far -------------------------------------------------------------

PIECES = (
    "a", "b", " a", " the", "the", "The", " ", "  ", "\n", "\n\n", "\r\n", "\t", ".", ". ", "?",
    "!\n", ":\n", "'s", "'", "'S", "1", "12", "123", " 1", "价", "格", " 价", "，", "。", "“",
    "\u3000", "é", "e\u0301", "\u0301", "_", "/", '"', "(", ")", "\u2028", "\xa0", "ſ", "😀", "٣",
    "ー", "\u200b", "-", "I", "ll", "a'", " '", "words and more", ", and", "。\n", "价\n", "x\n",
    "é\n", "😀\n", " \n", "x\n\n", ")\n\n\n", "    return", "\tx", "\t\t}", "  \n", "/x", " /",
    "\0 ", "a\0", "            #", " " * 40 + "x", "\n" * 5,
)  # fmt: skip
SPLITS = [[], *([pattern] for pattern in LOCAL_PATTERNS[:3]), list(LOCAL_PATTERNS[3:])]


class Far:
    """An encoder that is not trusted to be local."""

    cuts: Cuts | None = None

    def __init__(self, encoder: Encoder) -> None:
        self.encode = encoder.encode
        self.spans = encoder.spans


def splitting(splits: list[str]) -> Tokenizer:
    """The sample's tokenizer with other patterns; GPT-2's, where there are none."""
    sample = load_tokenizer(str(SAMPLE_TOKENIZER))
    state = json.loads(sample.json)
    state["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            *(
                {"type": "Split", "pattern": {"Regex": s}, "behavior": "Isolated", "invert": False}
                for s in splits
            ),
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": not splits,
            },
        ],
    }
    return replace(sample, json=json.dumps(state))


KINDS = pytest.mark.parametrize(
    "splits", SPLITS, ids=["gpt2", "llama3", "qwen2", "o200k", "deepseek"]
)


@KINDS
def test_what_meets_says_that_it_is_cut(splits: list[str]) -> None:
    """Where the characters at a boundary say that it is clean, the pattern always cuts."""
    state = json.loads(splitting(splits).stripped_json())
    assert locality(state) == ("lines" if splits else "words")
    cuts = PatternCuts(ends_lines=bool(splits))
    cut = HfTokenizer.from_str(json.dumps(state)).pre_tokenizer
    random = Random(len(splits))
    seen = [*map(chr, range(33, 127)), *"，。：；？！、价格"]
    clean = 0
    for _ in range(10_000):
        some = ["".join(random.choices(PIECES, k=random.choice((0, 1, 2)))) for _ in range(2)]
        prompt = some[0] + random.choice(seen) + random.choice(("", "", "\n", "\n\n", " "))
        completion = random.choice(("", " ", "    ", "\t", "\n")) + random.choice(seen) + some[1]
        if cuts.between([prompt], [completion])[0]:
            clean += 1
            apart = [*cut.pre_tokenize_str(prompt), *cut.pre_tokenize_str(completion)]
            whole = cut.pre_tokenize_str(prompt + completion)
            assert [text for text, _ in apart] == [text for text, _ in whole]
    assert clean > 2000


def assert_near_is_enough(encoder: Encoder, seed: int, unclean: range) -> None:
    """Looking only around a boundary, or not at all, tells the same as encoding the whole text."""
    assert encoder.cuts is not None
    random = Random(seed)
    texts: list[str] = []
    chains: list[Chain] = []
    for _ in range(3000):
        size = 2 if random.random() < 0.9 else 3
        chains.append(Chain(len(texts), len(texts) + size - 1, (False, True, False)[:size]))
        sizes = random.choices((0, 1, 2, 3, 6, 40), k=size)
        texts += ["".join(random.choices(PIECES, k=pieces)) for pieces in sizes]
    places = columns(chains)
    continued = np.ones(len(texts), np.bool_)
    continued[places.first] = np.array(random.choices((False, True), k=len(chains)))
    runs = encoder.encode(texts, continued)
    near = unclean_chains(encoder, texts, continued, runs, places)
    far = unclean_chains(Far(encoder), texts, continued, runs, places)
    assert near.tolist() == far.tolist()
    assert int(far.sum()) in unclean


@KINDS
def test_what_lies_around_a_boundary_is_enough(splits: list[str]) -> None:
    """A pattern says where text is always cut."""
    assert_near_is_enough(Encoder(splitting(splits), backend="hf"), len(splits), range(50, 1500))


def learned(scheme: str, *, split: bool = False) -> Tokenizer:
    """A SentencePiece-style tokenizer whose merges were learned from the pieces and the sample."""
    random = Random(3)
    lines = (SAMPLE_TOKENIZER.parent / "prompt_completion.jsonl").read_text().splitlines()
    lines += ["".join(random.choices(PIECES, k=20)) for _ in range(3000)]
    hf = piece_hf(scheme)
    if scheme != "normalizer":
        hf.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=split)
    known = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=2500,
        special_tokens=["<unk>", "<s>", "</s>", *known],
        limit_alphabet=150,
        show_progress=False,
    )
    hf.train_from_iterator(lines, trainer)
    state = json.loads(hf.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # bytes are no added tokens
    return replace(
        piece_tokenizer(scheme), json=json.dumps(state), size=len(state["model"]["vocab"])
    )


@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
@pytest.mark.parametrize("split", [False, True])
def test_pairs_of_characters_are_enough(scheme: str, split: bool) -> None:
    """Where no merge joins two characters, text is always cut between them."""
    encoder = Encoder(learned(scheme, split=split), backend="hf")
    assert isinstance(encoder.cuts, PairCuts)
    assert_near_is_enough(encoder, 5, range(50, 2500))


@pytest.mark.parametrize(
    "texts", [["", "  x"], ["", "   a"], ["", "", "  x"], ["", " ", "  x"], ["", "\u2581 x"]]
)
@pytest.mark.parametrize("scheme", ["first", "always", "normalizer", "never"])
def test_behind_an_empty_text(texts: list[str], scheme: str) -> None:
    """Where the whole gets a space in front, and the runs none, that is seen."""
    tokenizer = piece_tokenizer(scheme)
    state = json.loads(tokenizer.json)
    state["model"]["merges"] = [m for m in state["model"]["merges"] if m != ["▁", "▁"]]
    encoder = Encoder(replace(tokenizer, json=json.dumps(state)), backend="hf")
    assert encoder.cuts is not None
    continued = np.array([False] + [True] * (len(texts) - 1))
    runs = encoder.encode(texts, continued)
    chain = columns([Chain(0, len(texts) - 1, (False, *[True] * (len(texts) - 1)))])
    near = unclean_chains(encoder, texts, continued, runs, chain)
    assert near.tolist() == unclean_chains(Far(encoder), texts, continued, runs, chain).tolist()


def test_crossings() -> None:
    """What the two sides of a merge have at their ends, whichever way merges are written."""
    state = {"model": {"merges": ["a b", "ab c", "b c"]}}
    assert crossings(state) == "abbc"
    assert crossings({"model": {"merges": [["▁", "▁"], ["▁▁", "a"]]}}) == "▁a▁▁"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["added_tokens"].append({"content": " "}),
        lambda state: state.update(pre_tokenizer=None, normalizer=None),
        lambda state: state["pre_tokenizer"].update(replacement="_"),
        lambda state: state.update(normalizer={"type": "NFKC"}),
        lambda state: state["model"]["merges"].append(["<0x0A>", "a"]),
    ],
)
def test_merges_of_something_else(change: Callable[[dict[str, Any]], object]) -> None:
    """Only where tokens are made of characters do pairs of these say anything."""
    state = json.loads(piece_tokenizer("first").stripped_json())
    assert locality(state) == "pairs"
    change(state)
    assert locality(state) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": None},
        {"added_tokens": [{"content": " "}]},
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {"Regex": r"\p{N}{1,3}"},
                        "behavior": "Isolated",
                    },
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            }
        },
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": "[a-z ]+"}, "behavior": "Isolated"},
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            }
        },
    ],
)
def test_not_local(change: dict[str, object]) -> None:
    """What is not known to stay near a boundary is not taken for it."""
    state = json.loads(load_tokenizer(str(SAMPLE_TOKENIZER)).stripped_json())
    assert locality(state) == "words"
    assert locality(state | change) == ""
