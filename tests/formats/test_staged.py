"""Staged tokens: one number a token, and any rows of many files gathered in any order."""

from pathlib import Path

import numpy as np
import pytest
from batches import many_rows, three_rows
from hypothesis import given
from hypothesis import strategies as st

from sftprep.data.batch import Batch
from sftprep.data.ragged import Ragged
from sftprep.formats import staged
from sftprep.formats.staged import StagedTokens, by_file, decoded, encoded

TOKENS = st.tuples(st.integers(0, 2**31 - 1), st.booleans())


@given(st.lists(TOKENS))
def test_a_token_and_its_loss_are_one_number(tokens: list[tuple[int, bool]]) -> None:
    """Ids and loss mask come back as they were; the sign says what is trained."""
    ids = np.array([token for token, _ in tokens], np.int32)
    mask = np.array([trained for _, trained in tokens], np.bool_)
    numbers = encoded(ids, mask)
    assert numbers.dtype == np.int32
    assert (numbers >= 0).tolist() == mask.tolist()
    found = decoded(numbers)
    assert found.input_ids.tolist() == ids.tolist()
    assert found.loss_mask.tolist() == mask.tolist()


def save(path: Path, *groups: Batch) -> Path:
    """Write a staged shard."""
    with path.open("xb") as file:
        writer = staged.Writer(file)
        for group in groups:
            writer.write(staged.columns_of(group))
        writer.close()
    return path


def test_a_file_is_its_numbers(tmp_path: Path) -> None:
    """A file has four bytes a token, whatever the groups, and nothing else."""
    path = save(tmp_path / "a", three_rows(), three_rows().rows(1, 3))
    numbers = [~1, 2, 3, 70000, ~4, ~5, 70000, ~4, ~5]
    assert np.fromfile(path, "<i4").tolist() == numbers


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_many_files(tmp_path: Path, seed: int) -> None:
    """Any rows come in the order asked for, also repeated ones, empty ones and empty files."""
    random = np.random.default_rng(seed)
    batches = [many_rows(count) for count in (7, 1, 0, 30, 12)]
    paths = [save(tmp_path / str(i), batch) for i, batch in enumerate(batches)]
    tokens = StagedTokens(paths, [batch.lengths.astype(np.int32) for batch in batches])
    whole = Batch.concatenate(batches)
    all_rows = Ragged(encoded(whole.input_ids, whole.loss_mask), whole.offsets)
    for rows in (np.arange(50), np.arange(50)[::-1], random.integers(0, 50, 200), np.arange(0)):
        for _ in range(2):
            found = tokens.gather(rows)
            expected = all_rows.take(rows)
            assert found.values.tolist() == expected.values.tolist()
            assert found.offsets.tolist() == expected.offsets.tolist()
            tokens.release()


def test_rows_in_the_order_of_files_need_no_sort() -> None:
    """Rows that follow the files are told apart, which saves copying them a second time."""
    order, parts = by_file(np.array([2, 0, 3, 3, 8]), np.array([0, 3, 3, 9]))
    assert order is None
    assert [(part.file, part.rows.tolist()) for part in parts] == [(0, [2, 0]), (2, [0, 0, 5])]


def test_a_file_of_another_size_is_noticed(tmp_path: Path) -> None:
    """A file that is not as long as its rows is never read past its end."""
    path = save(tmp_path / "a", three_rows())
    with pytest.raises(ValueError, match="has 24 bytes; its rows have 28"):
        StagedTokens([path], [np.array([3, 1, 3], np.int32)])
