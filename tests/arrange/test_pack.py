"""Packing is plain best-fit decreasing; the plain algorithm is written out here."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.arrange.options import PackOrder
from sftprep.arrange.pack import pack
from sftprep.errors import UsageError

lengths = st.lists(st.integers(1, 40), max_size=80)
SPACES = st.integers(40, 100)


def plain(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing, document by document; the packs in the order of their first documents.

    Of the packs with the least space that is enough, the one that has had it for longest is taken.
    """
    packs: list[list[int]] = []
    spaces: list[tuple[int, int, int]] = []  # space, since when, pack
    for time, document in enumerate(sorted(range(len(lengths)), key=lambda i: -lengths[i])):
        fitting = [entry for entry in spaces if entry[0] >= lengths[document]]
        entry = min(fitting, default=(capacity, 0, len(packs)))
        if fitting:
            spaces.remove(entry)
        else:
            packs.append([])
        packs[entry[2]].append(document)
        spaces.append((entry[0] - lengths[document], time, entry[2]))
    return sorted(packs, key=min)


def packed(
    lengths: list[int],
    capacity: int,
    order: PackOrder = PackOrder.PLAN,
    salt: int | None = None,
) -> list[list[int]]:
    """The numbers of the documents in each pack."""
    found = pack(np.array(lengths, np.int32), capacity, order, salt)
    ends = found.offsets.tolist()
    return [found.order[a:b].tolist() for a, b in itertools.pairwise(ends)]


@given(lengths, SPACES)
def test_the_packs_are_those_of_the_plain_algorithm(lengths: list[int], capacity: int) -> None:
    """Longest first, each pack holds its documents in the order in which they were put there."""
    expected = plain(lengths, capacity)
    assert packed(lengths, capacity, PackOrder.LONGEST_FIRST) == expected
    assert packed(lengths, capacity) == [sorted(documents) for documents in expected]


@given(lengths, SPACES, st.sampled_from(PackOrder), st.none() | st.integers(0, 9))
def test_each_document_is_in_one_pack_and_no_pack_is_too_long(
    lengths: list[int], capacity: int, order: PackOrder, salt: int | None
) -> None:
    """Whatever the order and whether packs are shuffled."""
    packs = packed(lengths, capacity, order, salt)
    assert sorted(document for documents in packs for document in documents) == list(
        range(len(lengths))
    )
    assert all(sum(lengths[document] for document in documents) <= capacity for documents in packs)
    assert all(packs)


@given(lengths, SPACES, st.integers(0, 9))
def test_shuffled_packs_are_the_same_packs(lengths: list[int], capacity: int, salt: int) -> None:
    """Only their order differs."""
    shuffled = packed(lengths, capacity, salt=salt)
    assert sorted(shuffled) == sorted(packed(lengths, capacity))


def test_packs_are_really_shuffled() -> None:
    """And differently for another salt."""
    plan, one, other = (packed([9] * 100, 10, salt=salt) for salt in (None, 1, 2))
    assert plan == [[document] for document in range(100)]
    assert len({str(plan), str(one), str(other)}) == 3


def test_lengths_that_trl_packs_in_its_documentation() -> None:
    """TRL's example cuts the first document to four tokens; here it has four."""
    lengths = [4, 2, 3, 1]
    assert packed(lengths, 4, PackOrder.LONGEST_FIRST) == [[0], [1], [2, 3]]
    assert packed(lengths, 4) == [[0], [1], [2, 3]]


@pytest.mark.parametrize(
    ("lengths", "capacity", "expected"),
    [
        ([], 8, []),
        ([8], 8, [[0]]),
        ([8, 8], 8, [[0], [1]]),
        ([1] * 7, 3, [[0, 1, 2], [3, 4, 5], [6]]),
        ([4] * 5, 8, [[0, 1], [2, 3], [4]]),
        # 5 + 3 fills a pack; the second 3 fits best beside the 4.
        ([5, 4, 3, 3], 8, [[0, 2], [1, 3]]),
        # The 2 goes where exactly 2 is left, though an earlier pack has room.
        ([5, 6, 2], 8, [[0], [1, 2]]),
        # Both packs have 3 left; the first to have it takes the first document.
        ([5, 5, 3, 3], 8, [[0, 2], [1, 3]]),
        # Pack 0 has 4 left from the start, pack 1 (5 + 2 = 7 of 11) only later.
        ([7, 9, 4, 2], 11, [[0, 2], [1, 3]]),
        ([70_000, 1, 29_999, 100_000], 100_000, [[0, 1, 2], [3]]),
    ],
)
def test_small_cases(lengths: list[int], capacity: int, expected: list[list[int]]) -> None:
    """The packs, in the order of their first documents, each in the order of the plan."""
    assert packed(lengths, capacity) == expected


def test_a_large_split_is_packed_as_well_as_a_small_one() -> None:
    """A thousand times the same lengths need a thousand times the packs at most."""
    one = [900, 700, 650, 400, 350, 300, 124, 100, 80, 20]
    many = packed(one * 1000, 1024)
    assert len(many) <= 1000 * len(packed(one, 1024))
    assert Counter(document % 10 for pack in many for document in pack) == dict.fromkeys(
        range(10), 1000
    )


def test_a_document_longer_than_a_pack_is_refused() -> None:
    """The message gives the number of them, and a length that would do."""
    with pytest.raises(UsageError, match=r"2 of 3 rows are longer than a pack of 8 .* 12\b"):
        packed([9, 8, 12], 8)
