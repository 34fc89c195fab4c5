"""The first of equal rows is kept."""

import numpy as np
import pytest
from row_columns import columns

from sftprep.arrange import dedup
from sftprep.errors import InternalError


def test_the_first_of_each_group_is_kept() -> None:
    """Each other row names it."""
    found = dedup.exact(columns([7, 8, 7, 9, 8, 7]))
    assert found.rows.tolist() == [2, 4, 5]
    assert found.repeats.tolist() == [0, 1, 0]


def test_no_rows_and_no_duplicates() -> None:
    """Nothing is dropped."""
    for texts in ([], [1], [1, 2, 3]):
        assert not len(dedup.exact(columns(texts)).rows)


def test_texts_with_one_hash_are_told_apart_by_their_sizes_and_prompts() -> None:
    """Rows that agree in the text's key differ if anything else about them does."""
    assert not len(dedup.exact(columns([7, 7], tokens=[10, 12])).rows)
    assert not len(dedup.exact(columns([7, 7], prompts=[1, 2])).rows)


def test_normalized_texts_are_compared_whatever_their_tokens() -> None:
    """Two spellings of one text have other tokens."""
    rows = columns([1, 2, 3], tokens=[10, 12, 10], normalized=[5, 5, 6])
    found = dedup.normalized(rows)
    assert (found.rows.tolist(), found.repeats.tolist()) == ([1], [0])
    assert not len(dedup.exact(rows).rows)


def test_normalized_keys_must_be_there() -> None:
    """Without them, nothing could be found."""
    with pytest.raises(InternalError, match="normalized"):
        dedup.normalized(columns([1, 2]))


def test_order_of_a_million_rows() -> None:
    """A duplicate far away is found too."""
    texts = np.arange(300_000)
    texts[-1] = 0
    found = dedup.exact(columns(texts.tolist()))
    assert (found.rows.tolist(), found.repeats.tolist()) == ([299_999], [0])
