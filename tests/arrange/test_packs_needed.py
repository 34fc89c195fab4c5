"""packs_needed: as many packs as ``best_fit`` makes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftprep.arrange.pack import best_fit, packs_needed


@given(st.data())
def test_as_many_packs_as_best_fit_makes(data: st.DataObject) -> None:
    """Counting by length gives the number of packs of the algorithm that places each document."""
    capacity = data.draw(st.integers(1, 40))
    lengths = np.array(data.draw(st.lists(st.integers(1, capacity), max_size=60)), np.int32)
    packs = best_fit(np.sort(lengths)[::-1], capacity)
    numbers, counts = np.unique(lengths, return_counts=True)
    found = packs_needed(numbers.astype(np.int64), counts, capacity)
    assert found == int(packs.max(initial=-1)) + 1
