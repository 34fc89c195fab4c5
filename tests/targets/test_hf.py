"""The columns for Hugging Face's trainers: plain rows, packed rows, padding on either side."""

from typing import Any

import numpy as np
import pytest
from batches import THREE_ROWS, three_rows

from sftprep.data.arranged import ArrangedRows
from sftprep.data.columns import Columns
from sftprep.data.ragged import Ragged
from sftprep.targets.hf import PACKED, UNPACKED, columns_of, columns_of_batch, kinds


def lists(columns: Columns) -> dict[str, list[list[int]]]:
    """Return the rows of each column as lists."""
    return {
        name: [part.tolist() for part in np.split(column.values, column.offsets[1:-1])]
        for name, column in columns.items()
    }


def arranged(rows: list[list[int]], trained: list[list[int]], **more: Any) -> ArrangedRows:
    """Build rows from lists; trained tokens are marked with 1, padding is the id 0."""
    ids = Ragged.of(rows)
    mask = np.array([flag for row in trained for flag in row], np.bool_)
    real = ids.values != 0
    return ArrangedRows(ids.values, mask, ids.offsets, None if real.all() else real, **more)


def dtypes(columns: Columns) -> dict[str, Any]:
    """Return the dtype of each column."""
    return {name: column.values.dtype for name, column in columns.items()}


def test_rows_as_they_are() -> None:
    """Rows that are not arranged have ids, a mask of ones, and labels."""
    columns = columns_of_batch(three_rows(), -100)
    assert lists(columns) == THREE_ROWS
    assert list(dtypes(columns).items()) == list(UNPACKED.items())


def test_padded_rows() -> None:
    """Padding has the mask 0 and the ignore index, on whichever side it is."""
    rows = arranged([[5, 6, 0, 0], [0, 7, 8, 9]], [[0, 1, 0, 0], [0, 0, 1, 1]])
    assert lists(columns_of(rows, -7)) == {
        "input_ids": [[5, 6, 0, 0], [0, 7, 8, 9]],
        "attention_mask": [[1, 1, 0, 0], [0, 1, 1, 1]],
        "labels": [[-7, 6, -7, -7], [-7, -7, 8, 9]],
    }


def test_packed_rows() -> None:
    """Positions start again with each document, and no mask hides where one ends."""
    rows = arranged(
        [[5, 6, 7, 8, 9], [4, 3]],
        [[0, 1, 0, 1, 1], [0, 1]],
        seq_lengths=Ragged.of([[2, 3], [2]]),
    )
    columns = columns_of(rows, -100)
    assert lists(columns) == {
        "input_ids": [[5, 6, 7, 8, 9], [4, 3]],
        "labels": [[-100, 6, -100, 8, 9], [-100, 3]],
        "position_ids": [[0, 1, 0, 1, 2], [0, 1]],
        "seq_lengths": [[2, 3], [2]],
    }
    assert list(dtypes(columns).items()) == list(PACKED.items())


@pytest.mark.parametrize(
    ("ids", "positions"),
    [
        ([[5, 6, 7, 8, 0, 0], [4, 3, 2, 1, 9, 0]], [[0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 2, 0]]),
        ([[0, 0, 5, 6, 7, 8], [0, 4, 3, 2, 1, 9]], [[0, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 2]]),
        ([[5, 6, 7, 8], [4, 3, 2, 1, 9, 0]], [[0, 1, 0, 1], [0, 1, 0, 1, 2, 0]]),
        ([[5, 6, 7, 8, 0], [0, 4, 3, 2, 1, 9]], [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1, 2]]),
    ],
)
def test_padding_of_packed_rows(ids: list[list[int]], positions: list[list[int]]) -> None:
    """Padding counts its positions by itself, and is not listed among the documents."""
    rows = arranged(ids, [[0] * len(row) for row in ids], seq_lengths=Ragged.of([[2, 2], [2, 3]]))
    columns = lists(columns_of(rows, -100))
    assert columns["position_ids"] == positions
    assert columns["seq_lengths"] == [[2, 2], [2, 3]]


def test_kinds_are_those_of_the_columns() -> None:
    """What a reader should expect is told apart by whether rows are packed."""
    assert (kinds(packed=False), kinds(packed=True)) == (UNPACKED, PACKED)
