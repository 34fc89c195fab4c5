"""Near duplicates: nearly the same prompt, and nearly the same answer."""

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some

from sftprep.arrange import near as module
from sftprep.arrange.columns import Rows
from sftprep.arrange.near import Near, Tokens, near
from sftprep.data.ragged import lengths_to_offsets, ragged_index
from sftprep.errors import UsageError

Row = tuple[list[int], list[int]]  # the tokens of the prompt, and the trained ones of the answer
THRESHOLD = Fraction(4, 5)


def words(seed: int, number: int) -> list[int]:
    """Tokens of a text, another one for each seed."""
    found: list[int] = np.random.default_rng(seed).integers(0, 50_000, number).tolist()
    return found


def tokens_of(rows: Sequence[Row]) -> module.TokensOf:
    """The function that returns the tokens of rows."""
    lengths = np.array([len(prompt) + len(answer) for prompt, answer in rows], np.int64)
    ids = np.array([token for row in rows for side in row for token in side], np.int32)
    trained = np.array(
        [flag for row in rows for flag in [False] * len(row[0]) + [True] * len(row[1])], np.bool_
    )
    offsets = lengths_to_offsets(lengths)

    def of(wanted: Rows) -> Tokens:
        places = ragged_index(offsets[:-1][wanted], lengths[wanted])
        return Tokens(ids[places], trained[places], lengths_to_offsets(lengths[wanted]))

    return of


def search(rows: Sequence[Row]) -> Near:
    """What is found among all rows."""
    lengths = np.array([len(prompt) + len(answer) for prompt, answer in rows], np.int32)
    return near(np.arange(len(rows)), lengths, tokens_of(rows), THRESHOLD)


def found(rows: Sequence[Row]) -> dict[int, int]:
    """The rows that are dropped, and the row that each repeats."""
    repeated = search(rows).repeated
    return dict(zip(repeated.rows.tolist(), repeated.repeats.tolist(), strict=True))


def test_a_small_change_in_a_long_text_makes_a_near_duplicate() -> None:
    """The first row stays, wherever the change is."""
    prompt, answer = words(1, 200), words(2, 100)
    rows = [
        (prompt, answer),
        (words(3, 200), words(4, 100)),
        (prompt, [*answer, 7]),
        ([9, *prompt[:-1]], answer),
    ]
    assert found(rows) == {2: 0, 3: 0}


def test_one_long_text_with_several_questions_is_no_duplicate() -> None:
    """The answers differ, so all of them stay."""
    text = words(1, 500)
    rows = [([*text, *words(10 + i, 8)], words(20 + i, 12)) for i in range(20)]
    assert found(rows) == {}


def test_two_answers_to_one_question_are_no_duplicates() -> None:
    """Not even if the answers are a token long."""
    prompt = words(1, 300)
    assert found([(prompt, [5]), (prompt, [6]), (prompt, [5])]) == {2: 0}


def test_one_answer_to_many_questions_is_no_duplicate() -> None:
    """The prompts differ."""
    assert found([(words(i, 50), [5, 6, 7]) for i in range(50)]) == {}


def jaccard(one: list[int], other: list[int]) -> Fraction:
    """The share of the runs of five tokens that both have."""
    sets = [
        {tuple(side[i : i + 5]) for i in range(max(1, len(side) - 4))} if side else set()
        for side in (one, other)
    ]
    either = len(sets[0] | sets[1])
    return Fraction(len(sets[0] & sets[1]), either) if either else Fraction(1)


sides = st.lists(st.integers(0, 2), max_size=9)


@settings(max_examples=some(50))
@given(st.lists(st.tuples(sides, sides.filter(bool)), max_size=12))
def test_a_dropped_row_is_as_similar_as_the_threshold_to_a_row_that_stays(rows: list[Row]) -> None:
    """The similarity is that of the runs of tokens themselves, on both sides."""
    dropped = found(rows)
    for row, kept in dropped.items():
        assert kept < row
        assert kept not in dropped
        assert all(jaccard(a, b) >= THRESHOLD for a, b in zip(rows[row], rows[kept], strict=True))
    # Equal rows agree in all bands, so they are always found.
    stay = [row for number, row in enumerate(rows) if number not in dropped]
    assert len({(tuple(prompt), tuple(answer)) for prompt, answer in stay}) == len(stay)


def test_a_row_like_a_dropped_one_only_stays() -> None:
    """Each step changes a little; the last row is too far from the first."""
    prompt = words(1, 20)
    steps = [words(2, 100)]
    for step in range(1, 4):
        steps.append([*steps[-1][: -8 * step], *words(30 + step, 8 * step)])
    rows = [(prompt, answer) for answer in steps]
    near_first = [jaccard(steps[0], answer) >= THRESHOLD for answer in steps]
    assert near_first == [True, True, False, False]
    assert found(rows)[1] == 0
    assert 2 not in found(rows) or found(rows)[2] != 0


def test_most_pairs_at_the_threshold_are_found() -> None:
    """And all that are clearly above it."""
    rows: list[Row] = []
    for number in range(200):
        prompt, answer = words(number, 60), words(1000 + number, 104)
        rows += [(prompt, answer), (prompt, [*answer[:-4], *words(2000 + number, 4)])]
    assert len(found(rows)) >= 199


def test_memory_is_bounded_by_reading_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not depend on how many tokens are read at a time."""
    rows: list[Row] = [(words(number % 7, 30), words(number % 5, 20)) for number in range(80)]
    whole = search(rows)
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 120)
    parts = search(rows)
    assert parts.repeated.rows.tolist() == whole.repeated.rows.tolist()
    assert parts.repeated.repeats.tolist() == whole.repeated.repeats.tolist()
    assert len(whole.repeated.rows) == 80 - 35


def test_no_rows() -> None:
    """Nothing is compared."""
    assert found([]) == {}
    assert search([]).facts["compared"] == 0


def test_without_the_library_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is an optional extra."""
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(UsageError, match=r"pip install 'sftprep\[near\]'"):
        module.rensa()


def test_the_library_is_imported_only_when_needed() -> None:
    """Not by the module itself."""
    code = "import sys, sftprep.arrange.arrange; print('rensa' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
