"""Rows of ids with their loss mask: every operation takes both."""

import itertools

import numpy as np
import pytest

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.ragged import lengths_to_offsets


def sample() -> Batch:
    """Three rows of four, none and two tokens; records 5, 7 and 9 of their block."""
    return Batch(
        np.array([1, 2, 3, 4, 5, 6], np.int32),
        np.array([0, 1, 0, 1, 1, 0], np.bool_),
        lengths_to_offsets(np.array([4, 0, 2])),
        np.array([5, 7, 9], np.int64),
        np.array([0, 1, 1, 2, 1, 2], np.uint8),
    )


def rows_of(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """Ids and loss mask of each row."""
    ends = batch.offsets.tolist()
    mask = batch.loss_mask.astype(int)
    return [
        (batch.input_ids[a:b].tolist(), mask[a:b].tolist()) for a, b in itertools.pairwise(ends)
    ]


def sections_of(batch: Batch) -> list[int] | None:
    """The section of each token."""
    return None if batch.section is None else batch.section.tolist()


def test_built_from_lists() -> None:
    """A batch of lists has one record per row."""
    batch = Batch.of([[1, 2], []], [[False, True], []])
    assert rows_of(batch) == [([1, 2], [0, 1]), ([], [])]
    assert (len(batch), batch.record.tolist(), batch.section) == (2, [0, 1], None)
    assert batch.lengths.tolist() == [2, 0]


@pytest.mark.parametrize("ignore", [-100, -1])
def test_labels(ignore: int) -> None:
    """A label is the token's id where it is trained and the ignore index elsewhere, unshifted."""
    labels = sample().labels(ignore)
    assert [ignore, 2, ignore, 4, 5, ignore] == labels.tolist()
    assert labels.dtype == np.int32


def test_the_first_token_of_a_row_has_no_loss() -> None:
    """Nothing predicts a row's first token, so it does not count as trained."""
    assert sample().trained().tolist() == [2, 0, 0]
    assert Batch.of([], []).trained().tolist() == []


def test_keep_tokens() -> None:
    """Ids, mask and sections are cut together, and the rows stay in their places."""
    cut = sample().keep_tokens(np.array([0, 1, 1, 0, 0, 1], np.bool_))
    assert rows_of(cut) == [([2, 3], [1, 0]), ([], []), ([6], [0])]
    assert cut.record.tolist() == [5, 7, 9]
    assert sections_of(cut) == [Section.PROMPT, Section.PROMPT, Section.COMPLETION]


def test_keep_rows() -> None:
    """A dropped row takes its ids, mask, sections and record with it."""
    kept = sample().keep_rows(np.array([1, 0, 1], np.bool_))
    assert rows_of(kept) == [([1, 2, 3, 4], [0, 1, 0, 1]), ([5, 6], [1, 0])]
    assert kept.record.tolist() == [5, 9]
    assert sections_of(kept) == [0, 1, 1, 2, 1, 2]


def test_keep_all_rows() -> None:
    """Keeping all rows copies nothing."""
    batch = sample()
    assert batch.keep_rows(np.ones(3, np.bool_)) is batch


def test_a_range_of_rows() -> None:
    """Consecutive rows are views on the ids, with offsets that start at 0."""
    batch = sample()
    found = batch.rows(1, 3)
    assert rows_of(found) == [([], []), ([5, 6], [1, 0])]
    assert (found.offsets.tolist(), found.record.tolist()) == ([0, 0, 2], [7, 9])
    assert np.shares_memory(found.input_ids, batch.input_ids)


def test_concatenate() -> None:
    """The rows of all batches follow one another in order."""
    joined = Batch.concatenate([sample(), sample().keep_rows(np.array([0, 0, 1], np.bool_))])
    expected = [([1, 2, 3, 4], [0, 1, 0, 1]), ([], []), ([5, 6], [1, 0]), ([5, 6], [1, 0])]
    assert expected == rows_of(joined)
    assert joined.record.tolist() == [5, 7, 9, 9]
