"""choice: which rows are shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.errors import UsageError
from sftprep.views.choice import Candidate, Choice, check_lost, nothing_found

ROWS = [
    Candidate((0, 0), "a.jsonl", 1, 10, 0, []),
    Candidate((0, 1), "a.jsonl", 2, 30, 5, ["unclean_boundary"]),
    Candidate((1, 0), "b.jsonl", 1, 20, 0, ["omitted:tools", "unclean_boundary"]),
    Candidate((1, 1), "b.jsonl", 9, 30, 1, []),
]


def chosen(**options: Any) -> list[tuple[int, ...]]:
    """The keys of the rows of ``ROWS`` that are chosen, in their order."""
    choice = Choice(**{"rows": 9} | options)
    return [row.key for row in choice.pick(filter(choice.wants, ROWS))]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ({"rows": 2}, [(0, 0), (0, 1)]),
        ({"longest": True, "rows": 3}, [(0, 1), (1, 1), (1, 0)]),
        ({"shortest": True, "rows": 2}, [(0, 0), (1, 0)]),
        ({"cut": True}, [(0, 1), (1, 1)]),
        ({"cut": True, "longest": True, "rows": 1}, [(0, 1)]),
        ({"reason": "unclean_boundary"}, [(0, 1), (1, 0)]),
        ({"reason": "omitted"}, [(1, 0)]),
        ({"reason": "omitted:tools"}, [(1, 0)]),
        ({"reason": "omit"}, []),
        ({"line": "b.jsonl:9"}, [(1, 1)]),
        ({"line": "data/b.jsonl:1"}, [(1, 0)]),
        ({"line": "c.jsonl:1"}, []),
    ],
)
def test_rows_are_chosen(options: dict[str, Any], keys: list[tuple[int, int]]) -> None:
    """Rows of a place, a reason or a cut; and the longest, the shortest or the first of them."""
    assert chosen(**options) == keys


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_random_rows_depend_on_the_seed_alone(seed: int, rows: int) -> None:
    """The same seed gives the same rows, in any order of the candidates; no row comes twice."""
    choice = Choice(rows, random=True, seed=seed)
    found = choice.pick(ROWS)
    assert found == choice.pick(reversed(ROWS))
    assert len({row.key for row in found}) == rows
    assert choice.pick(ROWS)[:1] == Choice(1, random=True, seed=seed).pick(ROWS)


def test_every_row_can_come_first() -> None:
    """Seeds draw all rows about equally often."""
    first = [Choice(random=True, seed=seed).pick(ROWS)[0].key for seed in range(400)]
    assert all(60 < first.count(row.key) < 140 for row in ROWS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "--rows is 0; expected 1 or more."),
        (
            {"random": True, "shortest": True},
            "--random and --shortest each give an order. Choose one of them.",
        ),
        ({"seed": 7}, "--seed is given, but nothing is random. Pass --random with it."),
        ({"line": "a.jsonl"}, "--line a.jsonl: expected FILE:LINE, as in train.jsonl:12."),
        ({"line": "a.jsonl:0"}, "--line a.jsonl:0: expected FILE:LINE, as in train.jsonl:12."),
        ({"line": ":7"}, "--line :7: expected FILE:LINE, as in train.jsonl:12."),
        ({"grep": ""}, "--grep is empty; expected a text."),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    """Options that contradict each other are refused."""
    with pytest.raises(UsageError) as error:
        Choice(**options)
    assert str(error.value) == message


def test_nothing_is_found() -> None:
    """The error names the choice, and the reasons that there are."""
    error = nothing_found(Choice(cut=True, reason="x", grep="a b"), 7, {"omitted:tools", "b"})
    assert str(error) == (
        "no row is chosen by --cut --reason x --grep a b, of 7 rows. The reasons are b, omitted."
    )
    assert str(nothing_found(Choice(reason="x"), 1, ())) == (
        "no row is chosen by --reason x, of 1 row. No row has a reason."
    )
    assert str(nothing_found(Choice(longest=True), 0, ())) == (
        "no row is chosen by --longest, of 0 rows. Choose others."
    )


def test_lost_records_have_no_tokens() -> None:
    """Options about rows do not go with ``--dropped``; a place and a reason do."""
    with pytest.raises(UsageError, match=r"--dropped lists records .*, and --longest chooses rows"):
        check_lost(Choice(longest=True))
    check_lost(Choice(5, line="a:1", reason="too_long"))
    assert Choice(line="a:1", reason="too_long").wants_lost("a", 1, "too_long")
    assert not Choice(line="a:1").wants_lost("a", 2, "too_long")
