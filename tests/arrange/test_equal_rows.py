"""Equal rows are found in groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftprep.arrange.equal_rows import equal_rows

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=40)


@given(pairs)
def test_groups_are_rows_that_are_equal_in_all_columns(rows: list[tuple[int, int]]) -> None:
    """Compared with a dictionary."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row, []).append(number)
    expected = {tuple(group) for group in groups.values() if len(group) > 1}

    key, other = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    found = equal_rows(key, [other])
    parts = np.split(found.members, np.flatnonzero(found.first)[1:])
    assert {tuple(part.tolist()) for part in parts if len(part)} == expected
    assert found.places().tolist() == [i for part in parts for i in range(len(part))]

    repeated, firsts = found.repeated()
    assert dict(zip(repeated.tolist(), firsts.tolist(), strict=True)) == {
        row: group[0] for group in expected for row in group[1:]
    }
    assert repeated.tolist() == sorted(repeated.tolist())
