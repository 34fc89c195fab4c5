"""The groups that rows are collected into."""

from itertools import pairwise

import pytest
from batches import grouped

from sftprep.data.batch import Batch
from sftprep.formats.row_groups import Grouper


def test_a_group_ends_with_its_rows_or_its_tokens() -> None:
    """A group ends before it has too many rows or tokens; a row that is too long is a group."""
    lengths = [1, 1, 1, 1, 9, 1, 11, 2, 8, 1, 3, 3]
    rows = Batch.of([[7] * n for n in lengths], [[True] * n for n in lengths])
    groups = grouped([rows], Grouper(max_rows=3, max_tokens=10))
    expected = [(3, 3), (2, 10), (1, 1), (1, 11), (2, 10), (3, 7)]
    assert [(len(group), len(group.input_ids)) for group in groups] == expected


@pytest.mark.parametrize("cuts", [[], [1], [5], [1, 2, 3], [0, 4, 4, 11], list(range(12))])
def test_groups_do_not_depend_on_batches(cuts: list[int]) -> None:
    """However rows are divided into batches, their groups are the same, with the same rows."""
    rows = [[i * 10 + k for k in range(i % 5)] for i in range(12)]
    whole = Batch.of(rows, [[k % 2 == 0 for k in row] for row in rows])
    parts = [whole.rows(start, stop) for start, stop in pairwise([0, *cuts, 12])]
    expected = grouped([whole], Grouper(3, 10))
    found = list(grouped(parts, Grouper(3, 10)))
    for one, other in zip(expected, found, strict=True):
        for field in ("input_ids", "loss_mask", "offsets"):
            assert getattr(one, field).tolist() == getattr(other, field).tolist()
    assert [i for group in found for i in group.input_ids.tolist()] == [
        i for row in rows for i in row
    ]


def test_a_full_group_is_given_at_once() -> None:
    """A group does not wait for the next batch once it is full."""
    grouper = Grouper(max_rows=2)
    batch = Batch.of([[1], [2], [3]], [[True], [True], [True]])
    assert [group.input_ids.tolist() for group in grouper.add(batch)] == [[1, 2]]
    assert [group.input_ids.tolist() for group in grouper.rest()] == [[3]]


def test_no_rows_give_no_group() -> None:
    """Without rows there is no group, not an empty one."""
    assert list(grouped([])) == []
    assert list(grouped([Batch.of([], [])])) == []
