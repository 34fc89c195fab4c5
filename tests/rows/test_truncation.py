"""Rows over ``max_length`` are cut by a strategy, or dropped; lengths are LLaMA-Factory's."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sftprep.data.batch import Batch, DropReason
from sftprep.data.pieces import Section
from sftprep.data.provenance import CutAt, Part, RowFacts, Segments, Writer
from sftprep.data.ragged import lengths_to_offsets
from sftprep.recipe import allowed_values
from sftprep.rows.truncation import balanced_lengths, truncate

SECTIONS = {"k": Section.KEPT, "p": Section.PROMPT, "c": Section.COMPLETION}


def batch(*rows: str) -> Batch:
    """Rows written as k(ept), p(rompt) and c(ompletion); a capital letter is a trained token.

    A token's id is its position in its row, so the ids show which tokens stay.
    """
    marks = "".join(rows)
    return Batch(
        np.array([i for row in rows for i in range(len(row))], np.int32),
        np.array([mark.isupper() for mark in marks], np.bool_),
        lengths_to_offsets(np.array([len(row) for row in rows], np.int64)),
        np.arange(len(rows), dtype=np.int64),
        np.array([SECTIONS[mark.lower()] for mark in marks], np.uint8),
    )


def rows_of(cut: Batch) -> list[list[int]]:
    """The tokens of each row that are left."""
    ends = cut.offsets.tolist()
    return [cut.input_ids[a:b].tolist() for a, b in itertools.pairwise(ends)]


def with_facts(rows: Batch) -> Batch:
    """The same rows, with facts that know of no cut."""
    own = Segments.of(
        [
            [(1, WRITER, bool(trained)) for trained in rows.loss_mask[a:b].tolist()]
            for a, b in itertools.pairwise(rows.offsets.tolist())
        ]
    ).merged()
    return replace(rows, facts=RowFacts.of(own))


WRITER = Writer(0, "user", Part.CONTENT)
LONG = "kkppppCCCC"  # two kept, four of prompt, four of completion


@pytest.mark.parametrize(
    ("strategy", "row", "limit", "expected"),
    [
        ("keep-start", LONG, 7, [0, 1, 2, 3, 4, 5, 6]),
        ("keep-end", LONG, 7, [3, 4, 5, 6, 7, 8, 9]),
        ("keep-end", LONG, 2, [8, 9]),
        ("completion-end", LONG, 7, [0, 1, 2, 3, 4, 5, 6]),
        ("prompt-start", LONG, 9, [0, 1, 3, 4, 5, 6, 7, 8, 9]),
        ("prompt-start", LONG, 6, [0, 1, 6, 7, 8, 9]),
        ("prompt-start", LONG, 5, [0, 1, 6, 7, 8]),
        ("prompt-start", LONG, 3, [0, 1, 6]),
        ("prompt-start", "kpkpkpCC", 6, [0, 2, 4, 5, 6, 7]),
        ("prompt-start", "ppppCC", 3, [3, 4, 5]),
        ("prompt-start", "pppPPpCC", 4, [4, 5, 6, 7]),
        ("prompt-start", "ppppCCcc", 5, [3, 4, 5, 6, 7]),
        ("prompt-start", "ppccC", 3, [2, 3, 4]),
        ("oldest-turns", LONG, 6, [0, 1, 6, 7, 8, 9]),
        ("balanced", "ppppppCCCCCC", 6, [3, 4, 5, 6, 7, 8]),
        ("balanced", "ppppppppCC", 6, [4, 5, 6, 7, 8, 9]),
        ("balanced", "ppCCCCCCCC", 6, [0, 1, 2, 3, 4, 5]),
        ("balanced", "kkppppCCCCCC", 6, [0, 1, 5, 6, 7, 8]),
        ("balanced", "kkkkkpCCCCCC", 6, [0, 1, 2, 3, 4, 6]),
    ],
)
def test_strategy(strategy: str, row: str, limit: int, expected: list[int]) -> None:
    """Each strategy keeps these tokens of a row that is too long, with their loss mask."""
    cut = truncate(batch(row), limit, strategy)
    assert ([expected], {}, 1) == (rows_of(cut.batch), cut.dropped, cut.truncated)
    trained = [row[i].isupper() for i in expected]
    assert trained == cut.batch.loss_mask.tolist()


@pytest.mark.parametrize("strategy", allowed_values("truncation"))
@pytest.mark.parametrize("row", [LONG, "pC", "kkkC", "PPPP"])
def test_short_rows_stay(strategy: str, row: str) -> None:
    """A row of exactly ``max_length`` tokens is not cut."""
    cut = truncate(batch(row), len(row), strategy)
    assert ([list(range(len(row)))], {}, 0) == (rows_of(cut.batch), cut.dropped, cut.truncated)


@pytest.mark.parametrize(
    ("strategy", "row", "limit", "reason"),
    [
        ("drop", LONG, 9, DropReason.TOO_LONG),
        ("error", LONG, 9, DropReason.TOO_LONG),
        ("keep-start", LONG, 6, DropReason.CUT_TO_NOTHING),
        ("completion-end", LONG, 6, DropReason.CUT_TO_NOTHING),
        ("completion-end", LONG, 5, DropReason.CUT_TO_NOTHING),
        ("completion-end", "pPPppCC", 5, DropReason.CUT_TO_NOTHING),
        ("completion-end", "pPPppCC", 4, DropReason.CUT_TO_NOTHING),
        ("completion-end", "ppcccC", 4, DropReason.CUT_TO_NOTHING),
        ("keep-end", "kCCpppp", 4, DropReason.CUT_TO_NOTHING),
        ("prompt-start", "kkkkpCCC", 4, DropReason.TOO_LONG),
        ("balanced", "kkkkpCCC", 4, DropReason.TOO_LONG),
        ("oldest-turns", "kkkkpCCC", 3, DropReason.TOO_LONG),
        ("prompt-start", "ppcccC", 3, DropReason.CUT_TO_NOTHING),
        ("drop", "pppp", 9, DropReason.NOTHING_TO_TRAIN),
        ("drop", "pppp", 3, DropReason.NOTHING_TO_TRAIN),
        ("drop", "Cppp", 9, DropReason.NOTHING_TO_TRAIN),
    ],
)  # fmt: skip
def test_dropped(strategy: str, row: str, limit: int, reason: DropReason) -> None:
    """A row that would have no trained token is dropped, with the reason."""
    cut = truncate(batch("pC", row, "pC"), limit, strategy)
    assert ({1: reason}, 0) == (cut.dropped, cut.truncated)
    assert (rows_of(cut.batch), cut.batch.record.tolist()) == ([[0, 1], [0, 1]], [0, 2])


@pytest.mark.parametrize(
    ("strategy", "row", "limit", "lost"),
    [
        ("keep-start", LONG, 9, True),
        ("keep-end", LONG, 4, False),
        ("keep-end", LONG, 3, True),
        ("completion-end", LONG, 9, True),
        ("completion-end", "ppCCc", 4, False),
        ("prompt-start", LONG, 6, False),
        ("prompt-start", LONG, 5, True),
        ("prompt-start", "ppPpCC", 4, False),
        ("prompt-start", "ppPpCC", 3, True),
        ("balanced", "ppppCC", 5, False),
    ],
)
def test_rows_that_lost_trained_tokens(strategy: str, row: str, limit: int, lost: bool) -> None:
    """Cut rows that lost trained tokens are counted apart."""
    cut = truncate(batch("pC", row, row), limit, strategy)
    assert (cut.truncated, cut.truncated_trained) == (2, 2 * lost)


def test_many_rows() -> None:
    """Each row of a batch is cut by itself, together with its mask."""
    cut = truncate(batch("kpC", LONG, "pp", "kkkkkkC", "pppppCC"), 5, "prompt-start")
    assert rows_of(cut.batch) == [[0, 1, 2], [0, 1, 6, 7, 8], [2, 3, 4, 5, 6]]
    assert cut.batch.record.tolist() == [0, 1, 4]
    expected = {2: DropReason.NOTHING_TO_TRAIN, 3: DropReason.TOO_LONG}
    assert expected == cut.dropped
    assert cut.truncated == 2
    trained = [[0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]
    assert [bool(x) for row in trained for x in row] == cut.batch.loss_mask.tolist()


def test_nothing_is_invented() -> None:
    """A cut answer ends with its own last kept token: no terminator is put there."""
    before = batch("pCCCC")
    before.input_ids[:] = [10, 11, 12, 13, 99]
    assert truncate(before, 3, "completion-end").batch.input_ids.tolist() == [10, 11, 12]


@pytest.mark.parametrize("strategy", allowed_values("truncation"))
def test_no_rows(strategy: str) -> None:
    """An empty batch stays empty."""
    cut = truncate(batch(), 5, strategy)
    assert (rows_of(cut.batch), cut.dropped, cut.truncated) == ([], {}, 0)


# --- lengths ------------------------------------------------------------------------------------

VECTORS = [
    ((3000, 2000, 1000), (600, 400)),
    ((2000, 3000, 1000), (400, 600)),
    ((1000, 100, 1000), (900, 100)),
    ((100, 1000, 1000), (100, 900)),
    ((100, 500, 1000), (100, 500)),
    ((100, 10, 50), (40, 10)),
    ((10, 100, 50), (10, 40)),
    ((60, 60, 50), (25, 25)),
    ((30, 30, 100), (30, 30)),
]
"""Prompt, completion, limit -> what stays of both; from the tests of ``infer_seqlen``."""


@pytest.mark.parametrize(("given", "expected"), VECTORS)
def test_balanced_lengths(given: tuple[int, int, int], expected: tuple[int, int]) -> None:
    """Without a kept section, the lengths are LLaMA-Factory's."""
    prompt, completion, limit = given
    assert expected == balanced_lengths(0, prompt, completion, limit)


@pytest.mark.parametrize(("given", "expected"), VECTORS)
def test_balanced_rows(given: tuple[int, int, int], expected: tuple[int, int]) -> None:
    """Rows are cut to these lengths: the prompt at its start, the completion at its end."""
    prompt, completion, limit = given
    cut = truncate(batch("p" * prompt + "C" * completion), limit, "balanced")
    source, target = expected
    left = [*range(prompt - source, prompt), *range(prompt, prompt + target)]
    assert [left] == rows_of(cut.batch)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((5, 95, 10, 50), (40, 10)),
        ((20, 40, 60, 50), (25, 25)),
        ((30, 30, 60, 50), (30, 20)),
        ((49, 100, 100, 50), (49, 1)),
    ],
)
def test_balanced_keeps_what_is_kept(
    given: tuple[int, int, int, int], expected: tuple[int, int]
) -> None:
    """The kept section counts as prompt and stays whole; the completion gets shorter instead."""
    assert expected == balanced_lengths(*given)


@pytest.mark.parametrize(
    ("strategy", "limit", "tokens", "trained", "places"),
    [
        ("keep-start", 7, 3, 3, CutAt.END),
        ("keep-end", 7, 3, 0, CutAt.START),
        ("completion-end", 7, 3, 3, CutAt.END),
        ("prompt-start", 8, 2, 0, CutAt.MIDDLE),
        ("prompt-start", 3, 7, 3, CutAt.MIDDLE | CutAt.END),
        ("balanced", 6, 4, 2, CutAt.MIDDLE | CutAt.END),
        ("keep-start", 10, 0, 0, 0),
    ],
)
def test_facts_of_a_cut(strategy: str, limit: int, tokens: int, trained: int, places: int) -> None:
    """They say how much was removed, how much of it was trained, and where; the rest fits."""
    facts = truncate(with_facts(batch("pC", LONG, "pCc")), limit, strategy).batch.facts
    assert facts is not None
    assert facts.cut_tokens.tolist() == [0, tokens, 0]
    assert facts.cut_trained.tolist() == [0, trained, 0]
    assert facts.cut_at.tolist() == [0, places, 0]
    assert facts.segments.row_tokens.tolist() == [2, len(LONG) - tokens, 3]


def test_facts_of_a_cut_at_start_and_end() -> None:
    """Without a kept section, a balanced cut takes from both ends; so a row has two places."""
    cut = truncate(with_facts(batch("ppppppCCCCCC", "ppppCCcc")), 6, "balanced").batch
    assert cut.facts is not None
    assert cut.facts.cut_at.tolist() == [CutAt.START | CutAt.END] * 2
    assert cut.facts.cut_tokens.tolist() == [6, 2]


def test_facts_go_with_their_rows() -> None:
    """Rows that are dropped take their facts with them."""
    rows = with_facts(batch("pC", "pp", LONG, "ppC"))
    assert rows.facts is not None
    rows = replace(rows, facts=replace(rows.facts, line=np.array([1, 2, 3, 4])))
    facts = truncate(rows, 5, "drop").batch.facts
    assert facts is not None
    assert facts.line.tolist() == [1, 4]
