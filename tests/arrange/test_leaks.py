"""Keys in more than one split are counted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftprep.arrange.leaks import in_several

splits = st.lists(st.lists(st.integers(0, 12), max_size=20), max_size=3)


@given(splits)
def test_keys_in_several_splits_are_counted_once(values: list[list[int]]) -> None:
    """Compared with sets."""
    sets = [set(split) for split in values]
    several = {key for key in set().union(*sets) if sum(key in keys for keys in sets) > 1}
    assert in_several([np.array(split, np.uint64) for split in values]) == len(several)
