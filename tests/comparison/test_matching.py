"""matching: rows of two datasets become pairs by their texts, then by their places."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftprep.comparison.matching import match
from sftprep.comparison.rows import Rows

Record = tuple[int, int, str]
"""The number of an input, a line, and a text."""


def rows_of(records: list[Record]) -> Rows:
    """The rows of a dataset; only places and texts matter here."""
    numbers = np.array([record[:2] for record in records], np.int64).reshape(-1, 2)
    texts = np.array([hash(record[2]) % 2**63 for record in records], np.uint64)
    nothing = np.zeros(len(records), np.int64)
    return Rows(
        source=numbers[:, 0], line=numbers[:, 1], offset=numbers[:, 1], answer=nothing,
        text=texts, ids=texts, tokens=texts, row=np.arange(len(records)), split=nothing,
        place=np.zeros((len(records), 2), np.int64), shard=nothing, number=nothing,
    )  # fmt: skip


def matched(old: list[Record], new: list[Record]) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """The pairs, and the rows without a partner."""
    names = np.arange(9)
    found = match((rows_of(old), rows_of(new)), (names, names))
    return [(a, b) for a, b in found.pairs.tolist()], [side.tolist() for side in found.only]


def test_a_record_that_moved_is_found() -> None:
    """A new record at the top moves all others: they are pairs still."""
    old = [(0, 1, "a"), (0, 2, "b"), (0, 3, "c")]
    new = [(0, 1, "new"), (0, 2, "a"), (0, 3, "b"), (0, 4, "c")]
    assert matched(old, new) == ([(0, 1), (1, 2), (2, 3)], [[], [0]])


def test_a_record_that_changed_is_found_by_its_place() -> None:
    """A text that was edited is paired with the text at the same place."""
    old = [(0, 1, "a"), (0, 2, "b"), (1, 2, "c")]
    new = [(0, 1, "a"), (0, 2, "edited"), (1, 2, "c")]
    assert matched(old, new) == ([(0, 0), (1, 1), (2, 2)], [[], []])


def test_repeated_texts_are_paired_by_place_first() -> None:
    """Of several rows with one text, those at the same place are pairs; the others follow."""
    old = [(0, 1, "a"), (0, 2, "a"), (0, 3, "a")]
    new = [(0, 2, "a"), (0, 3, "a"), (0, 9, "a")]
    assert matched(old, new) == ([(1, 0), (2, 1), (0, 2)], [[], []])


@given(
    *[
        st.lists(
            st.tuples(st.integers(0, 1), st.integers(1, 6), st.sampled_from("abc")),
            max_size=12,
            unique_by=lambda record: record[:2],
        ).map(sorted)
    ]
    * 2
)
def test_as_many_pairs_as_possible(old: list[Record], new: list[Record]) -> None:
    """Each row is in one pair or in none; no text is left on both sides, and no place."""
    pairs, only = matched(old, new)
    for side, (records, left) in enumerate(zip((old, new), only, strict=True)):
        assert sorted([pair[side] for pair in pairs] + left) == list(range(len(records)))
    same = Counter(record[2] for record in old) & Counter(record[2] for record in new)
    assert sum(old[a][2] == new[b][2] for a, b in pairs) == same.total()
    free = [[records[at] for at in left] for records, left in zip((old, new), only, strict=True)]
    assert not {record[:2] for record in free[0]} & {record[:2] for record in free[1]}
    for a, b in pairs:
        assert old[a][2] == new[b][2] or old[a][:2] == new[b][:2]
