"""Token breaks: the ids on both sides do not depend on each other."""

import json
from random import Random

import pytest
from boundaries import KINDS, PIECES, splitting
from tokenizers import Tokenizer as HfTokenizer

from sftprep.tokenization.boundary.breaks import PairBreaks, PatternBreaks, breaks_of
from sftprep.tokenization.boundary.known_breaks import KnownBreaks, known_breaks


def test_rules() -> None:
    """Each rule has its finder; if no rule is known, there is no finder."""
    assert breaks_of(KnownBreaks()) is None
    words, lines = breaks_of(KnownBreaks("words")), breaks_of(KnownBreaks("lines"))
    assert isinstance(words, PatternBreaks)
    assert isinstance(lines, PatternBreaks)
    indented = (["a:\n\n"], ["  b"])
    assert (words.between(*indented).tolist(), lines.between(*indented).tolist()) == (
        [False],
        [True],
    )
    pairs = breaks_of(KnownBreaks("pairs", "ab▁a"))
    assert isinstance(pairs, PairBreaks)
    assert pairs.between(["a", "a", " "], ["b", "a", "a"]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "last", "first"),
    [
        ("one two three ", 7, 3),
        ("价格，是", 2, 2),
        ("no-break-here", 0, 13),
        ("", 0, 0),
        ("a b" + "x" * 100, 0, 1),
        ("x" * 100 + " b", 100, 102),
    ],
)
def test_inside_a_text(text: str, last: int, first: int) -> None:
    """A break is looked for near an end of the text, after a letter and before a space."""
    breaks = PatternBreaks(ends_lines=True)
    assert (breaks.last(text), breaks.first(text)) == (last, first)


@KINDS
def test_patterns_always_split_at_a_token_break(splits: list[str]) -> None:
    """Where the characters show a token break, HF's pre-tokenizer splits, whatever is around it."""
    state = json.loads(splitting(splits).stripped_json())
    assert known_breaks(state).rule == ("lines" if splits else "words")
    breaks = PatternBreaks(ends_lines=bool(splits))
    pre_tokenizer = HfTokenizer.from_str(json.dumps(state)).pre_tokenizer
    random = Random(len(splits))
    seen = [*map(chr, range(33, 127)), *"，。：；？！、价格"]
    found = 0
    for _ in range(2_500):
        some = ["".join(random.choices(PIECES, k=random.choice((0, 1, 2)))) for _ in range(2)]
        prompt = some[0] + random.choice(seen) + random.choice(("", "", "\n", "\n\n", " "))
        completion = random.choice(("", " ", "    ", "\t", "\n")) + random.choice(seen) + some[1]
        if breaks.between([prompt], [completion])[0]:
            found += 1
            apart = [prompt, completion]
            pieces = [text for part in apart for text, _ in pre_tokenizer.pre_tokenize_str(part)]
            whole = pre_tokenizer.pre_tokenize_str(prompt + completion)
            assert pieces == [text for text, _ in whole]
    assert found > 500
