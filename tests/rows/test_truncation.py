"""truncate: each strategy on rows that can be read, and LLaMA-Factory's published lengths."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from sftprep.data.batch import Batch, DropReason
from sftprep.data.conversation import Conversation, Message
from sftprep.data.pieces import Section
from sftprep.data.ragged import ends_to_offsets
from sftprep.recipe import allowed_values
from sftprep.rows.truncation import balanced_lengths, drop_oldest, exchanges, truncate

PARTS = {"k": Section.KEPT, "p": Section.PROMPT, "c": Section.COMPLETION}


def batch(*rows: str) -> Batch:
    """Rows of marks: k(ept), p(rompt), c(ompletion); a capital letter is trained.

    A token's id is its place in its row, so that it can be seen which tokens stay.
    """
    marks = "".join(rows)
    return Batch(
        np.array([i for row in rows for i in range(len(row))], np.int32),
        np.array([mark.isupper() for mark in marks], np.bool_),
        ends_to_offsets(np.array([len(row) for row in rows], np.int64)),
        np.arange(len(rows), dtype=np.int64),
        np.array([PARTS[mark.lower()] for mark in marks], np.uint8),
    )


def rows_of(cut: Batch) -> list[list[int]]:
    """Which tokens of each row are left."""
    ends = cut.offsets.tolist()
    return [cut.input_ids[a:b].tolist() for a, b in itertools.pairwise(ends)]


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
    """A strategy keeps these tokens of a row that is too long."""
    cut = truncate(batch(row), limit, strategy)
    assert ([expected], {}, 1) == (rows_of(cut.batch), cut.dropped, cut.truncated)
    trained = [row[i].isupper() for i in expected]
    assert trained == cut.batch.loss_mask.tolist()


@pytest.mark.parametrize("strategy", allowed_values("truncation"))
@pytest.mark.parametrize("row", [LONG, "pC", "kkkC", "PPPP"])
def test_short_rows_stay(strategy: str, row: str) -> None:
    """A row that fits is left alone, right up to the limit."""
    cut = truncate(batch(row), len(row), strategy)
    assert ([list(range(len(row)))], {}, 0) == (rows_of(cut.batch), cut.dropped, cut.truncated)


@pytest.mark.parametrize(
    ("strategy", "row", "limit", "reason"),
    [
        ("drop", LONG, 9, DropReason.TOO_LONG),
        ("error", LONG, 9, DropReason.TOO_LONG),
        ("keep-start", LONG, 6, DropReason.CUT_TO_NOTHING),
        ("completion-end", LONG, 6, DropReason.CUT_TO_NOTHING),
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
    """A row that cannot be cut to a trained one is dropped, under its own reason."""
    cut = truncate(batch("pC", row, "pC"), limit, strategy)
    assert ({1: reason}, 0) == (cut.dropped, cut.truncated)
    assert (rows_of(cut.batch), cut.batch.record.tolist()) == ([[0, 1], [0, 1]], [0, 2])


def test_many_rows() -> None:
    """Each row of a batch is cut by itself, and the mask with it."""
    cut = truncate(batch("kpC", LONG, "pp", "kkkkkkC", "pppppCC"), 5, "prompt-start")
    assert rows_of(cut.batch) == [[0, 1, 2], [0, 1, 6, 7, 8], [2, 3, 4, 5, 6]]
    assert cut.batch.record.tolist() == [0, 1, 4]
    expected = {2: DropReason.NOTHING_TO_TRAIN, 3: DropReason.TOO_LONG}
    assert expected == cut.dropped
    assert cut.truncated == 2
    trained = [[0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]
    assert [bool(x) for row in trained for x in row] == cut.batch.loss_mask.tolist()


def test_nothing_is_invented() -> None:
    """A cut answer ends with its own last token: no terminator is put there."""
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
"""Prompt, completion, limit -> prompt and completion that stay: ``infer_seqlen``'s own tests."""


@pytest.mark.parametrize(("given", "expected"), VECTORS)
def test_balanced_lengths(given: tuple[int, int, int], expected: tuple[int, int]) -> None:
    """With nothing kept, the lengths are LLaMA-Factory's."""
    prompt, completion, limit = given
    assert expected == balanced_lengths(0, prompt, completion, limit)


@pytest.mark.parametrize(("given", "expected"), VECTORS)
def test_balanced_rows(given: tuple[int, int, int], expected: tuple[int, int]) -> None:
    """A row is cut to these lengths: the prompt at its start, the completion at its end."""
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
    """The kept part counts as prompt and is not cut into: the completion gives way."""
    assert expected == balanced_lengths(*given)


# --- whole exchanges ----------------------------------------------------------------------------


def conversation(roles: str) -> Conversation:
    """A conversation of s(ystem), u(ser) and a(ssistant), each turn's content its number."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    return Conversation.of(*(Message(names[r], str(i)) for i, r in enumerate(roles)))


def contents(value: Conversation) -> Sequence[str]:
    """The contents of the turns."""
    return [message.content for message in value.messages]


@pytest.mark.parametrize(
    ("roles", "count", "expected"),
    [
        ("uaua", 0, ["0", "1", "2", "3"]),
        ("uaua", 1, ["2", "3"]),
        ("suauaua", 1, ["0", "3", "4", "5", "6"]),
        ("suauaua", 2, ["0", "5", "6"]),
    ],
)
def test_drop_oldest(roles: str, count: int, expected: list[str]) -> None:
    """Whole exchanges go from the front, and the system turn stays."""
    shorter = drop_oldest(conversation(roles), count)
    assert isinstance(shorter, Conversation)
    assert expected == contents(shorter)


@pytest.mark.parametrize(("roles", "count"), [("ua", 1), ("suaua", 2), ("s", 0)])
def test_exchanges(roles: str, count: int) -> None:
    """An exchange is a user's turn with its answer."""
    assert count == exchanges(conversation(roles))
